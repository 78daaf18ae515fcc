"""The page: what it says, in which order, for which folders; and that it needs nothing else."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from unmask.config import ClassifyConfig, PretrainConfig
from unmask.errors import UserError
from unmask.report.page import write_report
from unmask.report.png import data_uri
from unmask.report.recalls import class_intervals
from unmask.report.words import interval_text, points
from unmask.runs.contents import read_runs
from unmask.runs.files import write_json
from unmask.runs.read import read_record, write_config
from unmask.runs.records import ClassificationScores, ClassScores, DataFacts, Environment
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import TrialResult

Writer = Callable[..., Path]


class _Checker(HTMLParser):
    """Collects headings, ids, addresses, and checks that tags close in order."""

    void = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.unnamed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [str(values[name]) for name in ("src", "href", "xlink:href") if name in values]
        if "id" in values:
            self.ids.append(str(values["id"]))
        if (tag == "img" and not values.get("alt")) or (tag == "svg" and not values.get("aria-label")):
            self.unnamed.append(tag)
        if tag not in self.void:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] in ("h1", "h2", "h3") and data.strip():
            self.headings.append(data.strip())


def _check(path: Path) -> _Checker:
    checker = _Checker()
    checker.feed(path.read_text(encoding="utf-8"))
    assert checker.stack == []
    return checker


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory, comparison_folder: Writer) -> Path:
    return comparison_folder(tmp_path_factory.mktemp("runs") / "answer")


@pytest.fixture(scope="module")
def page(comparison: Path) -> Path:
    return write_report([comparison])


def test_the_page_lies_in_the_run_and_is_small(page: Path, comparison: Path) -> None:
    assert page == comparison / "report.html"
    assert page.stat().st_size < 10_000_000


def test_verdict_first_then_the_evidence_in_order(page: Path, comparison: Path) -> None:
    text = page.read_text(encoding="utf-8")
    sentence = json.loads((comparison / "summary.json").read_text())["verdicts"][0]["sentence"]
    assert text.index(sentence) < text.index("<svg")
    assert _check(page).headings == [
        "answer",
        "Accuracy for few to many labels",
        "Every arm",
        "Paired differences",
        "Which classes gain",
        "What is taken for what",
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


def test_contents_lead_to_every_section_in_order(page: Path) -> None:
    """Plain links after the verdict: no script, and keys reach them."""
    text = page.read_text(encoding="utf-8")
    (listed,) = re.findall(r'<nav class="contents"[^>]*>(.*?)</nav>', text, re.DOTALL)
    assert text.index('<nav class="contents"') > text.index('class="verdict')
    links = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', listed)
    assert [title for _, title in links] == _check(page).headings[1:]
    for anchor, title in links:
        assert re.search(rf'<h2 id="{anchor}">{title}</h2>', text), title


def test_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    checker = _check(page)
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


def test_the_same_folder_gives_the_same_page(page: Path, comparison: Path, tmp_path: Path) -> None:
    again = write_report([comparison], tmp_path / "again.html")
    assert again.read_bytes() == page.read_bytes()


def test_an_unfinished_comparison_says_so(tmp_path: Path, comparison_folder: Writer) -> None:
    folder = comparison_folder(tmp_path / "half", draws=2, budgets=(10,), finished=False)
    text = write_report([folder]).read_text(encoding="utf-8")
    assert "Unfinished: 18 trials so far" in text
    assert "Accuracy of every arm" in text


def test_a_comparison_without_trials_has_a_page(tmp_path: Path, comparison_folder: Writer) -> None:
    folder = comparison_folder(tmp_path / "new", draws=0, finished=False)
    assert "No verdict" in write_report([folder]).read_text(encoding="utf-8")


def test_single_runs_have_a_page(tmp_path: Path, pretraining_folder: Writer, classification_folder: Writer) -> None:
    pretraining = pretraining_folder(tmp_path / "pre")
    text = write_report([pretraining]).read_text(encoding="utf-8")
    assert re.search(r"After 800 steps the reconstruction loss on validation images is 0\.3\d*, \d\d% below", text)
    fine = classification_folder(tmp_path / "fine", init="runs/pre")
    text = write_report([fine]).read_text(encoding="utf-8")
    assert "Right on 80.0 % of test images, learnt from 50 labeled images." in text
    assert "1 unreadable file left out" in text
    assert "start: runs/pre" in text


@pytest.mark.parametrize(
    ("target", "predicted"),
    [
        ("pixels", "each cell's mean"),
        ("normalized_pixels", "each cell's mean"),
        ("ema_teacher", "each teacher channel's mean over the image"),
    ],
)
def test_the_loss_is_compared_with_the_baseline_of_the_target(
    target: str, predicted: str, tmp_path: Path, pretraining_folder: Writer
) -> None:
    """In the headline, in the figure's alternative and in its caption; side by side also where the targets differ."""
    pretraining = pretraining_folder(tmp_path / "pre", steps=200, target=target)
    text = html.unescape(write_report([pretraining]).read_text(encoding="utf-8"))
    assert len(re.findall(rf"below that of predicting {predicted} \(0\.95\)", text)) == 2
    assert f"of predicting {predicted} (dashed)" in text
    assert not re.search(r"\bpatch\b", text)
    other = pretraining_folder(tmp_path / "other", steps=200, target="ema_teacher")
    text = html.unescape(write_report([pretraining, other]).read_text(encoding="utf-8"))
    both = " or ".join(dict.fromkeys((predicted, "each teacher channel's mean over the image")))
    assert f"of predicting {both} (dashed)" in text


