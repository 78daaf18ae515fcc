"""Files that cannot be read: cut off, empty, gone; named or skipped, and nothing else is lost."""

import shutil
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from tiny import draw, image_names, load, numbered, picture
from unmask.config import AugmentConfig
from unmask.data.decoding import whole as whole_file
from unmask.data.decoding.decode import decode
from unmask.data.decoding.reading import Reading
from unmask.errors import UserError


@pytest.mark.case("one truncated file killed a run hours in, its path not named")
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "gif", "npy"])
def test_a_truncated_file_is_named_or_skipped_never_half_decoded(tmp_path: Path, suffix: str, share: float) -> None:
    """With `error` the line names the file; with `skip` it is counted and every other image is there."""
    draw(tmp_path, *numbered("a", "b"))
    path = tmp_path / "a" / f"cut.{suffix}"
    if suffix == "npy":
        np.save(path, np.asarray(picture()))
    else:
        picture().save(path)
    whole = path.read_bytes()
    assert decode(path).shape == (3, 24, 24)
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=rf"a/cut\.{suffix}: "):
        load(tmp_path)
    data = load(tmp_path, on_bad_file="skip")
    assert len(data.bad_files) == 1
    assert f"a/cut.{suffix}" in data.bad_files[0]
    assert len(image_names(data)) == 12


@pytest.mark.case("half a JPEG was decoded, the rest gray")
def test_a_jpeg_without_its_last_bytes_is_not_half_gray(tmp_path: Path) -> None:
    """Whatever is cut from the end: either the same pixels or an error."""
    path = tmp_path / "x.jpg"
    picture().save(path, quality=50)
    whole, pixels = path.read_bytes(), decode(path)
    refused = 0
    for cut in range(1, 60):
        path.write_bytes(whole[:-cut])
        try:
            assert np.array_equal(decode(path), pixels)
        except UserError:
            refused += 1
    assert refused > 50


