"""Batches depend on (seed, epoch, sample id) alone: not on batch size, order, workers, or the place of the pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unmask.config import AugmentConfig, DataConfig
from unmask.data.imageset import Batch, ImageSet, room
from unmask.data.load import Dataset, load_data
from unmask.data.pixels import CachedPixels
from unmask.errors import UserError

STRONG = AugmentConfig(flip_vertical=0.5, shift=0.2, brightness=0.3, contrast=0.3, saturation=0.3)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data(DataConfig(data="digits"), labels=True, progress=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 10 color images of different sizes."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in "ab":
        (root / name).mkdir()
        for i in range(10):
            pixels = rng.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


def run(data: Dataset, images: ImageSet, order: Tensor, size: int, **how: object) -> dict[int, Tensor]:
    """Augmented images by their ids."""
    parts = images.batches(order, size, augment=STRONG, **how)  # type: ignore[arg-type]
    return {int(i): image for part in parts for i, image in zip(part.ids, part.images, strict=True)}


def same(a: dict[int, Tensor], b: dict[int, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[i], b[i]) for i in a)


def test_batch_size_and_order_do_not_change_a_bit(digits: Dataset) -> None:
    images = digits.pretrain
    order = torch.arange(300)
    reference = run(digits, images, order, 128, seed=3, epoch=2)
    assert same(reference, run(digits, images, order.flip(0), 7, seed=3, epoch=2))
    assert same(reference, run(digits, images.select(range(300)), order, 1, seed=3, epoch=2))


@pytest.mark.parametrize("key", [{"seed": 4, "epoch": 2}, {"seed": 3, "epoch": 1}])
def test_another_seed_or_epoch_changes_every_image(digits: Dataset, key: dict[str, int]) -> None:
    order = torch.arange(50)
    a, b = run(digits, digits.pretrain, order, 50, seed=3, epoch=2), run(digits, digits.pretrain, order, 50, **key)
    assert all(not torch.equal(a[i], b[i]) for i in a)


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_equals_cached_to_the_last_bit(folder: Path, workers: int) -> None:
    config = DataConfig(data=str(folder), image_size=(16, 16), workers=workers)
    cached = load_data(config, labels=True, progress=False)
    streamed = load_data(replace(config, cache_mib=0), labels=True, progress=False)
    assert cached.pretrain.pixels.cached
    assert not streamed.pretrain.pixels.cached
    order = torch.arange(len(cached.pretrain))
    assert cached.format == streamed.format
    assert torch.equal(cached.pretrain.raw(order), streamed.pretrain.raw(order))
    assert same(run(cached, cached.pretrain, order, 5), run(streamed, streamed.pretrain, order, 3))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 1, 5, 7), (64, 3, 32, 32), (17, 3, 129, 129), (0, 3, 8, 8)])
def test_memory_of_a_batch_begins_where_torch_begins(shape: tuple[int, ...]) -> None:
    several = [room(*shape) for _ in range(5)]
    assert all(one.shape == shape and one.dtype == torch.float32 and one.is_contiguous() for one in several)
    assert all(one.data_ptr() % 64 == 0 for one in several)


def test_start_goes_on_where_an_epoch_was_left(digits: Dataset) -> None:
    def images_from(start: int) -> list[Batch]:
        order = torch.arange(100).flip(0)
        return list(digits.pretrain.batches(order, 32, augment=STRONG, start=start))

    whole, rest = images_from(0), images_from(2)
    assert [len(batch.ids) for batch in whole] == [32, 32, 32, 4]
    assert all(torch.equal(a.images, b.images) for a, b in zip(whole[2:], rest, strict=True))


def test_without_augmentation_a_batch_is_the_normalized_raw_image(digits: Dataset) -> None:
    pixels = digits.pretrain.pixels
    assert isinstance(pixels, CachedPixels)
    other = replace(pixels, format=replace(pixels.format, mean=(0.25,), std=(0.5,)))
    batch = next(replace(digits.pretrain, pixels=other).batches(torch.tensor([5, 3]), 2))
    raw = digits.pretrain.raw([5, 3])
    assert raw.min() >= 0
    assert raw.max() == 1
    assert torch.equal(batch.images, (raw - 0.25) / 0.5)
    assert batch.labels.tolist() == digits.pretrain.labels[[5, 3]].tolist()
    assert batch.ids.tolist() == digits.pretrain.ids[[5, 3]].tolist()


def test_selection_keeps_images_labels_ids_and_names_together(digits: Dataset) -> None:
    train = digits.train
    assert train is not None
    twice = train.select([9, 2, 40]).select([2, 0])
    assert torch.equal(twice.raw([0, 1]), train.raw([40, 9]))
    assert twice.names == (train.names[40], train.names[9])
    assert twice.ids.tolist() == [train.ids[40], train.ids[9]]
    assert twice.labels.tolist() == [train.labels[40], train.labels[9]]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_vanishes_is_named_or_left_out(folder: Path, tmp_path: Path, workers: int) -> None:
    for path in folder.rglob("*.png"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.parent.name / path.name).write_bytes(path.read_bytes())
    config = DataConfig(data=str(tmp_path), image_size=(8, 8), cache_mib=0, workers=workers)
    data = load_data(config, labels=True, progress=False)
    (tmp_path / data.pretrain.names[1]).unlink()
    order = torch.arange(4)

    def read(policy: str) -> list[list[int]]:
        images = replace(data.pretrain, on_bad_file=policy)
        return [batch.ids.tolist() for batch in images.batches(order, 2)]

    ids = data.pretrain.ids.tolist()
    assert read("skip") == [[ids[0]], ids[2:4]]
    with pytest.raises(UserError, match=data.pretrain.names[1]):
        read("error")
    with pytest.raises(UserError, match=data.pretrain.names[1]):
        data.pretrain.raw([0, 1])
