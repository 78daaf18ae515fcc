"""FAULTS 25: files that are not what they are called run nothing, and take no more memory than they have content."""

import io
import json
import os
import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from unmask.data.decoding.decode import decode
from unmask.data.decoding.npy import free_memory
from unmask.data.headers import read_header
from unmask.data.sources.arrays import read_arrays
from unmask.errors import UserError
from unmask.training.checkpoint import load_tensors

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n16 16 scale\nshowpage\n%%EOF\n"


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there once the first `gs` on the path has been started."""
    marker, programs = tmp_path / "ran", tmp_path / "programs"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return marker


def test_postscript_in_disguise_starts_no_program(ran: Path, tmp_path: Path) -> None:
    """Refused by header and pixels, and PIL itself, asked for everything it knows, would have started it."""
    path = tmp_path / "x.png"
    path.write_bytes(POSTSCRIPT)
    for read in (decode, read_header):
        with pytest.raises(UserError, match=r"x\.png: not an image of a known kind"):
            read(path)
    assert not ran.exists()
    with pytest.raises(OSError, match=r".*"), Image.open(path) as image:
        image.load()
    assert ran.exists()


@pytest.mark.slow
def test_data_check_names_postscript_in_disguise(ran: Path, tmp_path: Path) -> None:
    """One line in the listing of bad files, beside images that are fine."""
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("L", (8, 8)).save(folder / "fine.png")
    (folder / "x.png").write_bytes(POSTSCRIPT)
    words = [sys.executable, "-m", "unmask", "data", "check", "--data", str(folder), "--quiet"]
    told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert "x.png: not an image of a known kind" in told.stdout + told.stderr
    assert not ran.exists()


@pytest.mark.parametrize("kind", ["ICO", "PCX", "TGA", "SGI", "DDS", "ICNS", "EPS", "MSP", "PDF", "SPIDER", "XBM"])
def test_formats_that_are_not_listed_are_refused(kind: str, tmp_path: Path) -> None:
    """By content, whatever the file is called."""
    image = Image.new({"MSP": "1", "XBM": "1", "SPIDER": "F"}.get(kind, "RGB"), (32, 32))
    stored = io.BytesIO()  # given a path, PIL's SPIDER takes its suffix for its own from then on
    image.save(stored, format=kind)
    (tmp_path / "x.png").write_bytes(stored.getvalue())
    with pytest.raises(UserError, match="not an image of a known kind"):
        decode(tmp_path / "x.png")


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_listed_formats_are_read_by_content(kind: str, tmp_path: Path) -> None:
    """All that docs/data.md lists, under another's name too."""
    Image.new("RGB", (32, 16), "white").save(tmp_path / "x.png", format=kind)
    assert decode(tmp_path / "x.png").shape == (3, 16, 32)


def _npy(shape: tuple[int, ...], kind: str = "|u1", content: bytes = b"") -> bytes:
    header = repr({"descr": kind, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


@pytest.mark.slow
def test_a_member_that_is_not_used_is_not_read(tmp_path: Path) -> None:
    """4 GiB of zeros beside the images, 4 MB on disk, cost nothing: the process that reads may have 600 MB more."""
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("extra.npy", "w", force_zip64=True) as member:
            member.write(_npy((2**32,)))
            for _ in range(64):
                member.write(bytes(2**26))
        for name, values in (("images", np.zeros((4, 8, 8), np.uint8)), ("labels", np.arange(4) % 2)):
            buffer = io.BytesIO()
            np.save(buffer, values)
            archive.writestr(f"{name}.npy", buffer.getvalue())
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 600 * 2**20, hard))
    try:
        assert len(read_arrays(tmp_path / "x.npz", labels=True).images) == 4
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (_npy((2**40, 8, 8), content=bytes(64)), "damaged: its header says"),
        (_npy((10**12, 8, 8), "|S0", b""), "damaged: its header says"),
        (_npy((1, 8, 8), content=bytes(65)), "damaged: its header says"),
        (_npy((1, 8, 8), "|O", bytes(512)), "Python objects"),
        (_npy((1, 8, 8), content=bytes(64)).replace(b"{", b"("), "damaged in its header"),
        (b"\x93NUMPY", "not a .npy file"),
        (b"", "not a .npy file"),
    ],
)
def test_an_array_that_claims_another_size_is_refused(content: bytes, line: str, tmp_path: Path) -> None:
    """As a member that is used, and as an image of its own; before anything of that size is made."""
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", content)
    with pytest.raises(UserError, match=rf"x\.npz: array images: .*{line}"):
        read_arrays(tmp_path / "x.npz", labels=False)
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.npy: .*{line}"):
        decode(tmp_path / "x.npy")


def test_an_array_larger_than_free_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both numbers, and before it is unpacked."""
    assert (free_memory() or 0) > 2**20
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((64, 1024, 1024), np.uint8))
    monkeypatch.setattr("unmask.data.decoding.npy.free_memory", lambda: 2**25)
    with pytest.raises(UserError, match=r"x\.npz: array images: takes 0\.1 GiB, but 0\.0 GiB of memory are free"):
        read_arrays(tmp_path / "x.npz", labels=False)


@pytest.mark.parametrize(
    "header",
    [
        {"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 4]}},
        {"__metadata__": {"unmask": "[" * 100_000}},
        {"__metadata__": {"unmask": "[]"}},
    ],
)
def test_a_weights_file_that_claims_another_size_is_refused(header: dict[str, Any], tmp_path: Path) -> None:
    """One line that begins with the path, without tensors of that size."""
    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(UserError, match=r"x\.safetensors: not a readable safetensors file"):
        load_tensors(tmp_path / "x.safetensors")
