"""Galleries on a page: every picture and name that the record holds, in its place, and a page that stays small."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unmask.errors import UserError
from unmask.report.blocks import Pictures
from unmask.report.galleries import showcases
from unmask.report.page import write_report
from unmask.runs.files import read_json, write_json
from unmask.runs.gallery import Gallery, Sheet
from unmask.runs.layout import GALLERY_FILE, SHEETS
from unmask.runs.read import read_record
from unmask.stages.gallery import MAP_BYTES, MAPPED, MISTAKE_BYTES

Writer = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, classification_folder: Writer) -> Path:
    """A training with a gallery."""
    return classification_folder(tmp_path / "run")


def test_mistakes_and_map_stand_on_the_page(run: Path) -> None:
    """Eight cards, sixty points, eight rings; names are text."""
    text = write_report([run]).read_text(encoding="utf-8")
    assert "12 of 200 images wrong" in text
    assert "98.0 % sure" in text
    assert "&lt;i&gt;1&lt;/i&gt;.png" in text
    assert "<i>" not in text
    assert text.count('<label class="point') == 60
    assert len(re.findall(r'class="spot \w+ wrong"', text)) == 9
    assert "Trustworthiness 0.93" in text
    assert text.count("data:image/jpeg;base64,") == 2
    assert len(set(re.findall(r'<input type="radio" name="([^"]+)"', text))) == 1, "one stop for the keyboard"


def test_neighbors_are_right_or_wrong_by_their_class(run: Path) -> None:
    gallery = read_record(Gallery, run / GALLERY_FILE)
    (_, mapped) = showcases(gallery, run)
    first = mapped.albums[0]
    assert first.title == "ring, ring/0.png: 2 of 3 neighbors of its class"
    assert [(card.picture, card.mark, card.lines[0]) for card in first.cards] == [
        (0, "asked", "ring"),
        (5, "right", "✓ ring"),
        (6, "wrong", "✗ 猫"),
        (10, "right", "✓ ring"),
    ]


def test_the_recommended_arm_is_open(tmp_path: Path, gallery_of: Writer) -> None:
    """All others are folded away."""
    run = gallery_of(tmp_path, ("mrp", "scratch_same", "probe_mrp"))
    albums = showcases(read_record(Gallery, run / GALLERY_FILE), run, first="probe_mrp")[0].albums
    assert [(album.title.partition(",")[0], album.shown) for album in albums] == [
        ("Probe of pretrained", True),
        ("Pretrained", False),
        ("Scratch", False),
    ]


def test_many_classes_share_a_look(run: Path) -> None:
    """The most frequent have one of their own, by color and shape; the rest are called others."""
    gallery = read_record(Gallery, run / GALLERY_FILE)
    assert gallery.map is not None
    points = [
        replace(one, image=replace(one.image, truth=i % 30 if i < 45 else 3))
        for i, one in enumerate(gallery.map.points)
    ]
    many = replace(gallery, classes=tuple(f"c{i}" for i in range(30)), map=replace(gallery.map, points=tuple(points)))
    drawn = showcases(many, run)[1].map
    assert drawn is not None
    assert len(drawn.looks) == len({(look.color, look.shape) for look in drawn.looks}) == 22
    assert drawn.looks[-1].name == "other classes"
    assert "c3" in [look.name for look in drawn.looks]


def test_a_picture_has_its_place_on_the_sheet() -> None:
    pictures = Pictures(Path(), Sheet(columns=3, count=7, width=8, height=8))
    assert [pictures.place(index) for index in (0, 2, 4, 6)] == ["0% 0%", "100% 0%", "50% 50%", "0% 100%"]
    assert Pictures(Path(), Sheet(columns=1, count=1, width=8, height=8)).place(0) == "0% 0%"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["a"]}, "truth = 2: expected less than 1, from 0"),
        ({"mistake_sheet": None}, "picture = 0: expected less than 0"),
        ({"map_sheet": None}, "points = 0: expected less than 0"),
        ({"map_sheet": {"columns": 0, "count": 9, "width": 8, "height": 8}}, "a sheet of 9 pictures in 0 columns"),
        (
            {"map_sheet": {"columns": 9, "count": 60, "width": 8, "height": 8}},
            "is 64 x 64 pixels, its pictures need 72 x 56",
        ),
    ],
)
def test_a_gallery_that_does_not_fit_itself_is_one_line(run: Path, change: dict[str, object], message: str) -> None:
    """The file is named."""
    write_json(run / GALLERY_FILE, read_json(run / GALLERY_FILE) | change)
    with pytest.raises(UserError, match=rf"gallery.*: {message}") as error:
        write_report([run])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"x", b"\x89PNG\r\n\x1a\n"])
def test_a_sheet_that_is_not_jpeg_is_refused(run: Path, content: bytes) -> None:
    SHEETS.path(run, "map").write_bytes(content)
    with pytest.raises(UserError, match=r"map\.jpg: not a JPEG image"):
        write_report([run])


def test_a_sheet_outside_of_the_run_is_refused(run: Path, tmp_path: Path) -> None:
    sheet = SHEETS.path(run, "map")
    sheet.rename(tmp_path / "elsewhere.jpg")
    sheet.symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(UserError, match=r"map\.jpg: not a picture of this run"):
        write_report([run])


def test_the_page_is_bounded(tmp_path: Path, classification_folder: Writer, gallery_of: Writer) -> None:
    """A gallery adds at most 2.5 MB: as many points as there can be, long names, and files of the largest size."""
    run = classification_folder(tmp_path / "run")
    (run / GALLERY_FILE).rename(tmp_path / "kept.json")
    before = write_report([run]).stat().st_size
    gallery_of(run, points=MAPPED)
    gallery = read_record(Gallery, run / GALLERY_FILE)
    assert gallery.map is not None
    long = [replace(one, image=replace(one.image, name="n" * 200)) for one in gallery.map.points]
    write_json(run / GALLERY_FILE, replace(gallery, map=replace(gallery.map, points=tuple(long))))
    files = sum(SHEETS.path(run, name).stat().st_size for name in ("map", "mistakes"))
    added = write_report([run]).stat().st_size - before
    assert added - files * 4 / 3 < 850_000
    assert 850_000 + (MAP_BYTES + MISTAKE_BYTES) * 4 / 3 < 2_500_000


def test_other_channels_are_said(run: Path) -> None:
    gallery = read_record(Gallery, run / GALLERY_FILE)
    for channels, said in ((1, False), (3, False), (5, True)):
        found = showcases(replace(gallery, channels=channels), run)
        assert all(("first of 5 channels" in part.intro) == said for part in found)
    assert np.asarray(Image.open(SHEETS.path(run, "map"))).shape == (64, 64, 3)
