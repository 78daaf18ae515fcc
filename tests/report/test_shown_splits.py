"""The page of a comparison that was judged on half of the validation images never speaks of test images."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from unmask.report.page import write_report
from unmask.runs.files import write_json
from unmask.runs.read import read_record
from unmask.runs.summary_records import Summary

Writer = Callable[..., Path]


@pytest.mark.slow
@pytest.mark.parametrize("finished", [True, False])
def test_pages_differ_in_the_name_of_the_images_only(finished: bool, tmp_path: Path, comparison_folder: Writer) -> None:
    """All that a page says of test images it says of held-out validation images; everything else is the same."""
    how = {"draws": 2, "budgets": (10, 50), "splits": ("val", "test"), "finished": finished}
    ordinary, halved = (
        _words(comparison_folder(tmp_path / on / "run", **how, evaluate_on=on)) for on in ("test", "val")
    )
    assert ordinary.count("test images") > 20
    assert ordinary.count("Test") == ordinary.count("test set") == halved.count("test images") == 0
    assert halved == ordinary.replace("test images", "held-out validation images")


@pytest.mark.slow
def test_intervals_that_are_not_over_images_do_not_claim_to_be(tmp_path: Path, comparison_folder: Writer) -> None:
    """Those of an unfinished comparison, whose values per image are not read."""
    page = _words(comparison_folder(tmp_path / "run", draws=2, budgets=(10,), splits=("val", "test"), finished=False))
    assert "95% intervals over pretrainings and label draws, which end at 0 and 100 %. They are for these test " in page


@pytest.mark.slow
def test_groups_and_narrower_intervals_are_told_of_the_same_images(tmp_path: Path, comparison_folder: Writer) -> None:
    """Also in a summary of an earlier version, whose methods name test images."""
    told = []
    for on in ("test", "val"):
        folder = comparison_folder(
            tmp_path / on / "run", draws=2, budgets=(10,), splits=("val", "test"), evaluate_on=on
        )
        summary = read_record(Summary, folder / "summary.json")
        settings = replace(summary.settings, majority=0.6)
        method = {"accuracy": "t over label draws and test groups"}
        means = [
            replace(m, method=method.get(m.metric, "t over label draws, for these test images")) for m in summary.means
        ]
        write_json(folder / "summary.json", replace(summary, settings=settings, means=tuple(means)))
        told.append(_words(folder))
    for page, name in zip(told, ("test", "held-out validation"), strict=True):
        assert f"over pretrainings, label draws and {name} groups, which" in page
        assert f"Those of balanced accuracy are for these {name} images only." in page


def _words(folder: Path) -> str:
    """The page of a folder as text, alternatives of pictures included; no configuration, file or style."""
    page = write_report([folder]).read_text(encoding="utf-8")
    page = re.sub(r"<style.*?</style>|<details><summary>Configuration.*?</details>", "", page, flags=re.DOTALL)
    return re.sub(r'(href|src|id|for|download|d|style)="[^"]*"', "", page)
