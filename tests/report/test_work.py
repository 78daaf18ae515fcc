"""The timeline of trainings: lanes of machines, and the section that draws them."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from unmask.errors import UserError
from unmask.report.page import write_report
from unmask.report.svg import inline_svg, to_svg
from unmask.report.work import lanes, work_section
from unmask.runs.layout import WORK
from unmask.runs.trial_records import PieceOfWork
from unmask.runs.work import read_work, write_work


def _piece(name: str, started: float, seconds: float, host: str = "north") -> PieceOfWork:
    return PieceOfWork(kind="trial", name=name, host=host, started=started, seconds=seconds)


def test_a_training_takes_the_first_lane_that_is_free() -> None:
    """Side by side they have lanes of their own; one that follows has that of what it follows; machines are apart."""
    work = [
        _piece("a", 0, 10),
        _piece("b", 1, 3),
        _piece("c", 1, 3, host="south"),
        _piece("d", 3.95, 2),
        _piece("e", 7, 1),
        _piece("f", 7.5, 5),
        _piece("g", 10, 1),
    ]
    assert lanes(work) == [0, 1, 0, 1, 1, 2, 0]
    assert lanes([]) == []


def test_every_machine_has_its_row() -> None:
    """With how many at once, how many of each kind, their time, and the share of it in which it was busy."""
    one = _piece("pretrain-seed_0", 100, 60)
    work = [replace(one, kind="pretraining"), _piece("a", 100, 30), _piece("b", 130, 30, host="south")]
    section = work_section(work)
    assert section.tables[0].rows == [
        ("north", "2", "1", "0", "1", "90 s", "75 %"),
        ("south", "1", "0", "0", "1", "30 s", "100 %"),
    ]
    assert section.folds[0].tables[0].rows[2] == ("b", "trial", "south", "30 s", "30 s")
    assert section.intro == "1 pretraining, 2 trials on 2 machines, 60 s from first start to last end."


def test_thousands_of_trainings_keep_the_page_small() -> None:
    """The longest are listed; the figure has a row for some, and says so."""
    section = work_section([_piece(str(i), i // 100 * 10, 1 + i / 1000) for i in range(1000)])
    assert len(section.folds[0].tables[0].rows) == 200
    assert section.folds[0].title == "The 200 longest trainings"
    assert "64 of 100 rows" in section.plates[0].caption


def test_a_machine_may_have_any_name() -> None:
    """A control character is no part of XML, and a dollar begins no formula."""
    section = work_section([_piece("a", 0, 1, host="\x0cnor$th"), _piece("b", 0, 1, host="$x^$")])
    assert inline_svg(to_svg(section.plates[0].figure), "a", "machines")
    assert [row[0] for row in section.tables[0].rows] == ["\\x0cnor$th", "$x^$"]


def test_what_was_done_is_written_and_read(tmp_path: Path) -> None:
    """In the order in which it began, whatever it is called; an altered file is refused."""
    write_work(tmp_path, "trial", "a", began=_ago(1))
    write_work(tmp_path, "tuning", "a", began=_ago(3))
    found = read_work(tmp_path)
    assert [one.kind for one in found] == ["tuning", "trial"]
    assert found[0].seconds == pytest.approx(3, abs=1)
    assert found[1].started - found[0].started == pytest.approx(2, abs=1)
    WORK.path(tmp_path, "trial-a").write_text("{}")
    with pytest.raises(UserError, match=r"trial-a\.json"):
        read_work(tmp_path)


def _ago(seconds: float) -> float:
    return time.monotonic() - seconds


@pytest.mark.slow
def test_the_section_stands_in_the_report_where_there_are_records(
    tmp_path: Path, comparison_folder: Callable[..., Path]
) -> None:
    """A comparison of an earlier version has none, and no section."""
    folder = comparison_folder(tmp_path / "answer")
    assert "Timeline of the trainings" not in write_report(folder).read_text(encoding="utf-8")
    write_work(folder, "trial", "mrp-b10-d0-p0", began=_ago(5))
    page = write_report(folder).read_text(encoding="utf-8")
    assert "Timeline of the trainings" in page
    assert "mrp-b10-d0-p0" in page
