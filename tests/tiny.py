"""Data sets, encoders and configurations that train in a second. Every test imports them from here and changes what it
is about, in the call or with `dataclasses.replace`."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.config import (
    AugmentConfig,
    CompareConfig,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainRecipe,
    TargetConfig,
)
from unmask.data.load import Dataset, load_data
from unmask.data.sources.source import Arrays, Source, split_array
from unmask.evaluate.labels import UNKNOWN
from unmask.tasks.multilabel import Multilabel
from unmask.tasks.regression import Regression
from unmask.theory.distribution import Distribution
from unmask.theory.setting import Setting

LABORATORY = Setting(
    data=Distribution(classes=4, dim=10, patches=8, others=2.0),
    kernels_per_class=12,
    samples=120,
    labeled=120,
    test_samples=200,
)
"""Of the theory: four classes, eight features, 48 kernels. Every run of it takes about a second."""


def multiview(images: int = 60, val: int = 30, test: int = 30, *, size: int = 16, **options: Any) -> DataConfig:
    """Synthetic gray images of three classes, whose parts fill a quarter of the side."""
    counts = {"images": images, "val_images": val, "test_images": test}
    return DataConfig(
        data="multiview", options={**counts, "classes": 3, "size": size, "part_size": size // 4, **options}
    )


def resnet(*, unstrided: int = 2, **options: Any) -> EncoderConfig:
    """A ResNet of four blocks with eight channels; two strides taken out leave 4 x 4 cells of a 16-pixel image."""
    options = {"channels": (8, 8, 8, 8), "stem_width": 4, "stem_type": "deep", **options}
    return EncoderConfig(encoder="resnet10t", encoder_options=options, unstrided=unstrided)


def vit(width: int = 16, *, patch: int = 4) -> EncoderConfig:
    """A ViT of two blocks with two heads."""
    options = {"patch_size": patch, "embed_dim": width, "depth": 2, "num_heads": 2}
    return EncoderConfig(encoder="vit_tiny_patch16_224", encoder_options=options)


def patchnet(width: int = 8, **options: Any) -> EncoderConfig:
    """The paper's encoder with 4 x 4 kernels."""
    return EncoderConfig(encoder="patchnet", encoder_options={"width": width, "patch": 4, **options})


DATA = multiview()
"""60 training images, 30 of validation, 30 of the test set; 16 px."""
RESNET, VIT, PATCHNET = resnet(), vit(), patchnet()
OVERLAPPING_PATCHNET = patchnet(stride=2)
SMALL_DECODER = TargetConfig(decoder_width=8)
LINEAR_PIXELS = TargetConfig(target="pixels", decoder="linear", decoder_width=8)


def pretrain_recipe(
    *,
    mask: MaskConfig | None = None,
    target: TargetConfig = SMALL_DECODER,
    augment: AugmentConfig | None = None,
    **optimizer: Any,
) -> PretrainRecipe:
    """Half of the 4 x 4 cells hidden, unless told otherwise; `optimizer` are fields of the optimizer."""
    return PretrainRecipe(
        mask=mask or MaskConfig(cell=4, mask_ratio=0.5),
        target=target,
        augment=augment or AugmentConfig(),
        optimizer=OptimizerConfig(**optimizer),
    )


def comparison(**changes: Any) -> CompareConfig:
    """One pretraining, two label draws of three images per class and one of tuning; `changes` are any of its fields."""
    fields = {
        "data": DATA,
        "encoder": OVERLAPPING_PATCHNET,
        "pretrain": pretrain_recipe(target=LINEAR_PIXELS, epochs=1, batch_size=16),
        "budgets": (3,),
        "draws": 2,
        "tuning_draws": 1,
        "pretrainings": 1,
    }
    return CompareConfig(**{**fields, **changes})


def numbered(*classes: str, count: int = 6) -> list[str]:
    """a/0.png, a/1.png, …, b/0.png, …: the names of `count` files per class."""
    return [f"{name}/{index}.png" for name in classes for index in range(count)]


