"""The folder and the manifest of a data set that a script prepares."""

import csv
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def require_new(folder: Path) -> None:
    """End the script if the folder holds anything: nothing is overwritten."""
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is not empty: name a new folder")


def write_manifest(folder: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    """Write FOLDER/manifest.csv from rows of path, label and group, and print how many there are of each label."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "group"), *rows])
    print(f"{folder / 'manifest.csv'}: {len(rows)} images, {len({group for *_, group in rows})} groups")
    for label, count in sorted(Counter(label for _, label, _ in rows).items()):
        print(f"  {label}: {count}, {len({group for _, one, group in rows if one == label})} groups")
