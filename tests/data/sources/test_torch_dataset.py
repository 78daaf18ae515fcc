"""A torch Dataset handed over in Python is what a folder of the same images is."""

import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, Subset
from torchvision.datasets import MNIST, ImageFolder

from unmask.config import (
    ClassifyConfig,
    ClassifyRecipe,
    DataConfig,
    EncoderConfig,
    OptimizerConfig,
    PretrainConfig,
    PretrainRecipe,
)
from unmask.data.load import Dataset, load_data
from unmask.data.sources.torch_dataset import read_given, to_pixels
from unmask.errors import UserError
from unmask.runs.files import read_json
from unmask.stages.classify import finetune
from unmask.stages.pretrain import pretrain
from unmask.tasks.classification import Classification

RNG = np.random.default_rng(0)


class Squares(TorchDataset[tuple[torch.Tensor, int]]):
    """Gray 8 x 8 images of two classes, the second brighter."""

    def __init__(self, count: int, seed: int = 0, noise: float = 0.0) -> None:
        self.values = np.random.default_rng(seed).integers(0, 100, (count, 8, 8), dtype=np.uint8)
        self.noise = noise

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        label = index % 2
        pixels = torch.from_numpy(self.values[index] + np.uint8(100 * label))[None]
        return (pixels + torch.rand(1) * self.noise if self.noise else pixels), label


def load(given: Any, **how: Any) -> Dataset:
    labels = how.pop("labels", True)
    return load_data(DataConfig(data="given:x", **how), labels=labels, progress=False, given=given)


def same(one: Dataset, two: Dataset) -> bool:
    assert one.train is not None
    assert two.train is not None
    rows = range(len(one.train))
    facts = [(d.format, d.classes, d.train.labels.tolist(), d.train.ids.tolist()) for d in (one, two)]  # type: ignore[union-attr]
    return facts[0] == facts[1] and torch.equal(one.train.raw(rows), two.train.raw(rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for name in "ab":
        (root / name).mkdir()
        for i in range(6):
            Image.fromarray(RNG.integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


def test_imagefolder_is_the_folder(folder: Path) -> None:
    theirs = load_data(DataConfig(data=str(folder)), labels=True, progress=False)
    assert same(load(ImageFolder(str(folder))), theirs)
    assert same(
        load(Subset(ImageFolder(str(folder)), range(12))), replace(theirs, task=Classification(classes=("0", "1")))
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_equals_cached(folder: Path, workers: int) -> None:
    given = ImageFolder(str(folder))
    cached, streamed = load(given), load(given, cache_mib=0, workers=workers)
    assert same(cached, streamed)
    images = [
        torch.cat([b.images for b in d.pretrain.batches(torch.arange(len(d.pretrain)), 3)]) for d in (cached, streamed)
    ]
    assert torch.equal(*images)
    assert same(pickle.loads(pickle.dumps(streamed)), cached)


def test_several_are_splits() -> None:
    data = load({"train": Squares(20), "validation": Squares(6, 1), "test": Squares(8, 2), "extra": Squares(3, 3)})
    assert data.train is not None
    assert data.val is not None
    assert (len(data.train), len(data.val), len(data.tests["test"]), len(data.pretrain)) == (20, 6, 8, 23)
    assert data.tests["test"].names[1] == "test[1]"


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)),
        torch.arange(12, dtype=torch.uint8).reshape(1, 3, 4),
        torch.arange(12, dtype=torch.uint8).reshape(3, 4),
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.arange(12, dtype=np.uint8).reshape(3, 4, 1),
    ],
)
def test_images_of_any_kind(image: object) -> None:
    assert np.array_equal(to_pixels(image), np.arange(12, dtype=np.uint8).reshape(1, 3, 4))


@pytest.mark.parametrize("item", [lambda x, y: {"image": x, "label": y}, lambda x, y: [x, y, "more"]])
def test_items_of_any_kind(item: Any) -> None:
    given = [item(*pair) for pair in Squares(10)]  # type: ignore[call-overload]
    assert same(load(given), load(Squares(10)))


class Digits(MNIST):
    """torchvision's class and reader on 40 drawn images of ten classes."""

    def __init__(self, transform: Callable[[int], Any] | None = None) -> None:
        self.data = torch.from_numpy(RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8))
        self.targets = torch.arange(40) % 10
        self.transform, self.target_transform = None, transform


class Coarse(Digits):
    """Other labels than the targets."""

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, label = super().__getitem__(index)
        return image, ["even", "odd"][label % 2]


class Noisy(Digits):
    """The label of one item differs; the class's own names hold."""

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, label = super().__getitem__(index)
        return image, 0 if index == 7 else label


