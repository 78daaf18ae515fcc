"""Image files that are named one by one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from unmask.config.data import DataConfig
from unmask.data.decoding.decode import SUFFIXES
from unmask.data.decoding.reading import reading_of
from unmask.data.sources.source import UNLABELED, Files, Source, split_array
from unmask.data.string_table import Texts
from unmask.errors import UserError
from unmask.wording import printable


def is_image_file(path: Path) -> bool:
    """Whether a path is a file with an image's suffix; a .npy file given alone holds many images."""
    return path.suffix.lower() in SUFFIXES - {".npy"} and path.is_file()


def read_image_files(paths: Sequence[Path], config: DataConfig) -> Source:
    """Files as a source without labels, in the order given, named by their paths as given.

    Raises:
        UserError: one of them is missing, a folder, or without an image's suffix.
    """
    for path in paths:
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            kind = "a folder" if path.is_dir() else "not there" if not path.exists() else "not an image"
            raise UserError(
                f"data: {path} is {kind}; give one folder, manifest or array, or any number of image files "
                f"({' '.join(sorted(SUFFIXES))})"
            )
    source = Source(
        names=Texts.of(printable(path) for path in paths),
        labels=np.full(len(paths), -1, np.int64),
        classes=(),
        splits=split_array([UNLABELED] * len(paths)),
        images=Files(Path(), Texts.of(map(str, paths))),
    )
    return replace(source, reading=reading_of(config))
