"""Prepare a small real data set: sprites of Wesnoth's units, 72 x 72 pixels, with their people as the class.

Writes FOLDER/manifest.csv with the columns path (absolute: nothing is copied), label and group. The class is the folder
of the images (elves-wood, drakes, ...). Pictures of one unit are frames of its animations, and a unit looks like those
that it becomes: the group is the whole line of units, which never crosses a split. Classes of fewer than 100 images or
5 lines are left out. The images come from Debian's package wesnoth-1.16-data (license: see the package).

Run: python benchmarks/prepare_sprites.py FOLDER [--wesnoth /usr/share/games/wesnoth/1.16]
Then: unmask compare --data FOLDER/manifest.csv ...
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

from manifests import write_manifest

SMALLEST, FEWEST = 100, 5
"""Images and lines of units of the smallest class that is kept."""


def unit_of(image: Path) -> str:
    """The unit that an image shows (its path below `units`): its people and the first word of what follows."""
    return f"{image.parts[0]}/{re.split(r'[-+.~]', image.parts[1])[0]}"


def lines_of(core: Path) -> dict[str, str]:
    """The line of each unit: the first by name of all units that advance into one another by the game's own rules."""
    ids, later = dict[str, str](), dict[str, list[str]]()
    for file in sorted((core / "units").rglob("*.cfg")):
        text = file.read_text(encoding="utf-8")
        name = re.search(r"^\s*id=(.+)$", text, re.M)
        image = re.search(r'^\s*image="units/([^"/]+/[^"]+)"', text, re.M)
        if name is None or image is None:
            continue
        ids[name[1].strip()] = unit = unit_of(Path(image[1]))
        becomes = re.search(r"^\s*advances_to=(.+)$", text, re.M)
        later.setdefault(unit, []).extend([] if becomes is None else [one.strip() for one in becomes[1].split(",")])
    line = {unit: unit for unit in later}
    for unit, names in later.items():
        for other in (ids[name] for name in names if name in ids):
            first, second = sorted((line[unit], line[other]))
            line |= {one: first for one, own in line.items() if own == second}
    return line


def rows_of(core: Path) -> list[tuple[str, str, str]]:
    """The rows of the manifest: path, label, group."""
    folder, line = core / "images" / "units", lines_of(core)
    images = sorted(file.relative_to(folder) for file in folder.rglob("*.png") if file.parent != folder)
    rows = [(str(folder / one), one.parts[0], line.get(unit_of(one), unit_of(one))) for one in images]
    sizes = Counter(label for _, label, _ in rows)
    lines = Counter(label for label, _ in {(label, group) for _, label, group in rows})
    return [row for row in rows if sizes[row[1]] >= SMALLEST and lines[row[1]] >= FEWEST]


def main() -> None:
    """Write the manifest, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wesnoth", type=Path, default=Path("/usr/share/games/wesnoth/1.16"))
    wanted = parser.parse_args()
    rows = rows_of(wanted.wesnoth / "data" / "core")
    if not rows:
        sys.exit(f"{wanted.wesnoth} has no sprites: install Debian's wesnoth-1.16-data, or give --wesnoth")
    write_manifest(wanted.folder, rows)


if __name__ == "__main__":
    main()