@pytest.mark.case("the attribute targets overruled the labels that items have")
def test_the_label_of_an_item_is_what_the_item_says() -> None:
    """And `classes` names no other numbers than the targets."""
    assert load(Digits()).classes == tuple(MNIST.classes)
    assert load(Coarse()).classes == ("even", "odd")
    assert load(Digits(lambda label: label // 5)).classes == ("0", "1")
    assert load(Digits(lambda label: "ab"[label // 5])).classes == ("a", "b")
    noisy = read_given(Noisy(), "x", labels=True)
    assert noisy.classes == tuple(MNIST.classes)
    assert noisy.labels.tolist() == [0 if at == 7 else at % 10 for at in range(40)]


def test_torchvisions_targets_are_used_if_items_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some items are read, not all; targets that the class does not return, as those set on an ImageFolder, are not."""
    given, read = Digits(), Counter[int]()
    plain = MNIST.__getitem__

    def counted(data: Digits, index: int) -> tuple[Any, Any]:
        read[index] += 1
        image, label = plain(data, index)
        return image, label + given_more

    counted.__module__ = plain.__module__
    monkeypatch.setattr(MNIST, "__getitem__", counted)
    monkeypatch.setattr("unmask.data.sources.torch_dataset.LOOKED_AT", 5)
    given_more = 0
    assert read_given(given, "x", labels=True).labels.tolist() == [at % 10 for at in range(40)]
    assert len(read) < 10
    given_more = 10
    assert read_given(given, "x", labels=True).classes == tuple(map(str, range(10, 20)))
    assert len(read) == 40


def test_an_attribute_called_targets_that_is_none_is_left_alone() -> None:
    given = Squares(10)
    given.targets = given.__len__  # type: ignore[attr-defined]
    assert same(load(given), load(Squares(10)))


def test_images_without_labels_are_for_pretraining() -> None:
    given = [image for image, _ in Squares(10)]  # type: ignore[attr-defined]
    assert len(load(given, labels=False).pretrain) == 10
    with pytest.raises(UserError, match="labels of two or more classes"):
        load(given)


def test_labels_of_one_class_and_whole_floats() -> None:
    """Told apart from no labels; 1.0 is the class 1."""
    squares = list(Squares(10))  # type: ignore[call-overload]
    with pytest.raises(UserError, match="needed: all 10 labels are of one class"):
        load([(image, 4) for image, _ in squares])
    assert same(load([(image, torch.tensor(float(label))) for image, label in squares]), load(Squares(10)))


class Stream(IterableDataset[int]):
    """No access by index."""

    def __iter__(self) -> Any:
        return iter([])


def _broken(at: int) -> list[Any]:
    return [(torch.full((1, 8, 8), torch.nan) if i == at else torch.rand(1, 8, 8), i % 2) for i in range(9)]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (Squares(8, noise=1.0), r"given:x\[0\]: a different image on each access: remove random transforms"),
        (Stream(), "a length and access by index"),
        ([], "empty"),
        (["x", "y"], r"given:x\[0\]: str is not an image"),
        (_broken(0), r"given:x\[0\]: no pixel of the image has a value"),
        (_broken(3), r"given:x\[3\]: no pixel of the image has a value"),
    ],
)
def test_what_is_wrong_is_said(given: Any, line: str) -> None:
    with pytest.raises(UserError, match=line):
        load(given, labels=False)


@pytest.mark.parametrize("at", [0, 3])
def test_bad_images_can_be_left_out(at: int) -> None:
    data = load(_broken(at), labels=False, on_bad_file="skip", transductive=True)
    assert len(data.pretrain) == 8
    assert len(data.bad_files) == 1


def test_a_run_of_handed_over_data_resumes_and_says_where_its_data_came_from(tmp_path: Path) -> None:
    given = {"train": Squares(40), "test": Squares(10, 1)}
    encoder = EncoderConfig(encoder="patchnet", encoder_options={"width": 8, "patch": 4})
    optimizer = OptimizerConfig(steps=2, batch_size=16)
    config = PretrainConfig(encoder=encoder, recipe=PretrainRecipe(optimizer=optimizer))
    run = pretrain(config, tmp_path / "run", progress=False, dataset=given)
    assert read_json(run / "config.json")["data"]["data"] == "given:Squares"
    assert pretrain(config, run, resume=True, progress=False, dataset=given) == run
    with pytest.raises(UserError, match="fingerprint"):
        pretrain(config, run, resume=True, progress=False, dataset=given | {"train": Squares(40, 5)})
    with pytest.raises(UserError, match=r"given:Squares was handed over in Python"):
        load_data(DataConfig(data="given:Squares"), labels=False, progress=False)
    recipe = ClassifyRecipe(optimizer=optimizer)
    tuned = finetune(
        ClassifyConfig(encoder=encoder, init=str(run), recipe=recipe), tmp_path / "tuned", progress=False, dataset=given
    )
    assert read_json(tuned / "result.json")["labeled_images"] == 34
