"""Prepare a data set of letters: A to J from many fonts, after notMNIST (Bulatov 2011), with the letter as the class.

Every letter fills an image of 28 x 28 pixels, light on dark, in FOLDER/LETTER/; FOLDER/manifest.csv has the columns
path, label and group. Fonts of one folder are one family (its weights, widths and slants look alike): that is the
group, which never crosses a split, and folders of one name count as one. Of a family at most 12 fonts are taken,
evenly over their names. A font that lacks a letter, or draws two of them alike, is left out. The fonts are the
OpenType and TrueType files below --fonts, such as those of Debian's package texlive-fonts-extra (licenses: see there).

Run: python benchmarks/prepare_letters.py FOLDER [--fonts /usr/share/texlive/texmf-dist/fonts]
Then: unmask compare --data FOLDER/manifest.csv ...
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from manifests import require_new, write_manifest
from PIL import Image, ImageDraw, ImageFont

LETTERS = "ABCDEFGHIJ"
SIDE, MOST = 28, 12
"""Pixels of a side; fonts of a family."""
_DRAWN, _ABSENT = 112, "\uffff"
"""Pixels of a glyph as it is drawn, before it is scaled; a character that no font has."""


def letters_of(file: Path) -> dict[str, Image.Image] | None:
    """The images of a font's letters; None if it lacks one, or two are the same."""
    try:
        font = ImageFont.truetype(file, _DRAWN)
        images = {letter: glyph(font, letter) for letter in LETTERS}
        absent = glyph(font, _ABSENT)
    except (OSError, ValueError):
        return None
    drawn = {image.tobytes() for image in images.values() if image is not None}
    if len(drawn) < len(LETTERS) or (absent is not None and absent.tobytes() in drawn):
        return None
    return {letter: image for letter, image in images.items() if image is not None}


def glyph(font: ImageFont.FreeTypeFont, letter: str) -> Image.Image | None:
    """A letter, scaled to fill the image in its longer side; None if nothing is drawn."""
    canvas = Image.new("L", (4 * _DRAWN, 4 * _DRAWN))
    ImageDraw.Draw(canvas).text((_DRAWN, _DRAWN), letter, font=font, fill=255)
    box = canvas.getbbox()
    if box is None:
        return None
    cut = canvas.crop(box)
    scale = SIDE / max(cut.size)
    width, height = (max(1, round(scale * side)) for side in cut.size)
    image = Image.new("L", (SIDE, SIDE))
    image.paste(cut.resize((width, height), Image.Resampling.LANCZOS), ((SIDE - width) // 2, (SIDE - height) // 2))
    return image


def families_of(fonts: Path) -> dict[str, list[Path]]:
    """The font files of each family, by the name of their folder, in the order of their names."""
    families = defaultdict[str, list[Path]](list)
    for file in sorted(fonts.rglob("*")):
        if file.suffix.lower() in (".otf", ".ttf"):
            families[file.parent.name.lower()].append(file)
    return families


def main() -> None:
    """Draw, write the manifest, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/texlive/texmf-dist/fonts"))
    wanted = parser.parse_args()
    require_new(wanted.folder)
    rows = []
    for family, files in families_of(wanted.fonts).items():
        chosen = files[:: -(-len(files) // MOST)]
        for file in chosen:
            for letter, image in (letters_of(file) or {}).items():
                path = Path(letter, f"{family}-{file.stem}{file.suffix.replace('.', '-')}.png")
                (wanted.folder / letter).mkdir(parents=True, exist_ok=True)
                image.save(wanted.folder / path)
                rows.append((path.as_posix(), letter, family))
    if not rows:
        sys.exit(f"{wanted.fonts} has no fonts: install Debian's texlive-fonts-extra, or give --fonts")
    write_manifest(wanted.folder, rows)


if __name__ == "__main__":
    main()
