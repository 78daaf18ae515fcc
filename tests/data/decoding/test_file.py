"""An image within another file is the image in a file of its own, for every decoder, read at once or piece by piece."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from unmask.data.decoding import file as stored
from unmask.data.decoding.decode import decode
from unmask.data.decoding.file import Encoded, Member, suffix_of
from unmask.data.headers import read_header

RNG = np.random.default_rng(0)
GRAY, COLOUR = RNG.integers(0, 256, (20, 30), dtype=np.uint8), RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (20, 30, 3), dtype=np.uint16)


@pytest.fixture(params=[0, 2**16], ids=["piece by piece", "at once"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(stored, "SMALL", request.param)
    return int(request.param)


def contents(suffix: str) -> bytes:
    out = io.BytesIO()
    if suffix == "npy":
        np.save(out, DEEP)
    elif suffix == "deep.tif":
        tifffile.imwrite(out, DEEP, photometric="rgb")
    else:
        Image.fromarray(GRAY if suffix == "gif" else COLOUR).save(
            out, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix)
        )
    return out.getvalue()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "deep.tif", "webp", "bmp", "gif", "npy"])
@pytest.mark.usefixtures("small")
def test_an_image_in_another_file_is_the_image(tmp_path: Path, suffix: str) -> None:
    content = contents(suffix)
    path, whole = tmp_path / f"x.{suffix}", tmp_path / "whole"
    path.write_bytes(content)
    whole.write_bytes(b"before" + content + b"after")
    for file in (Member(f"x.{suffix}", whole, 6, len(content)), Encoded(f"x.{suffix}", content)):
        assert np.array_equal(decode(file), decode(path))
        assert read_header(file) == read_header(path)


@pytest.mark.usefixtures("small")
def test_a_piece_reads_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(bytes(range(100)))
    piece = Member("shard.tar/x.PNG", tmp_path / "whole", 10, 20)
    assert (str(piece), piece.suffix) == ("shard.tar/x.PNG", ".PNG")
    assert piece.read_bytes() == bytes(range(10, 30))
    with piece.open() as file:
        assert file.seek(-3, 2) == 17
        assert file.read() == bytes(range(27, 30))
        assert file.seek(2) == 2
        assert file.read(2) == bytes([12, 13])
        assert file.seek(25) == 25
        assert file.read() == b""


@pytest.mark.parametrize("name", ["x.png", "a.b/c.JPG", "a.b/c", "set[0]", ".hidden", "a/.hidden", "x.tar.gz", ""])
def test_a_suffix_is_that_of_a_path(name: str) -> None:
    assert suffix_of(name) == Path(name).suffix