def picture(height: int = 24, width: int = 24, *, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """A smooth picture, which JPEG changes little; another for each seed."""
    rough = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def draw(folder: Path, *names: str, size: tuple[int, int] = (24, 24), mode: str = "RGB") -> Path:
    """A picture per name, a function of the name; returns the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(*size, mode=mode, seed=zlib.crc32(name.encode())).save(folder / name)
    return folder


def load(path: Path, *, labels: bool = True, **fields: Any) -> Dataset:
    """The data set of a path; `fields` are those of its configuration."""
    return load_data(DataConfig(data=str(path), **fields), labels=labels, progress=False)


def image_names(data: Dataset) -> list[str]:
    """All images of training, validation and test set, sorted."""
    sets = [data.pretrain, data.val, data.tests.get("test")]
    return sorted(name for images in sets if images is not None for name in images.names)


def confusion_entries(counts: list[list[int]]) -> tuple[tuple[int, int, int], ...]:
    """A confusion matrix as results hold it: true class, predicted class, images."""
    return tuple((i, j, n) for i, row in enumerate(counts) for j, n in enumerate(row) if n)


def mask_folder(root: Path, counts: dict[str, int] | None = None, *, size: int = 16) -> Path:
    """Gray images with a bright and a dark square on noise, and their masks: classes 1 and 2; of each split so many."""
    rng = np.random.default_rng(0)
    for split, count in (counts or {"train": 12, "val": 6, "test": 6}).items():
        for index in range(count):
            image, mask = rng.normal(128, 12, (size, size)), np.zeros((size, size), np.uint8)
            for label, level in ((1, 220), (2, 30)):
                top, left = rng.integers(0, size - size // 3, 2)
                square = slice(top, top + size // 3), slice(left, left + size // 3)
                image[square], mask[square] = level, label
            mask[0, 0] = 255
            for kind, values in (("images", image.clip(0, 255).astype(np.uint8)), ("masks", mask)):
                file = root / split / kind / f"{index}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(file)
    (root / "classes.csv").write_text("name\nbackground\nbright\ndark\n")
    return root


def labeled_source(task: str, counts: dict[str, int] | None = None, *, size: int = 16) -> Source:
    """Gray noise with a bright and a dark square, each in about half of the images, and what is to be learned of it.

    `multilabel`: which squares are there; `regression`: how bright the noise is and how large the squares are, whole
    hundreds apart. A few labels are unknown.
    """
    rng, splits = np.random.default_rng(0), []
    for split, count in (counts or {"train": 24, "val": 10, "test": 11}).items():
        splits += [split] * count
    images = rng.normal(0, 12, (len(splits), 1, size, size))
    shown, level = rng.random((len(splits), 2)) < 0.5, rng.random((len(splits), 2))
    images += 90 + 60 * level[:, :1, None, None]
    side = size // 3
    images[:, 0, :side, :side] += 90 * shown[:, :1, None]
    images[:, 0, -side:, -side:] -= 90 * shown[:, 1:, None]
    labels: NDArray[np.generic] = shown.astype(np.uint8)
    if task == "regression":
        labels = np.stack([1000 + 100 * level[:, 0], -3 + 6.0 * shown.sum(1)], axis=1)
    labels[1, 0] = UNKNOWN if task == "multilabel" else np.nan
    kinds = {
        "multilabel": Multilabel(labels=("bright", "dark")),
        "regression": Regression(targets=("level", "squares")),
    }
    return Source(
        names=[f"{split}/{i}.png" for i, split in enumerate(splits)],
        labels=labels,
        splits=split_array(splits),
        images=Arrays(images.clip(0, 255).round().astype(np.uint8)),
        task=kinds[task],
    )


def labeled_manifest(folder: Path, task: str, counts: dict[str, int] | None = None, *, size: int = 16) -> Path:
    """The same as files: a manifest with a column for each label or number."""
    source = labeled_source(task, counts, size=size)
    assert source.task is not None
    rows = [",".join(("path", "split", *(f"label {name}" for name in source.task.names)))]
    unknown = [str(UNKNOWN), "nan"]
    for row, (name, split, own) in enumerate(zip(source.names, source.splits, source.labels.tolist(), strict=True)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = source.images.stored(row)
        assert isinstance(pixels, np.ndarray)
        Image.fromarray(pixels[0]).save(folder / name)
        rows.append(",".join((name, split, *("" if str(one) in unknown else str(one) for one in own))))
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder / "manifest.csv"
