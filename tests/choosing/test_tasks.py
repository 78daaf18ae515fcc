"""Choosing and labeling where images have several labels, masks, or numbers."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from unmask.choosing.choose_images import choose
from unmask.choosing.known_labels import labeled_ids
from unmask.choosing.label_page import label
from unmask.choosing.record import read_choice
from unmask.choosing.uncertainty import doubts
from unmask.config import ClassifyConfig, ClassifyRecipe, DataConfig, OptimizerConfig
from unmask.errors import UserError
from unmask.stages.classify import scratch
from unmask.tasks.classification import Classification
from unmask.tasks.multilabel import Multilabel

LABELS = {"several": ("", "a;b", "b", ";"), "numbers": ("", "-1.5", "-2.25", "0.5"), "classes": ("", "a", "b", "b")}
TASKS = {"several": "multilabel", "numbers": "regression", "classes": "classification"}


def manifest(photos: Path, file: Path, kind: str) -> Path:
    """30 pictures, of which the first eight have no label, the others one of a kind."""
    texts = [LABELS[kind][0] if at < 8 else LABELS[kind][1 + at % 3] for at in range(30)]
    rows = [f"{photos / f'{at:02d}.png'},{text}" for at, text in enumerate(texts)]
    file.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def of_several(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on several labels."""
    folder = tmp_path_factory.mktemp("several")
    data = DataConfig(data=str(manifest(photos, folder / "data.csv", "several")), image_size=(16, 16))
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=2, batch_size=8))
    config = ClassifyConfig(data=data, encoder=tiny.RESNET, recipe=recipe, metric="mean_average_precision")
    return scratch(config, folder / "run", progress=False)


@pytest.mark.parametrize("kind", LABELS)
def test_what_has_a_label_of_any_task_is_not_proposed(run: Path, photos: Path, tmp_path: Path, kind: str) -> None:
    """Several labels, none of which may apply, and numbers below zero are labels."""
    data = str(manifest(photos, tmp_path / "data.csv", kind))
    assert len(labeled_ids(tiny.load(Path(data)), data, None)) == 22
    choose(run, tmp_path / "c", data=data, split="all", count=8, progress=False)
    choice, paths = read_choice(tmp_path / "c")
    assert sorted(Path(path).name for path in paths) == [f"{at:02d}.png" for at in range(8)]
    assert (choice.labeled, choice.task) == (22, TASKS[kind])


def test_a_page_asks_for_several_labels_where_the_task_does(run: Path, photos: Path, tmp_path: Path) -> None:
    """By the data, and by the run where the data say nothing; classes are the labels."""
    data = str(manifest(photos, tmp_path / "data.csv", "several"))
    choose(run, tmp_path / "c", data=data, split="all", count=3, progress=False)
    text = label(tmp_path / "c").out.read_text(encoding="utf-8")
    found = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', text, re.S)
    assert found is not None
    page = json.loads(found[1])
    assert (page["several"], page["classes"]) == (True, ["a", "b"])


def test_a_run_of_several_labels_chooses_and_doubts(of_several: Path, photos: Path, tmp_path: Path) -> None:
    """Its labels are the page's where the images have none, and its doubts stand in the reasons."""
    choose(of_several, tmp_path / "c", data=str(photos), count=30, model=of_several, progress=False)
    choice, _ = read_choice(tmp_path / "c")
    assert (choice.task, choice.classes) == ("multilabel", ("a", "b"))
    assert label(tmp_path / "c").classes == ("a", "b")
    with (tmp_path / "c" / "choose.csv").open(newline="", encoding="utf-8") as stream:
        assert all(row["reason"].endswith("unsure") for row in csv.DictReader(stream))


def test_doubts_by_hand() -> None:
    """Two classes are one label that applies or not; of several labels the least certain one counts."""
    logits = torch.tensor([[0.0, 2.0], [-1.0, 0.0]])
    two = doubts(Classification(classes=("a", "b")), logits)
    one = doubts(Multilabel(labels=("b",)), logits[:, 1:] - logits[:, :1])
    assert np.allclose(two, one)
    several = doubts(Multilabel(labels=("a", "b", "c")), torch.tensor([[9.0, -9.0, 0.0], [9.0, -9.0, 9.0]]))
    assert float(several[0]) == 1
    assert float(several[1]) < 0.001


def test_masks_are_chosen_for_and_not_drawn(tmp_path: Path) -> None:
    """A segmentation run chooses images; page and doubts, which it has none of, are refused in a line."""
    data = DataConfig(data=str(tiny.mask_folder(tmp_path / "data", size=32)), image_size=(32, 32))
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=1, batch_size=4))
    config = ClassifyConfig(data=data, encoder=tiny.resnet(unstrided=0), recipe=recipe, metric="miou")
    run = scratch(config, tmp_path / "run", progress=False)
    choose(run, tmp_path / "c", data=str(tmp_path / "data"), count=4, progress=False)
    assert read_choice(tmp_path / "c")[0].task == "segmentation"
    with pytest.raises(UserError, match="segmentation needs masks, and this page gives names") as raised:
        label(tmp_path / "c", classes=("a", "b"))
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="is a run of segmentation, whose outputs do not show uncertainty"):
        choose(run, tmp_path / "d", count=2, model=run, progress=False)


def test_numbers_are_not_names(run: Path, photos: Path, tmp_path: Path) -> None:
    """One line."""
    data = str(manifest(photos, tmp_path / "data.csv", "numbers"))
    choose(run, tmp_path / "c", data=data, split="all", count=2, progress=False)
    with pytest.raises(UserError, match="regression needs numbers, and this page gives names"):
        label(tmp_path / "c", classes=("a", "b"))
