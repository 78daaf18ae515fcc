"""Several labels and numbers from every source that can hold them; what is none of these is refused in a line."""

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tiny import draw
from unmask.config import DataConfig
from unmask.data.load import load_data
from unmask.data.sources.read import read_source
from unmask.data.sources.source import Source
from unmask.data.sources.torch_dataset import read_given
from unmask.errors import UserError
from unmask.evaluate.labels import UNKNOWN

COUNT = 24
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (COUNT, 8, 8), dtype=np.uint8)
Read = Callable[[Path, Sequence[Any]], Source]


def _npz(folder: Path, labels: Sequence[Any], **how: Any) -> Source:
    width = max(len(one) for one in labels if isinstance(one, list)) if isinstance(labels[0], list) else 0
    rows = [[np.nan] * width if one is None else one for one in labels] if width else labels
    np.savez(folder / "x.npz", images=IMAGES, labels=np.array(rows))
    return read_source(DataConfig(data=str(folder / "x.npz"), **how), labels=True)


def _given(folder: Path, labels: Sequence[Any], **how: Any) -> Source:
    pairs = [
        (torch.from_numpy(image)[None], torch.tensor(label) if isinstance(label, list) else label)
        for image, label in zip(IMAGES, labels, strict=True)
    ]
    return read_given(pairs, "given:x", labels=True, task=DataConfig(**how).asked_task)


def _shards(folder: Path, labels: Sequence[Any], **how: Any) -> Source:
    with tarfile.open(folder / "x.tar", "w") as tar:
        for index, label in enumerate(labels):
            png = io.BytesIO()
            Image.fromarray(IMAGES[index]).save(png, "PNG")
            for name, content in (("png", png.getvalue()), ("json", json.dumps({"label": label}).encode())):
                member = tarfile.TarInfo(f"{index:03}.{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return read_source(DataConfig(data=str(folder / "x.tar"), **how), labels=True)


def _hugging_face(folder: Path, labels: Sequence[Any], **how: Any) -> Source:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    rows = {"image": [Image.fromarray(image) for image in IMAGES], "label": list(labels)}
    datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image()).save_to_disk(folder / "x")
    return read_source(DataConfig(data=f"hf:{folder / 'x'}", **how), labels=True)


sources = pytest.mark.parametrize("read", [_npz, _given, _shards, _hugging_face])
LEVELS = [0.25 + i for i in range(COUNT)]
ROWS = [[i % 2, int(i % 3 > 0), int(i > 5)] for i in range(COUNT)]


@sources
def test_decimals_are_numbers(read: Read, tmp_path: Path) -> None:
    source = read(tmp_path, LEVELS)
    assert source.task is not None
    assert source.task.name == "regression"
    assert source.labels[:, 0].tolist() == LEVELS


@sources
def test_rows_of_flags_are_labels_and_rows_of_numbers_are_numbers(read: Read, tmp_path: Path) -> None:
    source = read(tmp_path, ROWS)
    assert source.task is not None
    assert (source.task.name, len(source.task.names)) == ("multilabel", 3)
    assert source.labels.tolist() == ROWS
    (tmp_path / "more").mkdir()
    source = read(tmp_path / "more", [[float(i), 0.5 * i] for i in range(COUNT)])
    assert source.task is not None
    assert source.task.name == "regression"
    assert source.labels[3].tolist() == [3.0, 1.5]


@pytest.mark.parametrize("read", [_given, _shards, _hugging_face])
def test_lists_of_names_are_labels(read: Read, tmp_path: Path) -> None:
    """None is unknown, an empty list is none of them."""
    names: list[Any] = [[["a"], ["a", "b"], [], ["b"]][i % 4] for i in range(COUNT - 1)] + [None]
    source = (
        read(tmp_path, names)
        if read is not _given
        else read_given(
            [(torch.from_numpy(IMAGES[i])[None], name) for i, name in enumerate(names)], "given:x", labels=True
        )
    )
    assert source.task is not None
    assert (source.task.name, source.task.names) == ("multilabel", ("a", "b"))
    assert source.labels[[0, 1, 2, -1]].tolist() == [[1, 0], [1, 1], [0, 0], [UNKNOWN, UNKNOWN]]


