"""The page: what it says, in which order, for which folders; and that it needs nothing else."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from page_checker import check_page
from unmask.report.blocks import Section
from unmask.report.comparison import comparison_story
from unmask.report.page import write_report
from unmask.report.recalls import class_intervals
from unmask.report.words import interval_text, points
from unmask.runs.contents import ComparisonRun, read_run
from unmask.runs.read import read_record
from unmask.runs.scores import ClassificationScores, ClassScores
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import TrialResult

Writer = Callable[..., Path]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory, comparison_folder: Writer) -> Path:
    return comparison_folder(tmp_path_factory.mktemp("runs") / "answer")


@pytest.fixture(scope="module")
def page(comparison: Path) -> Path:
    return write_report([comparison])


@pytest.mark.slow
def test_the_page_lies_in_the_run_and_is_small(page: Path, comparison: Path) -> None:
    assert page == comparison / "report.html"
    assert page.stat().st_size < 10_000_000


def test_verdict_first_then_the_evidence_in_order(page: Path, comparison: Path) -> None:
    text = page.read_text(encoding="utf-8")
    sentence = json.loads((comparison / "summary.json").read_text())["verdicts"][0]["sentence"]
    assert text.index(sentence) < text.index("<svg")
    assert check_page(page).headings == [
        "answer",
        "Accuracy for few to many labels",
        "Every arm",
        "Paired differences",
        "Which classes gain",
        "Which classes are confused",
        "The surest mistakes",
        "Images as the network sees them",
        "Reconstructions",
        "Training with labels",
        "Pretraining",
        "Ensemble gap",
        "What every arm cost",
        "Notes",
        "How it was run",
    ]


def test_the_figure_says_what_its_intervals_are_over(comparison: Path) -> None:
    """Of pretrainings only where there are several; of images only where values per image are known."""
    run = read_run(comparison)
    assert isinstance(run, ComparisonRun)
    assert run.summary is not None
    one = replace(run.summary, scores=tuple(score for score in run.summary.scores if score.pretraining != 1))
    over = "t over label draws and test images, for this encoder"
    known = replace(run.summary, means=tuple(replace(row, method=over) for row in run.summary.means))
    for shown, varied in (
        (run, "pretrainings and label draws"),
        (replace(run, summary=one), "label draws"),
        (replace(run, summary=known), "pretrainings, label draws and test images"),
    ):
        (first, *_) = comparison_story(shown).sections
        assert isinstance(first, Section)
        assert f"intervals over {varied}, which end at 0 and 100 %." in first.intro
        assert ("They are for these test images only." in first.intro) == (shown.summary is not known)


def test_contents_lead_to_every_section_in_order(page: Path) -> None:
    """Plain links after the verdict: no script, and keys reach them."""
    text = page.read_text(encoding="utf-8")
    (listed,) = re.findall(r'<nav class="contents"[^>]*>(.*?)</nav>', text, re.DOTALL)
    assert text.index('<nav class="contents"') > text.index('class="verdict')
    links = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', listed)
    assert [title for _, title in links] == check_page(page).headings[1:]
    for anchor, title in links:
        assert re.search(rf'<h2 id="{anchor}">{title}</h2>', text), title


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    checker = check_page(page)
    assert all(address.startswith(("#", "data:")) for address in checker.addresses)
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|@import|url\((?!#|data:image/jpeg;base64,)", text)
    assert checker.unnamed == []
    assert len(checker.ids) == len(set(checker.ids))
    anchors = {address[1:] for address in checker.addresses if address.startswith("#")}
    assert anchors <= set(checker.ids)


def test_names_with_markup_are_shown_not_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<b>bold" not in text
    assert "a &lt;b&gt;bold&lt;/b&gt; &amp; long class name" in text
    assert "猫" in text


def test_the_numbers_of_the_summary_are_on_the_page(page: Path, comparison: Path) -> None:
    text = page.read_text(encoding="utf-8")
    summary = read_record(Summary, comparison / "summary.json")
    for row in summary.means:
        assert f"{100 * row.mean:.1f}" in text
    for difference in summary.differences:
        if difference.metric == "accuracy":
            assert f"<td>{interval_text(difference, points)}</td>" in text
    for note in summary.notes:
        assert note[1:].replace("'", "&#39;") in text


def test_recall_of_a_class_is_paired_and_signed() -> None:
    def trial(arm: str, draw: int, recall: float) -> TrialResult:
        classes = (("a", recall), ("b", None))
        scores = ClassificationScores(
            accuracy=0.5,
            balanced_accuracy=0.5,
            macro_f1=0.5,
            auroc=None,
            per_class=tuple(ClassScores(name=name, recall=one, precision=None, images=9) for name, one in classes),
            confusion=(),
        )
        pretraining = 0 if arm == "mrp" else None
        return TrialResult(
            arm=arm,
            budget=10,
            draw=draw,
            pretraining=pretraining,
            metrics={"test": scores},
            labeled_images=30,
            seconds=1.0,
            history=(),
            probe_strength=None,
        )

    trials = [trial("mrp", 0, 0.9), trial("mrp", 1, 0.6), trial("scratch_best", 0, 0.7), trial("scratch_best", 1, 0.5)]
    ((name, interval),) = class_intervals(trials, "mrp", "scratch_best", 10, "test", 0.95)
    assert (name, interval.n) == ("a", 2)
    assert interval.mean == pytest.approx(0.15)


@pytest.mark.slow
def test_the_same_folder_gives_the_same_page(page: Path, comparison: Path, tmp_path: Path) -> None:
    again = write_report([comparison], tmp_path / "again.html")
    assert again.read_bytes() == page.read_bytes()


@pytest.mark.slow
def test_an_unfinished_comparison_says_so(tmp_path: Path, comparison_folder: Writer) -> None:
    folder = comparison_folder(tmp_path / "half", draws=2, budgets=(10,), finished=False)
    text = write_report([folder]).read_text(encoding="utf-8")
    assert "Unfinished: 18 trials so far" in text
    assert "Accuracy of every arm" in text


def test_a_comparison_without_trials_has_a_page(tmp_path: Path, comparison_folder: Writer) -> None:
    folder = comparison_folder(tmp_path / "new", draws=0, finished=False)
    text = write_report([folder]).read_text(encoding="utf-8")
    assert "No verdict yet. A verdict needs the arm mrp and" in text
    assert "Every arm" not in text
    assert "Paired differences" not in text


def test_differences_say_in_words_which_minus_which(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert '<th scope="row">Pretrained minus Scratch, same schedule</th>' in text
    assert '<th scope="row">Pretrained minus best scratch arm (Scratch, best schedule)</th>' in text
    assert "Probe of pretrained minus Probe of random" in text
