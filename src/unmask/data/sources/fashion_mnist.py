"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 60,000 + 10,000 gray images of 28 x 28 pixels, 10 classes."""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unmask.data.sources.source import TEST, UNASSIGNED, Arrays, Source, split_array
from unmask.errors import UserError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where the Debian package dataset-fashion-mnist puts the files."""
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def fashion_mnist(folder: Path = DEBIAN, cache: Path | None = None) -> Source:
    """Fashion-MNIST with its official test split; validation is to be drawn from the training images.

    Args:
        folder: holds the four .gz files. If it does not exist, torchvision downloads them into `cache`.
        cache: default ~/.cache/unmask.

    Raises:
        UserError: not found, and the download failed.
    """
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        folder = _download(cache or Path.home() / ".cache" / "unmask")
    parts = [(read_idx(folder / f"{p}-images-idx3-ubyte.gz"), read_idx(folder / f"{p}-labels-idx1-ubyte.gz"))
             for p in ("train", "t10k")]  # fmt: skip
    counts = [len(images) for images, _ in parts]
    return Source(
        names=tuple(f"{name}[{i}]" for name, n in zip(("train", "test"), counts, strict=True) for i in range(n)),
        labels=np.concatenate([labels for _, labels in parts]).astype(np.int64),
        classes=CLASSES,
        splits=split_array([UNASSIGNED] * counts[0] + [TEST] * counts[1]),
        images=Arrays(np.concatenate([images for images, _ in parts])[:, None]),
    )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array of bytes in LeCun's IDX format, gzipped: magic 0 0 8 ndim, big-endian sizes, values.

    Raises:
        UserError: missing, cut off or another format; the message names the file.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error}): reinstall it") from None
    ndim = content[3] if content[:3] == b"\0\0\x08" else 0
    shape = np.frombuffer(content, ">i4", ndim, 4) if ndim else np.zeros(1, int)
    if len(content) != 4 + 4 * ndim + int(np.prod(shape)):
        raise UserError(f"{path}: not a whole IDX file of bytes: reinstall it")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape)


def _download(cache: Path) -> Path:
    from torchvision.datasets import FashionMNIST

    try:
        for train in (True, False):
            FashionMNIST(str(cache), train=train, download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"fashion-mnist: not in {DEBIAN}, and the download failed ({reason}): "
            "install the Debian package dataset-fashion-mnist, or go online"
        ) from None
    return cache / "FashionMNIST" / "raw"