@sources
def test_text_with_separators_is_labels(read: Read, tmp_path: Path) -> None:
    source = read(tmp_path, ["a;b" if i % 3 else "b" if i % 2 else ";" for i in range(COUNT)])
    assert source.task is not None
    assert source.task.names == ("a", "b")


@sources
def test_many_whole_numbers_are_asked_about(read: Read, tmp_path: Path) -> None:
    """0 to 23, all there, are indices of classes; years are not."""
    source = read(tmp_path, list(range(COUNT)))
    assert len(source.classes) == COUNT
    (tmp_path / "years").mkdir()
    years = [1990 + i for i in range(COUNT)]
    with pytest.raises(UserError, match="24 different whole numbers, classes or quantities: say which with `task`"):
        read(tmp_path / "years", years)
    (tmp_path / "told").mkdir()
    source = read(tmp_path / "told", years, task="regression")  # type: ignore[call-arg]
    assert source.labels[:, 0].tolist() == years


@sources
def test_one_hot_rows_are_refused_unless_asked_for(read: Read, tmp_path: Path) -> None:
    one_hot = [[int(i % 3 == at) for at in range(3)] for i in range(COUNT)]
    with pytest.raises(UserError, match="each row of labels has one 1: store the argmax of one-hot rows"):
        read(tmp_path, one_hot)
    (tmp_path / "told").mkdir()
    assert read(tmp_path / "told", one_hot, task="multilabel").labels.tolist() == one_hot  # type: ignore[call-arg]


@pytest.mark.parametrize("label", [{"box": [1, 2]}, [["a", 1]], [[[1, 2], [3, 4]]]])
def test_what_is_no_label_is_refused_and_not_read_for_pretraining(label: Any) -> None:
    """Boxes, mixed lists: never taken for "no label" where labels are needed."""
    label = label[0] if isinstance(label, list) else label
    pairs = [(torch.from_numpy(image)[None], label) for image in IMAGES]
    with pytest.raises(UserError, match="a label is a"):
        read_given(pairs, "given:x", labels=True)
    data = load_data(DataConfig(data="given:x"), labels=False, progress=False, given=pairs)
    assert data.task is None
    assert any(note.startswith("labels are not read: given:x: a label is a") for note in data.notes)


def test_classes_of_folders_are_not_numbers(tmp_path: Path) -> None:
    """Nor several labels: the task asked for is not ignored."""
    for name in ("1", "2"):
        draw(tmp_path, *(f"{name}/{i}.png" for i in range(4)), mode="L")
    with pytest.raises(UserError, match=r"task = 'regression': the labels of .* are for classification"):
        read_source(DataConfig(data=str(tmp_path), task="regression"), labels=True)
    with pytest.raises(UserError, match="task = 'multilabel': the labels of digits are for classification"):
        read_source(DataConfig(data="digits", task="multilabel"), labels=True)


def test_rows_of_different_lengths_are_refused() -> None:
    pairs = [(torch.from_numpy(image)[None], [0.5] * (1 + i % 2)) for i, image in enumerate(IMAGES)]
    with pytest.raises(UserError, match="rows of different lengths"):
        read_given(pairs, "given:x", labels=True)


def test_several_columns_of_a_table_are_named(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"image": [Image.fromarray(image) for image in IMAGES], "age": LEVELS, "weight": [2 * one for one in LEVELS]}
    datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image()).save_to_disk(tmp_path / "x")
    source = read_source(DataConfig(data=f"hf:{tmp_path / 'x'}", label_field="age,weight"), labels=True)
    assert source.task is not None
    assert source.task.names == ("age", "weight")
    assert source.labels[1].tolist() == [1.25, 2.5]


def test_a_cls_member_is_a_class_whatever_its_number(tmp_path: Path) -> None:
    """By WebDataset's convention; decimals in it are not."""
    for name, of, task in (("a", lambda i: 7 * i, "classification"), ("b", lambda i: i + 0.5, "regression")):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            for index in range(COUNT):
                png = io.BytesIO()
                Image.fromarray(IMAGES[index]).save(png, "PNG")
                for field, content in (("png", png.getvalue()), ("cls", str(of(index)).encode())):
                    member = tarfile.TarInfo(f"{index:03}.{field}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        source = read_source(DataConfig(data=str(tmp_path / f"{name}.tar")), labels=True)
        assert source.task is not None
        assert source.task.name == task
