"""A class for every pixel: pretrain on images without masks, fine-tune on six with one, predict masks of new images.

    pip install 'unmask[segmentation]'
    python examples/segmentation.py             (seconds on one core)

Striped patches lie on noise of the same brightness and contrast; a mask marks the pixels of upright and of lying
stripes. 200 images have no mask and are used for pretraining only. A table lists the masks here (path, mask, split);
folders `images` and `masks` work as well. One training of each kind is not evidence: `unmask compare` repeats them over
draws of the masks and gives intervals.
"""

import csv
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import unmask
from unmask.config import (
    ClassifyConfig,
    ClassifyRecipe,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainConfig,
    PretrainRecipe,
    TargetConfig,
)

SIZE = 32
CLASSES = ("background", "upright", "lying")


def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image and its mask, uint8 (32, 32) each."""
    image, mask = rng.normal(0, 1, (SIZE, SIZE)), np.zeros((SIZE, SIZE), np.uint8)
    y, x = np.mgrid[:SIZE, :SIZE]
    for label, along in ((1, x), (2, y)):
        side = rng.integers(10, 18)
        top, left = rng.integers(0, SIZE - side, 2)
        patch = slice(top, top + side), slice(left, left + side)
        stripes = np.sqrt(2) * np.sin(1.5 * along + rng.uniform(0, 2 * np.pi))
        image[patch] = stripes[patch] + rng.normal(0, 0.3, (side, side))
        mask[patch] = label
    return (127 + 40 * image).clip(0, 255).astype(np.uint8), mask


def write_table(folder: Path, counts: dict[str, int], seed: int) -> Path:
    """Images, masks, table.csv and classes.csv; images of the split "unlabeled" get no mask."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    rows = []
    for split, count in counts.items():
        for index in range(count):
            image, mask = draw(rng)
            name = f"{split}{index}.png"
            Image.fromarray(image).save(folder / name)
            if split != "unlabeled":
                Image.fromarray(mask).save(folder / f"mask_{name}")
            rows.append((name, "" if split == "unlabeled" else f"mask_{name}", split))
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "mask", "split"), *rows])
    (folder / "classes.csv").write_text("name\n" + "\n".join(CLASSES) + "\n")
    return folder / "table.csv"


def main(folder: Path) -> None:
    """The whole path from images and masks to masks of new images."""
    table = write_table(folder / "data", {"train": 12, "val": 10, "test": 40, "unlabeled": 200}, seed=0)
    data = DataConfig(data=str(table))
    encoder = EncoderConfig(
        encoder="resnet10t",
        encoder_options={"channels": (16, 24, 32, 32), "stem_width": 8, "stem_type": "deep"},
        unstrided=2,
    )
    pretraining = PretrainConfig(
        data=data,
        encoder=encoder,
        recipe=PretrainRecipe(
            mask=MaskConfig(cell=4, mask_ratio=0.5),
            target=TargetConfig(decoder_width=32),
            optimizer=OptimizerConfig(epochs=5, batch_size=25, lr=3e-3),
        ),
    )
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=40, batch_size=6, lr=3e-3))
    run = unmask.pretrain(pretraining, folder / "pretrained", progress=False)
    labels = ClassifyConfig(data=data, encoder=encoder, recipe=recipe, budget=6)
    alone = unmask.scratch(labels, folder / "scratch", progress=False)
    tuned = unmask.finetune(labels, folder / "tuned", init=run, progress=False)
    print(", ".join(CLASSES))
    for name, found in (("tuned", tuned), ("scratch", alone)):
        scores = found.scores["test"]
        each = ", ".join(f"{one.name} {100 * one.iou:.0f}" for one in scores.per_class)
        print(f"{name}: mIoU {100 * scores.miou:.1f} % on the test images ({each}), from 6 masks")
    new = write_table(folder / "new", {"test": 8}, seed=1)
    print(unmask.predict(tuned, folder / "masks", data=str(new), progress=False))
    with Image.open(folder / "masks" / "test0.png") as mask:
        found = np.asarray(mask)
    shown = ", ".join(CLASSES[value] for value in np.unique(found))
    print(f"test0.png: {found.shape[0]} x {found.shape[1]} pixels of {shown}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
