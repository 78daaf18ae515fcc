"""The page in real Chromium: no console message, no request, legible on a desk and a telephone, reachable by keys."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from chromium import download, measure, needs_chromium, open_page
from unmask.report.page import write_report

pytestmark = [pytest.mark.slow, needs_chromium]
Writer = Callable[..., Path]


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory,
    comparison_folder: Writer,
    pretraining_folder: Writer,
    classification_folder: Writer,
    audit_folder: Writer,
) -> Path:
    """A page with every kind of section on it, an audit's among them."""
    base = tmp_path_factory.mktemp("browser")
    audit_folder(base / "answer" / "audit")
    folders = [
        comparison_folder(base / "answer"),
        pretraining_folder(base / "pretraining"),
        classification_folder(base / "finetuned", init="runs/pretraining"),
    ]
    return write_report(folders, base / "report.html")


@pytest.mark.parametrize("width", [1280, 390])
def test_text_is_legible_and_nothing_is_cut_off(page: Path, tmp_path: Path, width: int) -> None:
    """Figures drawn for more than a column are whole on a desk; on a telephone they scroll inside."""
    found = measure(page, tmp_path, width)
    assert found["width"] == width
    assert found["page"] <= width
    assert found["clipped"] == 0
    assert found["texts"] > 300
    assert found["smallest"] >= 8.9
    assert found["wide"] >= 3
    assert found["scrolling"] == (0 if width == 1280 else found["wide"])


def test_every_stop_is_reached_by_keyboard(page: Path, tmp_path: Path) -> None:
    """Links, folds and what is scrolled."""
    found = measure(page, tmp_path, 1280)
    assert found["stops"] > 20
    assert found["reached"] == found["stops"]


@pytest.mark.parametrize("width", [1280, 390])
def test_points_of_a_map_show_their_picture(page: Path, tmp_path: Path, width: int) -> None:
    """When the keyboard is on them, whole, whatever side of the map they are on."""
    found = measure(page, tmp_path, width)
    assert found["spots"] == 120
    assert found["seen"] == found["spots"]


def test_no_console_message_and_no_request(page: Path, tmp_path: Path) -> None:
    """The page is there, in many colors, and asks for nothing."""
    said, asked = open_page(page, tmp_path, 1280)
    assert "CONSOLE" not in said
    assert asked == []
    colors = Image.open(tmp_path / "page.png").convert("RGB").getcolors(1 << 24)
    assert colors is not None
    assert len(colors) > 500


def test_a_table_is_saved_as_csv(page: Path, tmp_path: Path) -> None:
    """By its link, which the page's policy allows."""
    saved = download(page, tmp_path, "article a.csv").decode("utf-8-sig")
    assert saved.splitlines()[0] == "images,10 labels per class (primary),50 labels per class,100 labels per class"


def test_what_is_wrong_with_a_page_is_seen(tmp_path: Path) -> None:
    """Every check of this file and of the theory's page fails on a page that is wrong in that way."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!DOCTYPE html><html><body><p style='font-size: 5px; width: 3000px'>x</p>"
        "<svg width='50' height='20'><text x='40' y='15'>far too long</text></svg>"
        "<a href='#' style='display: none'>y</a>"
        "<script>console.error('noticed')</script><img alt='x' src='http://127.0.0.1:9/x.png'></body></html>"
    )
    said, asked = open_page(bad, tmp_path, 1280)
    assert "CONSOLE" in said
    assert asked == ["http://127.0.0.1:9/x.png"]
    found = measure(bad, tmp_path, 390)
    assert found["page"] > 390
    assert (found["clipped"], found["cut"], found["smallest"]) == (1, 1, 5)
    assert (found["stops"], found["reached"]) == (1, 0)