def test_a_run_that_has_just_begun_has_a_page(tmp_path: Path) -> None:
    for name, config in (("pre", PretrainConfig()), ("fine", ClassifyConfig())):
        (tmp_path / name).mkdir()
        write_config(tmp_path / name, config)
        assert _check(write_report([tmp_path / name])).headings == [name, "How it was run"]


def test_pictures_say_which_channel_they_show(tmp_path: Path, pretraining_folder: Writer) -> None:
    """Where images have more channels than a color picture, and only there."""
    run = pretraining_folder(tmp_path / "pre", steps=200)
    written = read_record(Environment, run / "environment.json")
    for channels, said in ((3, False), (1, False), (5, True)):
        facts = replace(written, data=DataFacts(fingerprint="f", channels=channels))
        write_json(run / "environment.json", facts)
        text = write_report([run]).read_text(encoding="utf-8")
        assert (f"Shown is the first of {channels} channels, in gray." in text) == said


def test_differences_say_in_words_which_minus_which(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert '<th scope="row">Pretrained minus Scratch, same schedule</th>' in text
    assert '<th scope="row">Pretrained minus best scratch arm (Scratch, best schedule)</th>' in text
    assert "Probe of pretrained minus Probe of random" in text


def test_runs_side_by_side(tmp_path: Path, pretraining_folder: Writer, classification_folder: Writer) -> None:
    folders = [
        pretraining_folder(tmp_path / "a", seed=1, steps=200),
        pretraining_folder(tmp_path / "b", seed=2, steps=200),
        classification_folder(tmp_path / "fine", init="runs/pre"),
        classification_folder(tmp_path / "scratch", accuracy=0.7),
    ]
    page = write_report(folders, tmp_path / "all.html")
    checker = _check(page)
    assert checker.headings[:5] == [
        "4 runs side by side",
        "The runs",
        "Scores side by side",
        "Pretraining side by side",
        "Settings that differ",
    ]
    assert len(checker.ids) == len(set(checker.ids))
    text = page.read_text(encoding="utf-8")
    assert '<th scope="row">init</th><td>runs/pre</td><td>–</td>' in text
    assert '<th scope="row">seed</th><td>1</td><td>2</td>' in text


def test_runs_of_one_name_are_told_apart(
    tmp_path: Path, pretraining_folder: Writer, classification_folder: Writer
) -> None:
    """Any number of runs: folders called alike are named with those above, and one given twice is shown once."""
    folders = [
        pretraining_folder(tmp_path / "a" / "run"),
        pretraining_folder(tmp_path / "b" / "run"),
        classification_folder(tmp_path / "c" / "tuned"),
    ]
    runs = read_runs([*folders, folders[0]])
    assert [run.name for run in runs] == ["a/run", "b/run", "tuned"]
    text = write_report([*folders, folders[0]], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "3 runs side by side" in text
    assert "Reconstruction loss over steps of a/run, b/run" in text


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    Image.effect_noise((1600, 800), 90).convert("RGB").save(path)
    assert path.stat().st_size > 400_000
    uri = data_uri(path.read_bytes())
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(uri) < 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("content", ["{}", "[1, 2]", "3", '"x"', "null", '{"metrics": {"test": {"accuracy": "x"}}}'])
@pytest.mark.parametrize("kind", ["comparison", "pretraining", "classification"])
def test_edited_files_are_one_line(kind: str, content: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Every JSON file of a run in turn is replaced by other JSON."""
    write: Writer = request.getfixturevalue(f"{kind}_folder")
    run = write(tmp_path / "run")
    files = sorted(run.rglob("*.json"))
    assert files
    lines = []
    for file in files[:12]:
        before = file.read_text(encoding="utf-8")
        file.write_text(content, encoding="utf-8")
        with pytest.raises(UserError) as error:
            write_report([run], tmp_path / "page.html")
        lines.append(str(error.value))
        file.write_text(before, encoding="utf-8")
    assert all("\n" not in line and line.startswith(str(file)) for line, file in zip(lines, files, strict=False))


@pytest.mark.parametrize(("make", "message"), [(False, "no such folder"), (True, "no config.json")])
def test_what_is_not_a_run_is_refused_in_one_line(tmp_path: Path, make: bool, message: str) -> None:
    folder = tmp_path / "x"
    if make:
        folder.mkdir()
    with pytest.raises(UserError, match=message):
        write_report([folder])
    with pytest.raises(UserError, match="at least one"):
        write_report([])