@pytest.mark.case("skipping bad files by recursion never ended")
def test_a_folder_of_bad_files_only_is_an_error_under_either_policy(tmp_path: Path) -> None:
    """The line counts them and names the first."""
    for name in numbered("a", "b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    for policy in ("error", "skip"):
        with pytest.raises(UserError, match=r"no readable image: .*0\.png.* \(12 of 12 files are unreadable\)"):
            load(tmp_path, on_bad_file=policy)


@pytest.mark.case("skipping a bad last file ran past the end")
def test_with_the_last_file_bad_every_good_one_is_there_once(tmp_path: Path) -> None:
    """Nothing is read twice in its place."""
    draw(tmp_path, *numbered("a", "b"))
    (tmp_path / "b" / "5.png").write_bytes(b"")
    data = load(tmp_path, on_bad_file="skip")
    assert image_names(data) == sorted(set(numbered("a", "b")) - {"b/5.png"})


@pytest.mark.case("a file vanished in the middle of a run")
@pytest.mark.parametrize("policy", ["error", "skip"])
def test_a_file_that_vanishes_after_an_epoch_is_named_and_the_policy_followed(tmp_path: Path, policy: str) -> None:
    """`error` names it; `skip` leaves out this one image."""
    data = load(draw(tmp_path, *numbered("a", "b")), cache_mib=0, workers=2, on_bad_file=policy)
    order = torch.arange(len(data.pretrain))

    def epoch(number: int) -> list[int]:
        parts = data.pretrain.batches(order, 3, augment=AugmentConfig(), epoch=number)
        return [i for part in parts for i in part.ids.tolist()]

    assert epoch(0) == data.pretrain.ids.tolist()
    (tmp_path / data.pretrain.names[2]).unlink()
    if policy == "error":
        with pytest.raises(UserError, match=data.pretrain.names[2]):
            epoch(1)
    else:
        assert epoch(1) == [i for i in data.pretrain.ids.tolist() if i != int(data.pretrain.ids[2])]


def test_cached_data_need_no_files(tmp_path: Path) -> None:
    """Once read into memory, images survive their files."""
    data = load(draw(tmp_path, *numbered("a", "b")))
    shutil.rmtree(tmp_path / "a")
    assert data.pretrain.raw(range(len(data.pretrain))).isfinite().all()


def test_a_bad_file_moves_no_other_image_to_another_split(tmp_path: Path) -> None:
    """Otherwise the test set of a later run would have been trained on."""
    draw(tmp_path, *numbered("a", "b", count=20))
    before = load(tmp_path)
    victim = before.pretrain.names[0]
    (tmp_path / victim).write_bytes(b"")
    after = load(tmp_path, on_bad_file="skip")
    assert after.pretrain.names == before.pretrain.names[1:]
    assert after.tests["test"].names == before.tests["test"].names
    assert torch.equal(after.pretrain.ids, before.pretrain.ids[1:])


@pytest.mark.case("a BMP whose pixels were said to begin within its header was read shifted, or in other colors")
@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize(("at", "byte"), [(10, -1), (10, -4), (14, 16)], ids=["one byte", "a pixel", "longer header"])
def test_a_bmp_whose_pixels_begin_within_its_header_is_refused(tmp_path: Path, gray: bool, at: int, byte: int) -> None:
    """`at` is the place of their offset, or of the length of the header; a gap before them is harmless."""
    path = tmp_path / "x.bmp"
    (picture().convert("L") if gray else picture()).save(path)
    whole, pixels = path.read_bytes(), decode(path)
    path.write_bytes(whole[:at] + bytes([whole[at] + byte]) + whole[at + 1 :])
    with pytest.raises(UserError, match=r"x\.bmp: damaged BMP: its pixels begin at byte \d+, within the header"):
        decode(path)
    start = int.from_bytes(whole[10:14], "little")
    path.write_bytes(whole[:10] + (start + 8).to_bytes(4, "little") + whole[14:start] + bytes(8) + whole[start:])
    assert np.array_equal(decode(path), pixels)


def _with_entry(content: bytes, tag: int, *, count: int | None = None, value: int | None = None) -> bytes:
    """A little-endian TIFF with another count or value of a tag."""
    (at,) = struct.unpack_from("<I", content, 4)
    (number,) = struct.unpack_from("<H", content, at)
    place = next(p for p in range(at + 2, at + 2 + 12 * number, 12) if struct.unpack_from("<H", content, p)[0] == tag)
    changed = bytearray(content)
    for offset, new in ((4, count), (8, value)):
        if new is not None:
            struct.pack_into("<I", changed, place + offset, new)
    return bytes(changed)


@pytest.mark.case("a TIFF of a few kilobytes with a strip of 4 GiB ended in a MemoryError")
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_strip_longer_than_its_file_is_refused_before_memory_is_taken(tmp_path: Path, planar: str) -> None:
    """It is the file's fault, no want of memory."""
    path = tmp_path / "x.tif"
    values = np.arange(3 * 16 * 16, dtype=np.uint16).reshape((16, 16, 3) if planar == "contig" else (3, 16, 16))
    tifffile.imwrite(path, values, photometric="rgb", planarconfig=planar, compression="zlib", rowsperstrip=16)
    lengths = {"value": 2**32 - 1} if planar == "contig" else {"count": 2}
    path.write_bytes(_with_entry(path.read_bytes(), 279, **lengths))
    tracemalloc.start()
    with pytest.raises(UserError, match=r"x\.tif: damaged TIFF \((a strip of 4294967295|2 strips)"):
        decode(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.case("a compressed TIFF without its compression tag was read as the pixels that its compressed bytes are")
@pytest.mark.parametrize(
    ("tag", "count", "line"),
    [(259, 0, "its compression, tag 259, is missing"), (258, 2, "tag 258, are those of 2 samples, not of 3")],
)
def test_a_tiff_with_a_damaged_tag_is_not_read_by_its_default(tmp_path: Path, tag: int, count: int, line: str) -> None:
    path = tmp_path / "x.tif"
    values = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    tifffile.imwrite(path, values, photometric="rgb", compression="zlib")
    path.write_bytes(_with_entry(path.read_bytes(), tag, count=count))
    with pytest.raises(UserError, match=line):
        decode(path)


def test_a_file_of_several_pages_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each of them, which takes a time that grows with their square."""
    path, times = tmp_path / "x.gif", []
    frames = [picture(seed=seed) for seed in range(4)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    monkeypatch.setattr(whole_file, "require_blocks", lambda content: times.append(len(content)))
    assert decode(path, Reading(pages_are_channels=True)).shape[0] == 12
    assert len(times) == 1
