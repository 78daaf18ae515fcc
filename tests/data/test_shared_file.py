"""A data set in one file that workers map into memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from unmask.data.load import Dataset, load_data
from unmask.data.pixels import CachedPixels, StreamedPixels
from unmask.data.shared_file import read_shared, write_shared
from unmask.errors import UserError


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Sixty images and more, held in memory."""
    return load_data(tiny.DATA, labels=True, progress=False)


def test_a_data_set_comes_back(data: Dataset, tmp_path: Path) -> None:
    """Every split has the same pixels, labels and ids; all share one mapped tensor, and a change stays in memory."""
    file = write_shared(data, tmp_path / "data.tmp")
    back = read_shared(file)
    assert back.fingerprint == data.fingerprint
    for name in ("all", "pretrain", "train", "val", "test"):
        one, other = data.images(name), back.images(name)
        assert torch.equal(one.pixels.read(one.rows)[0], other.pixels.read(other.rows)[0])
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.ids, other.ids)
        assert list(one.names) == list(other.names)
    pixels, again = back.train.pixels, back.pretrain.pixels  # type: ignore[union-attr]
    assert isinstance(pixels, CachedPixels)
    assert isinstance(again, CachedPixels)
    assert pixels.values is again.values
    assert pixels.values.data_ptr() % 64 == 0
    before = (tmp_path / "data.tmp").read_bytes()
    assert file.start >= pixels.values.numel()
    assert pixels.values.numpy().tobytes() in before
    pixels.values.zero_()
    assert (tmp_path / "data.tmp").read_bytes() == before


def test_another_file_is_refused(data: Dataset, tmp_path: Path) -> None:
    """One that is not there, and one with a changed byte."""
    path = tmp_path / "data.tmp"
    file = write_shared(data, path)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not what was written"):
        read_shared(file)
    path.unlink()
    with pytest.raises(UserError, match="a folder that all machines see at the same path"):
        read_shared(file)


def test_streamed_images_are_compared(tmp_path: Path) -> None:
    """They stay where they are; a worker that finds another picture in a file says so."""
    tiny.draw(tmp_path / "images", *tiny.numbered("a", "b"))
    data = tiny.load(tmp_path / "images", cache_mib=0)
    file = write_shared(data, tmp_path / "data.tmp")
    pixels = read_shared(file).readable.pixels
    assert isinstance(pixels, StreamedPixels)
    assert np.array_equal(pixels.read(torch.tensor([3]))[0], data.readable.pixels.read(torch.tensor([3]))[0])
    tiny.picture(seed=77).save(tmp_path / "images" / "a" / "0.png")
    with pytest.raises(UserError, match="not those that the comparison began with"):
        read_shared(file)
    assert read_shared(replace(file, streamed=write_shared(data, tmp_path / "new").streamed))


def test_decoding_by_other_processes(data: Dataset) -> None:
    """Every split gets the number."""
    assert {data.read_by(3).images(name).workers for name in ("all", "pretrain", "train", "val", "test")} == {3}
