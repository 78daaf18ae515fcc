"""Digests tell images apart exactly, and twins are found as a look at all pairs finds them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import tiny
from unmask.data.fingerprint import PIECE, PIECES, StoredDigests, digest_pieces, twins_to_leave_out
from unmask.data.sources.source import TEST, TRAIN, UNLABELED, UNREADABLE, VAL, Files, split_array

SPLITS = (TRAIN, VAL, TEST, UNLABELED, UNREADABLE)


def test_digests_are_equal_iff_all_bytes_are(tmp_path: Path) -> None:
    """Also where length and all pieces agree, and where only the end or the length differs."""
    rest = bytes(range(256)) * (2 * PIECES * PIECE // 256)
    between = rest[: PIECE + 9] + b"!" + rest[PIECE + 10 :]
    contents = [b"a" + rest, b"b" + rest, b"a" + rest, b"a" + rest[:-1] + b"!", rest, between, rest]
    contents += [b"", b"x", b"x\0", b"a" * 9]
    for i, content in enumerate(contents):
        (tmp_path / f"{i}").write_bytes(content)
    digests = digest_pieces(Files(tmp_path, tuple(f"{i}" for i in range(len(contents)))))
    assert [[a == b for b in digests] for a in digests] == [[a == b for b in contents] for a in contents]


@pytest.mark.case("resume accepted files of which two thirds were zero bytes")
def test_zeros_within_a_file_change_its_digest(tmp_path: Path) -> None:
    """Though its length, its first and its last bytes are those of before."""
    content = np.random.default_rng(0).bytes(200_000)
    (tmp_path / "x").write_bytes(content)
    before = digest_pieces(Files(tmp_path, ("x",)))
    (tmp_path / "x").write_bytes(content[:30_000] + bytes(130_000) + content[160_000:])
    assert digest_pieces(Files(tmp_path, ("x",))) != before


@pytest.mark.parametrize("digests_of", [digest_pieces, lambda images: StoredDigests(images).all()])
def test_a_file_that_vanishes_counts_as_empty(
    tmp_path: Path, digests_of: Callable[[Files], NDArray[np.bytes_]]
) -> None:
    (tmp_path / "empty").write_bytes(b"")
    gone, empty = digests_of(Files(tmp_path, ("gone", "empty")))
    assert gone == empty


def tiffs(folder: Path, *, size: int = 200) -> Path:
    """Twelve uncompressed images of 80,000 bytes and more, in two classes."""
    for i in range(12):
        path = folder / "ab"[i % 2] / f"{i}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.random.default_rng(i).integers(0, 60000, (size, size)).astype(np.uint16))
    return folder


@pytest.mark.case("rows of large files were changed, and the fingerprint stayed the same")
@pytest.mark.parametrize("cache_mib", [4096, 0])
def test_any_byte_of_a_large_file_changes_the_fingerprint(tmp_path: Path, cache_mib: int) -> None:
    """One pixel, which the encoder's size hides."""
    folder = tiffs(tmp_path)
    before = tiny.load(folder, image_size=(8, 8), cache_mib=cache_mib)
    assert tiny.load(folder, image_size=(8, 8), cache_mib=4096 - cache_mib).fingerprint == before.fingerprint
    content = bytearray((folder / "a" / "0.tif").read_bytes())
    content[len(content) // 4] ^= 1
    (folder / "a" / "0.tif").write_bytes(content)
    after = tiny.load(folder, image_size=(8, 8), cache_mib=cache_mib)
    assert after.fingerprint != before.fingerprint


def test_each_file_is_read_as_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And once only, whether cached or streamed."""
    read: list[int] = []
    look = StoredDigests.look
    monkeypatch.setattr(StoredDigests, "look", lambda self, row: read.append(row) or look(self, row))
    monkeypatch.setattr(StoredDigests, "all", lambda self: self._digests)
    for cache_mib in (4096, 0):
        tiny.load(tiffs(tmp_path), image_size=(8, 8), cache_mib=cache_mib)
        assert sorted(read) == list(range(12))
        read.clear()


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(SPLITS)), max_size=30))
def test_twins_are_those_of_a_look_at_all_pairs(images: list[tuple[int, str]]) -> None:
    """The first such image of the test counts before the first of validation."""
    digests = np.asarray([b"%d" % content for content, _ in images], "S16")
    above = {TRAIN: (TEST, VAL), UNLABELED: (TEST, VAL), VAL: (TEST,)}
    expected = {}
    for row, (content, split) in enumerate(images):
        found = [images.index((content, nearer)) for nearer in above.get(split, ()) if (content, nearer) in images]
        expected |= {row: found[0]} if found else {}
    twins = twins_to_leave_out(digests, split_array([split for _, split in images]))
    assert list(twins.items()) == list(expected.items())
