"""Pages of single runs and of several side by side."""

import html
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from page_checker import check_page
from unmask.config import ClassifyConfig, PretrainConfig
from unmask.errors import UserError
from unmask.report.page import write_report
from unmask.report.png import data_uri
from unmask.runs.contents import read_runs
from unmask.runs.files import write_json
from unmask.runs.read import read_record, write_config
from unmask.runs.records import DataFacts, Environment

Writer = Callable[..., Path]


@pytest.mark.slow
def test_single_runs_have_a_page(tmp_path: Path, pretraining_folder: Writer, classification_folder: Writer) -> None:
    pretraining = pretraining_folder(tmp_path / "pre")
    text = write_report([pretraining]).read_text(encoding="utf-8")
    assert re.search(r"After 800 steps the reconstruction loss on validation images is 0\.3\d*, \d\d% below", text)
    fine = classification_folder(tmp_path / "fine", init="runs/pre")
    text = write_report([fine]).read_text(encoding="utf-8")
    assert "Right on 80.0 % of test images, learned from 50 labeled images." in text
    assert "1 unreadable file left out" in text
    assert "start: runs/pre" in text


@pytest.mark.slow
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
        assert check_page(write_report([tmp_path / name])).headings == [name, "How it was run"]


def test_pictures_say_which_channel_they_show(tmp_path: Path, pretraining_folder: Writer) -> None:
    """Where images have more channels than a color picture, and only there."""
    run = pretraining_folder(tmp_path / "pre", steps=200)
    written = read_record(Environment, run / "environment.json")
    for channels, said in ((3, False), (1, False), (5, True)):
        facts = replace(written, data=DataFacts(fingerprint="f", channels=channels))
        write_json(run / "environment.json", facts)
        text = write_report([run]).read_text(encoding="utf-8")
        assert (f"The first of {channels} channels is shown, in gray." in text) == said


@pytest.mark.slow
def test_runs_side_by_side(tmp_path: Path, pretraining_folder: Writer, classification_folder: Writer) -> None:
    folders = [
        pretraining_folder(tmp_path / "a", seed=1, steps=200),
        pretraining_folder(tmp_path / "b", seed=2, steps=200),
        classification_folder(tmp_path / "fine", init="runs/pre"),
        classification_folder(tmp_path / "scratch", accuracy=0.7),
    ]
    page = write_report(folders, tmp_path / "all.html")
    checker = check_page(page)
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
