"""Prepare a small real data set: emoji of 64 x 64 pixels, drawn by two vendors, with their category as the class.

Writes FOLDER/google/*.png, FOLDER/twitter/*.png and FOLDER/manifest.csv with the columns path, label and group. The
group is the code point sequence (`unified`), so that both drawings of one emoji are always in the same split; skin
tones, which are left out unless requested, belong to the group of their emoji. The images are fetched with npm from
the packages emoji-datasource-google and emoji-datasource-twitter (licenses: see the packages).

Run: python benchmarks/prepare_emoji.py FOLDER [--skin-tones]
Then: unmask compare --data FOLDER/manifest.csv ...
"""

import argparse
import csv
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manifests import require_new

VENDORS = ("google", "twitter")
LEFT_OUT = ("Component",)
"""Categories that are not independent emoji."""


def fetch(vendor: str, folder: Path) -> Path:
    """Fetch the package of a vendor as npm packs it, a .tgz file in `folder`."""
    command = ["npm", "pack", "--silent", f"emoji-datasource-{vendor}"]
    name = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split()[-1]
    return folder / name


def drawings(emoji: dict[str, Any], vendor: str, skin_tones: bool) -> Iterator[str]:
    """File names of the images that a vendor has of an emoji."""
    forms = [emoji, *emoji.get("skin_variations", {}).values()] if skin_tones else [emoji]
    return (form["image"] for form in forms if form.get(f"has_img_{vendor}"))


def unpack(package: Path, vendor: str, target: Path, skin_tones: bool) -> list[tuple[str, str, str]]:
    """Write the images of a vendor and return the rows of the manifest: path, label, group."""
    with tarfile.open(package) as archive:
        list_file = archive.extractfile("package/emoji.json")
        assert list_file is not None
        emoji = json.load(list_file)
        wanted = {
            name: (entry["category"], entry["unified"])
            for entry in emoji
            if entry["category"] not in LEFT_OUT
            for name in drawings(entry, vendor, skin_tones)
        }
        (target / vendor).mkdir(parents=True, exist_ok=True)
        found = set()
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            file = archive.extractfile(member)
            if folder == f"package/img/{vendor}/64" and name in wanted and file is not None:
                (target / vendor / name).write_bytes(file.read())
                found.add(name)
    return [(f"{vendor}/{name}", *wanted[name]) for name in sorted(found)]


def main() -> None:
    """Fetch, unpack, write the manifest, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--skin-tones", action="store_true")
    wanted = parser.parse_args()
    require_new(wanted.folder)
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        for vendor in VENDORS:
            rows += unpack(fetch(vendor, Path(name)), vendor, wanted.folder, wanted.skin_tones)
    with (wanted.folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([("path", "label", "group"), *rows])
    labels = sorted({label for _, label, _ in rows})
    print(f"{wanted.folder / 'manifest.csv'}: {len(rows)} images, {len({g for *_, g in rows})} groups")
    for label in labels:
        print(f"  {label}: {sum(row[1] == label for row in rows)}")


if __name__ == "__main__":
    main()
