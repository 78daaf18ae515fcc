"""Prepare two segmentation sets with exact outlines from images of a Debian package and of scikit-image.

stamps: cut-out drawings and photographs of Tux Paint's stamps (package tuxpaint-stamps-default), two to four per image,
pasted on crops of scikit-image's photographs. Truth is their alpha; the class is the theme. Drawings that show the same
thing (see prepare_stamps.py) share a split, and so do photographs.
multiview: images of the built-in data set `multiview`, whose parts are known: a pixel in a part of class c is c. Of the
two parts the second is faint; distractors, fainter parts of other classes, are background.

Each is a folder with train, val and test, images and masks in each, and classes.csv.

Run: python benchmarks/segmentation_sets.py stamps FOLDER
     python benchmarks/segmentation_sets.py multiview FOLDER
Then: unmask compare --data FOLDER --budgets 5 10 40
"""

import argparse
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from manifests import require_new
from numpy.typing import NDArray
from PIL import Image

from unmask.data.sources.multiview import MultiViewConfig, draw_multiview
from unmask.randomness import permutation

THEMES = ("animals", "food", "plants", "vehicles")
PHOTOGRAPHS = {
    "train": ("astronaut.png", "coffee.png", "motorcycle_left.png", "hubble_deep_field.jpg", "brick.png", "page.png"),
    "val": ("chelsea.png", "grass.png"),
    "test": ("rocket.jpg", "gravel.png", "camera.png", "retina.jpg"),
}
SHARES = {"train": 0.5, "val": 0.2, "test": 0.3}
"""Shares of the things that drawings show."""
_WORD = re.compile(r"[a-z]{2,}")


@dataclass(frozen=True)
class Setting:
    """How many images, and how large."""

    images: dict[str, int]
    size: int
    seed: int


def split_stamps(root: Path, seed: int) -> dict[str, dict[str, list[Path]]]:
    """Stamps by split and theme; those that show the same thing stay together."""
    found: dict[str, dict[str, list[Path]]] = {split: {theme: [] for theme in THEMES} for split in SHARES}
    for theme in THEMES:
        things: dict[str, list[Path]] = {}
        for file in sorted((root / theme).rglob("*.png")):
            word = _WORD.search(file.stem.lower())
            things.setdefault(word[0] if word else file.parent.as_posix(), []).append(file)
        names = sorted(things)
        order = [names[i] for i in permutation(seed, f"things {theme}", 0, len(names))]
        ends = np.round(np.cumsum(list(SHARES.values())) * len(order)).astype(int)
        for split, start, end in zip(SHARES, [0, *ends[:-1]], ends, strict=True):
            found[split][theme] = [file for name in order[start:end] for file in things[name]]
    return found


def photograph(file: Path, size: int, draw: np.random.Generator) -> NDArray[np.uint8]:
    """A random square of a photograph, between a third and all of its shorter side, at the size of the image."""
    image = Image.open(file).convert("RGB")
    side = int(min(image.size) * draw.uniform(0.34, 1))
    left, top = (int(draw.integers(0, length - side + 1)) for length in image.size)
    crop = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
    turned = np.rot90(np.asarray(crop), draw.integers(4))
    return np.ascontiguousarray(turned[:, ::-1] if draw.random() < 0.5 else turned)


def cut_out(file: Path, side: int, draw: np.random.Generator) -> NDArray[np.uint8]:
    """A stamp as RGBA, its longer side `side` pixels, mirrored at random, without empty margins."""
    stamp = Image.open(file).convert("RGBA")
    box = stamp.getchannel("A").point(lambda alpha: 255 * (alpha > 127)).getbbox()
    stamp = stamp if box is None else stamp.crop(box)
    scale = side / max(stamp.size)
    small = stamp.resize(tuple(max(1, round(length * scale)) for length in stamp.size), Image.Resampling.BOX)  # type: ignore[arg-type]
    pixels = np.asarray(small)
    return pixels[:, ::-1] if draw.random() < 0.5 else pixels


