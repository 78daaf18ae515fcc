"""True masks of other data in the classes of a run: by name, whatever their order, and by index without names."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from unmask.data.imageset import ImageSet
from unmask.deploy.mask_truth import truth_for
from unmask.deploy.predict_masks import PredictedMasks
from unmask.errors import UserError

RUN = ("background", "bright", "dark")
UNNAMED = ("background", "1", "2")


def recoded(folder: Path, order: Sequence[int], names: Sequence[str]) -> tuple[ImageSet, tuple[str, ...]]:
    """Two images of each split whose masks hold value `order[k]` for class k, with these names if any."""
    tiny.mask_folder(folder, {"train": 2, "val": 2, "test": 2})
    for path in folder.glob("*/masks/*.png"):
        mask = np.asarray(Image.open(path))
        new = np.full_like(mask, 255)
        for label, value in enumerate(order):
            new[mask == label] = value
        Image.fromarray(new).save(path)
    (folder / "classes.csv").unlink()
    if names:
        (folder / "classes.csv").write_text("\n".join(("name", *names, "")))
    data = tiny.load(folder)
    assert data.task is not None
    return data.readable, data.task.names


@pytest.mark.case("masks of the same classes in another order were scored as others, without a word")
@pytest.mark.parametrize(
    ("order", "names"),
    [
        ((0, 2, 1), ("background", "dark", "bright")),
        ((2, 0, 1), ("bright", "dark", "background")),
        ((0, 4, 2), ("background", "odd", "dark", "more", "bright")),
        ((0, 1, 2), ()),
    ],
)
def test_classes_are_matched_by_name_and_without_names_by_index(
    tmp_path: Path, order: tuple[int, ...], names: tuple[str, ...]
) -> None:
    expected, _ = recoded(tmp_path / "own", (0, 1, 2), RUN)
    images, found = recoded(tmp_path / "new", order, names)
    truth = truth_for(images, found, RUN)
    assert torch.equal(truth.images.labels, expected.labels)
    assert (truth.unknown, truth.by_index) == ({}, not names)
    assert not truth_for(images, found, found).by_index


@pytest.mark.case("pixels of a class that the run lacks counted for the next image")
def test_a_class_that_the_run_lacks_is_ignored_and_counted(tmp_path: Path) -> None:
    images, found = recoded(tmp_path, (0, 1, 2), ("background", "lamp", "dark"))
    truth = truth_for(images, found, RUN)
    lamps = int((images.labels == 1).flatten(1).any(1).sum())
    assert truth.unknown == {"lamp": lamps}
    assert torch.equal(truth.images.labels, torch.where(images.labels == 1, 255, images.labels))
    assert truth_for(images, found, ("sky", "sea")).unknown == {"background": 6, "dark": 6, "lamp": lamps}


def test_one_side_without_names_is_matched_by_index(tmp_path: Path) -> None:
    images, found = recoded(tmp_path / "named", (0, 1, 2), ("sky", "bright", "dark"))
    truth = truth_for(images, found, UNNAMED)
    assert truth.by_index
    assert torch.equal(truth.images.labels, images.labels)
    few, found = recoded(tmp_path / "few", (0, 1, 1), ())
    assert found == UNNAMED[:2]
    assert not truth_for(few, found, UNNAMED).by_index


def test_an_index_that_the_run_lacks_is_refused(tmp_path: Path) -> None:
    images, found = recoded(tmp_path, (0, 1, 2), ())
    with pytest.raises(
        UserError, match=r"mask of test/images/0.png: holds class 2, and the run has 2: 0 \(sky\) to 1 "
    ):
        truth_for(images, found, ("sky", "sea"))


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda one: one, "out: 3 masks; mIoU 50.0% on 2 with a mask"),
        (lambda one: one | {"by_index": True}, "2 with a mask; classes matched by index, as one side has no names"),
        (lambda one: one | {"unknown": {"lamp": 1}}, "; ignored, as a class of the masks is none of this run's: lamp"),
        (
            lambda one: one | {"unknown": dict.fromkeys("abcdef", 1), "labeled": 0, "miou": None},
            "; no mask is known; ignored, as classes of the masks are none of this run's: a, b, c, d, e, ...",
        ),
    ],
)
def test_how_classes_were_matched_is_said(made: Callable[[dict[str, object]], dict[str, object]], text: str) -> None:
    facts = made({"out": Path("out"), "images": 3, "labeled": 2, "left_out": 0, "miou": 0.5})
    assert str(PredictedMasks(**facts)).endswith(text)  # type: ignore[arg-type]
