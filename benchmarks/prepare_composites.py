"""Prepare images of several Fashion-MNIST items: which kinds they show (several labels), and how many (a number).

Zero to five items of 14 pixels at random places of 32 x 32 pixels, the brighter one in front. Training, validation and
test images show different items. Writes FOLDER/images/*.png, kinds.csv and counts.csv.

Run: python benchmarks/prepare_composites.py FOLDER
Then: unmask compare --data FOLDER/kinds.csv --budgets 100
      unmask compare --data FOLDER/counts.csv --task regression --budgets 100
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.data.sources.fashion_mnist import fashion_mnist
from unmask.data.sources.source import Source

ITEM, SIDE, MOST = 14, 32, 5
SPLITS = {"train": 3000, "val": 400, "test": 800}


def composite(
    source: Source, rows: NDArray[np.int64], draw: np.random.Generator
) -> tuple[NDArray[np.uint8], list[int]]:
    """An image (S, S) of some of the items at `rows`, and their classes."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    chosen = draw.choice(rows, draw.integers(MOST + 1))
    for row in chosen.tolist():
        item = np.asarray(source.images.stored(row)).reshape(28, 28)
        small = item.reshape(ITEM, 2, ITEM, 2).mean((1, 3)).astype(np.uint8)
        top, left = draw.integers(0, SIDE - ITEM + 1, 2)
        here = (slice(top, top + ITEM), slice(left, left + ITEM))
        image[here] = np.maximum(image[here], small)
    return image, [int(source.labels[row]) for row in chosen]


def main() -> None:
    """Write images and both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    (folder / "images").mkdir(parents=True)
    source = fashion_mnist()
    held = np.flatnonzero(source.splits == "test")
    known = np.flatnonzero(source.splits != "test")
    items = {"train": known[:50_000], "val": known[50_000:], "test": held}
    kinds, counts = [], []
    for number, (split, images) in enumerate(SPLITS.items()):
        for index in range(images):
            image, classes = composite(source, items[split], np.random.default_rng([number, index]))
            path = f"images/{split}_{index:04}.png"
            Image.fromarray(image).save(folder / path)
            names = sorted({source.classes[label] for label in classes})
            kinds.append((path, split, ";".join(names) or ";"))
            counts.append((path, split, len(classes)))
    for name, rows in (("kinds", kinds), ("counts", counts)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "split", "label"), *rows])


if __name__ == "__main__":
    main()