def stamp_images(
    stamps: dict[str, list[Path]], photographs: list[Path], setting: Setting, split: str
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Image (S, S, 3) and mask (S, S) of a split, one after the other."""
    size = setting.size
    for index in range(setting.images[split]):
        draw = np.random.default_rng([setting.seed, list(SHARES).index(split), index])
        image = photograph(photographs[draw.integers(len(photographs))], size, draw).copy()
        mask = np.zeros((size, size), np.uint8)
        for _ in range(draw.integers(2, 5)):
            theme = int(draw.integers(len(THEMES)))
            files = stamps[THEMES[theme]]
            stamp = cut_out(files[draw.integers(len(files))], int(size * draw.uniform(0.3, 0.6)), draw)
            height, width = stamp.shape[:2]
            top, left = (int(draw.integers(0, size - length + 1)) for length in (height, width))
            here = slice(top, top + height), slice(left, left + width)
            alpha = stamp[..., 3:] / 255
            image[here] = np.rint(alpha * stamp[..., :3] + (1 - alpha) * image[here]).astype(np.uint8)
            mask[here][stamp[..., 3] > 127] = theme + 1
        yield image, mask


def multiview_images(
    config: MultiViewConfig, split: str, count: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Image (S, S) and mask (S, S): a pixel within a part of the image's class has that class."""
    drawn = draw_multiview(config, split, np.zeros(count, np.int64))
    for image, label, boxes in zip(drawn.images[:, 0], drawn.labels, drawn.boxes, strict=True):
        mask = np.zeros(image.shape, np.uint8)
        for top, left, bottom, right in boxes[boxes[:, 0] >= 0]:
            mask[top:bottom, left:right] = label + 1
        yield image, mask


def write(folder: Path, split: str, pairs: Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> NDArray[np.int64]:
    """Write images and masks, and return the pixels of each class."""
    counts = np.zeros(256, np.int64)
    for kind in ("images", "masks"):
        (folder / split / kind).mkdir(parents=True)
    for index, (image, mask) in enumerate(pairs):
        Image.fromarray(image).save(folder / split / "images" / f"{index:05}.png")
        Image.fromarray(mask).save(folder / split / "masks" / f"{index:05}.png")
        counts += np.bincount(mask.reshape(-1), minlength=256)
    return counts


def prepare_stamps(folder: Path, root: Path, setting: Setting) -> tuple[str, ...]:
    """All splits of the set of stamps; the names of its classes."""
    import skimage

    photographs = Path(skimage.__file__).parent / "data"
    for split, stamps in split_stamps(root, setting.seed).items():
        files = [photographs / name for name in PHOTOGRAPHS[split]]
        tell(split, write(folder, split, stamp_images(stamps, files, setting, split)), ("background", *THEMES))
    return ("background", *THEMES)


def prepare_multiview(folder: Path, setting: Setting, classes: int) -> tuple[str, ...]:
    """All splits of the set of known parts; the names of its classes."""
    names = ("background", *(f"class {label}" for label in range(classes)))
    part = setting.size // 4
    config = MultiViewConfig(classes=classes, size=setting.size, part_size=part, weak_strength=0.6, seed=setting.seed)
    for split in SHARES:
        tell(split, write(folder, split, multiview_images(config, split, setting.images[split])), names)
    return names


def tell(split: str, counts: NDArray[np.int64], names: tuple[str, ...]) -> None:
    """Print what share of the pixels each class has."""
    shares = counts[: len(names)] / counts.sum()
    print(f"{split}: " + ", ".join(f"{name} {share:.1%}" for name, share in zip(names, shares, strict=True)))


def main() -> None:
    """Write one set, print its pixels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=("stamps", "multiview"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, nargs=3, default=(2000, 200, 400), metavar=("TRAIN", "VAL", "TEST"))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--classes", type=int, default=5, help="classes of multiview")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stamps", type=Path, default=Path("/usr/share/tuxpaint/stamps"))
    wanted = parser.parse_args()
    require_new(wanted.folder)
    setting = Setting(dict(zip(SHARES, wanted.images, strict=True)), wanted.size, wanted.seed)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    if wanted.set == "stamps":
        names = prepare_stamps(wanted.folder, wanted.stamps, setting)
    else:
        names = prepare_multiview(wanted.folder, setting, wanted.classes)
    with (wanted.folder / "classes.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("name",), *((name,) for name in names)])


if __name__ == "__main__":
    main()
