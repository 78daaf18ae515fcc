"""Prepare a small real data set: photographs and drawings of Tux Paint's stamps, with their theme as the class.

Copies the images of every theme with at least 30 of them to FOLDER/THEME/ and writes FOLDER/manifest.csv with the
columns path, label and group. Stamps that show the same thing (frog-1 and frog-2, kangaroo and its cartoon, the coins
of one currency) share the first word of their file name, or, if it has none, their folder: that is the group, which
never crosses a split. The images come from Debian's package tuxpaint-stamps-default (license: see the package).

Run: python benchmarks/prepare_stamps.py FOLDER [--stamps /usr/share/tuxpaint/stamps]
Then: unmask compare --data FOLDER/manifest.csv ...
"""

import argparse
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

from manifests import require_new, write_manifest

SMALLEST = 30
"""Images of the smallest theme that is kept."""

_WORD = re.compile(r"[a-z]{2,}")


def group_of(stamp: Path) -> str:
    """What a stamp (its path below the themes) shows: theme and first word of the name; without one, the folder."""
    word = _WORD.search(stamp.stem.lower())
    return f"{stamp.parts[0]}/{word[0]}" if word else stamp.parent.as_posix()


def copy_stamps(source: Path, target: Path) -> list[tuple[str, str, str]]:
    """Copy the images and return the rows of the manifest: path, label, group."""
    stamps = sorted(file.relative_to(source) for file in source.rglob("*.png"))
    sizes = Counter(stamp.parts[0] for stamp in stamps)
    rows = []
    for stamp in stamps:
        theme = stamp.parts[0]
        if sizes[theme] < SMALLEST:
            continue
        copy = Path(theme, "-".join(stamp.parts[1:]))
        (target / theme).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / stamp, target / copy)
        rows.append((copy.as_posix(), theme, group_of(stamp)))
    return rows


def main() -> None:
    """Copy, write the manifest, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stamps", type=Path, default=Path("/usr/share/tuxpaint/stamps"))
    wanted = parser.parse_args()
    require_new(wanted.folder)
    rows = copy_stamps(wanted.stamps, wanted.folder)
    if not rows:
        sys.exit(f"{wanted.stamps} has no stamps: install Debian's tuxpaint-stamps-default, or give --stamps")
    write_manifest(wanted.folder, rows)


if __name__ == "__main__":
    main()
