"""The list of a tar equals that of Python's tarfile, whatever wrote it; damage is said, never passed over."""

import io
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unmask.data.sources.tar import Place, places
from unmask.errors import UserError

NAMES = st.text(st.sampled_from("ab./é"), min_size=1, max_size=180).map(lambda s: f"x{s}.png".replace("//", "/"))
FILES = st.lists(st.tuples(NAMES, st.binary(max_size=1200)), max_size=6)
FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


def packed(files: list[tuple[str, bytes]], form: int = tarfile.USTAR_FORMAT, mtime: float = 0) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "t" * (120 if form != tarfile.USTAR_FORMAT else 9)
        tar.addfile(link)
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), mtime
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def listed(content: bytes) -> list[Place]:
    return list(places(io.BytesIO(content)))


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(FILES, FORMATS, st.sampled_from([0, 0.5]))
def test_the_list_is_that_of_tarfile(files: list[tuple[str, bytes]], form: int, mtime: float) -> None:
    try:
        content = packed(files, form, mtime)
    except ValueError:  # too long for ustar
        return
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        theirs = [Place(m.name, m.offset_data, m.size) for m in tar if m.isreg()]
    ours = listed(content)
    assert ours == theirs
    assert [content[p.offset : p.offset + p.size] for p in ours] == [content for _, content in files]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["d" * 90 + "/" + "e" * 90 + ".png", "plain.png"])
def test_a_long_name_is_whole_and_the_next_has_its_own(form: int, name: str) -> None:
    """In a prefix, a block before, or a pax record."""
    found = listed(packed([(name, b"1"), ("next.png", b"2")], form))
    assert [place.name for place in found] == [name, "next.png"]


def test_lengths_beyond_8_gib_are_read(tmp_path: Path) -> None:
    """Base 256, as GNU writes them; the file is a hole."""
    info = tarfile.TarInfo("big.png")
    info.size = 9 * 2**30
    with (tmp_path / "x.tar").open("w+b") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(512 + info.size + 1024)
        assert list(places(file)) == [Place("big.png", 512, info.size)]


@given(st.data())
def test_what_is_cut_anywhere_is_an_error_after_what_is_whole(data: st.DataObject) -> None:
    files = [("a.png", b"a" * 600), ("b" * 120 + ".png", b"b" * 10), ("c.png", b"")]
    whole = packed(files, tarfile.PAX_FORMAT)
    last = listed(whole)[-1]
    cut = data.draw(st.integers(0, last.offset + last.size + 511))
    found = []
    with pytest.raises(UserError, match=r"cut off|empty"):
        found.extend(places(io.BytesIO(whole[:cut])))
    assert found == [place for place in listed(whole) if place.offset + place.size <= cut]


@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_changed_byte_is_a_user_error_or_nothing(at: int, by: int) -> None:
    content = bytearray(packed([("a.png", b"a" * 600), ("b.png", b"b")], tarfile.PAX_FORMAT, 0.5))
    content[at % len(content)] = (content[at % len(content)] + by) % 256
    with suppress(UserError):
        listed(bytes(content))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "the file is empty"),
        (b"\x1f\x8b" + b"x" * 600, r"compressed \(gzip\).*unpack"),
        (b"BZh9" + b"x" * 600, r"compressed \(bzip2\)"),
        (b"x" * 600, "not a tar"),
        (b"x", "cut off"),
        (packed([("a.png", b"a")])[: 4 * 512] + b"x" * 1024, "damaged at byte 2048"),
    ],
)
def test_what_is_no_tar_is_said(content: bytes, line: str) -> None:
    with pytest.raises(UserError, match=line):
        listed(content)
