"""CSV of a table: what a spreadsheet or a program reads is what the table says, and never a formula."""

import base64
import csv
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from unmask.report.blocks import Board, Ruling, Table
from unmask.report.csv_link import board_table, csv_name, csv_text, csv_uri
from unmask.report.page import write_report


def _rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_intervals_become_three_columns_of_numbers() -> None:
    """A mean without an interval stands alone, and what is missing stays a dash."""
    rows = [("a, b", "+1.5 [−0.5, +3.5]", "3"), ("c", "−2.0", "12"), ("d", "–", "1")]
    table = Table("x", ("arm", "difference [interval]", "n"), rows)
    assert _rows(csv_text(table)) == [
        ["arm", "difference", "difference, low", "difference, high", "n"],
        ["a, b", "1.5", "-0.5", "3.5", "3"],
        ["c", "-2.0", "", "", "12"],
        ["d", "–", "", "", "1"],
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(start: str) -> None:
    """In headers, names and values; a number with a sign stays a number."""
    cell = start + 'HYPERLINK("http://x","y")'
    table = Table("x", (cell, "b"), [(cell, "-2.5")])
    assert _rows(csv_text(table)) == [["'" + cell, "b"], ["'" + cell, "-2.5"]]


def test_the_link_holds_the_table() -> None:
    """UTF-8 with the mark that spreadsheets want; the file is called after the caption."""
    table = Table("Accuracy on «猫» images, %: mean", ("arm", "猫"), [("a\nb", '"<c>"')])
    head, _, body = csv_uri(table).partition(",")
    assert head == "data:text/csv;charset=utf-8;base64"
    content = base64.b64decode(body)
    assert content.startswith(b"\xef\xbb\xbf")
    assert _rows(content.decode("utf-8-sig")) == [["arm", "猫"], ["a\nb", '"<c>"']]
    assert csv_name(table) == "accuracy-on-猫-images-mean.csv"


def test_the_board_is_a_table() -> None:
    board = Board("All", ["10 per class", "50 per class"], [("test images", [Ruling("gain", "+1.0", "Long."), None])])
    assert _rows(csv_text(board_table(board))) == [
        ["images", "10 per class", "50 per class"],
        ["test images", "gain: +1.0", "–"],
    ]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables, self.links = 0, list[dict[str, str | None]]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tables += tag == "table"
        if "download" in dict(attrs):
            self.links.append(dict(attrs))


@pytest.mark.slow
def test_every_table_of_a_page_has_a_link(tmp_path: Path, comparison_folder: Callable[..., Path]) -> None:
    """Whose label tells them apart, and whose file is never a path."""
    page = write_report([comparison_folder(tmp_path / "run", draws=2, budgets=(10,))])
    found = _Links()
    found.feed(page.read_text(encoding="utf-8"))
    assert found.tables == len(found.links) > 10
    assert len({link["aria-label"] for link in found.links}) == len(found.links)
    assert all(re.fullmatch(r"[\w-]{1,60}\.csv", str(link["download"])) for link in found.links)
