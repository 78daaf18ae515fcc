"""Every kind of file gives the pixels that were put in, or one line that names it."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from unmask.data.decoding import jpeg
from unmask.data.decoding.decode import decode
from unmask.data.decoding.image_format import ImageFormat, to_format
from unmask.data.decoding.reading import Reading
from unmask.data.headers import read_header
from unmask.errors import UserError

RNG = np.random.default_rng(0)
RGB8 = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
GRAY16 = RNG.integers(0, 65536, (20, 30), dtype=np.uint16)
RGB16 = RNG.integers(0, 65536, (20, 30, 3), dtype=np.uint16)
FLOAT = RNG.normal(size=(20, 30)).astype(np.float32)
FIVE8 = RNG.integers(0, 256, (5, 20, 30), dtype=np.uint8)
FIVE16 = RNG.integers(0, 65536, (5, 20, 30), dtype=np.uint16)


def png16(path: Path, pixels: np.ndarray) -> None:
    """A 16-bit PNG with 2, 3 or 4 channels, written by hand: PIL cannot."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def first(pixels: np.ndarray) -> np.ndarray:
    """Channels first."""
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".ppm", ".gif"])
def test_lossless_color_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    pixels = RGB8 if suffix != ".gif" else np.repeat(RGB8[:, :, :1] // 32 * 32, 3, 2)
    Image.fromarray(pixels).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(decode(path), first(pixels))


@pytest.mark.parametrize(
    ("name", "pixels", "how"),
    [
        ("gray16.tif", GRAY16, {}),
        ("zip16.tif", GRAY16, {"compression": "zlib"}),
        ("rgb16.tif", RGB16, {"photometric": "rgb"}),
        ("planes.tif", RGB16.transpose(2, 0, 1).copy(), {"photometric": "rgb", "planarconfig": "separate"}),
        ("float.tif", FLOAT, {}),
        ("double.tif", FLOAT.astype(np.float64), {}),
        ("five.tif", FIVE8, {"photometric": "minisblack", "planarconfig": "separate"}),
        ("bigtiff.tif", RGB16, {"photometric": "rgb", "bigtiff": True}),
        ("motorola.tif", GRAY16, {"byteorder": ">"}),
    ],
)
def test_scientific_tiff_keeps_every_value(
    tmp_path: Path, name: str, pixels: np.ndarray, how: dict[str, object]
) -> None:
    tifffile.imwrite(tmp_path / name, pixels, **how)
    expected = pixels if "separate" in how.values() else first(pixels)
    expected = expected.astype(np.float32) if pixels.dtype.kind == "f" else expected
    decoded = decode(tmp_path / name)
    assert decoded.dtype == expected.dtype
    assert np.array_equal(decoded, expected)
    header = read_header(tmp_path / name)
    assert (header.channels, *header.size) == decoded.shape
    assert header.kind == decoded.dtype.name


def test_pages_of_a_tiff_are_chosen_or_stacked(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, FIVE16, photometric="minisblack")
    assert np.array_equal(decode(path), FIVE16[:1])
    assert np.array_equal(decode(path, Reading(page=3)), FIVE16[3:4])
    assert np.array_equal(decode(path, Reading(pages_are_channels=True)), FIVE16)
    assert read_header(path, Reading(pages_are_channels=True)).channels == 5
    with pytest.raises(UserError, match=r"stack.tif: page 5 was requested, but the file has 5"):
        decode(path, Reading(page=5))


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_png_keeps_its_bits_and_alpha_lies_over_white(tmp_path: Path, channels: int) -> None:
    pixels = RNG.integers(0, 65536, (20, 30, channels), dtype=np.uint16)
    png16(tmp_path / "x.png", pixels)
    decoded = decode(tmp_path / "x.png")
    expected = first(pixels).astype(np.float64)
    if channels == 4:
        alpha = expected[-1:] / 65535
        expected = np.rint(expected[:-1] * alpha + 65535 * (1 - alpha))
    assert decoded.dtype == np.uint16
    assert np.abs(decoded - expected).max() <= (1 if channels == 4 else 0)
    assert read_header(tmp_path / "x.png").kind == "uint16"


def test_16_bit_gray_with_alpha_is_refused_rather_than_cut_to_8_bits(tmp_path: Path) -> None:
    png16(tmp_path / "x.png", RNG.integers(0, 65536, (20, 30, 2), dtype=np.uint16))
    with pytest.raises(UserError, match=r"x.png: 16-bit PNG of kind LA is not supported"):
        decode(tmp_path / "x.png")


def test_gray_16_bit_png_and_float_tiff_by_pil(tmp_path: Path) -> None:
    Image.fromarray(GRAY16).save(tmp_path / "x.png")
    assert np.array_equal(decode(tmp_path / "x.png"), GRAY16[None])
    Image.fromarray(FLOAT).save(tmp_path / "x.tif")
    assert np.array_equal(decode(tmp_path / "x.tif"), FLOAT[None])


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 2), (2, 6, 7)])
def test_npy_images_with_channels_at_either_end(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = RNG.random(shape).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    expected = values if shape[0] == 2 else first(values)
    assert np.array_equal(decode(tmp_path / "x.npy"), expected)
    assert read_header(tmp_path / "x.npy").channels == expected.shape[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", "the file is empty"),
        ("text.png", b"hello, world" * 20, "not an image"),
        ("scan.dcm", bytes(128) + b"DICM" + bytes(50), "DICOM is not read: convert"),
        ("tiff.tif", b"II*\0" + bytes(60), "tiff.tif: "),
        ("cut.npy", b"\x93NUMPY\x01\x00", "cut.npy: "),
    ],
)
def test_what_is_no_image_is_named_with_a_reason(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        decode(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    broken = FLOAT.copy()
    broken[3, 4] = np.inf
    Image.fromarray(broken).save(tmp_path / "x.tif")
    np.save(tmp_path / "x.npy", broken)
    for name in ("x.tif", "x.npy"):
        with pytest.raises(UserError, match="not finite"):
            decode(tmp_path / name)


def test_a_picture_bomb_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(RGB8).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=r"x.png: the image is too large to decode whole: cut it into tiles"):
        decode(tmp_path / "x.png")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_has_the_same_bits_with_and_without_simplejpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, progressive: bool
) -> None:
    for orientation in range(9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(RGB8).convert(mode)
        image.save(tmp_path / f"{orientation}.jpg", quality=70, progressive=progressive, exif=exif)
    fast = [decode(path) for path in sorted(tmp_path.iterdir())]
    monkeypatch.setattr(jpeg, "simplejpeg", lambda: None)
    plain = [decode(path) for path in sorted(tmp_path.iterdir())]
    assert all(np.array_equal(a, b) for a, b in zip(fast, plain, strict=True))


@pytest.mark.skipif(jpeg.simplejpeg() is None, reason="simplejpeg is not installed")
@pytest.mark.case("the fast decoder refused 162 of 600 JPEGs that Pillow reads")
def test_the_real_simplejpeg_reads_what_pillow_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole files, files with bytes after and between, broken and cut ones: the same pixels or the same line."""
    refused = 0
    for i in range(60):
        image = Image.fromarray(RNG.integers(0, 256, (24 + i % 3, 32, 3), dtype=np.uint8))
        image.convert("L" if i % 4 == 0 else "RGB").save(tmp_path / "x.jpg", quality=50 + i % 45, subsampling=i % 3)
        content = bytearray((tmp_path / "x.jpg").read_bytes())
        content += b"more" * (i % 2)
        if i % 5 == 1:
            content[len(content) // 2 + i] ^= 0xFF
        if i % 5 == 2:
            content = content[: len(content) * (20 + i % 70) // 100]
        if i % 5 == 3:
            content[-6:-6] = b"\xff\x00\xff\x00"
        (tmp_path / "x.jpg").write_bytes(content)
        found = []
        for package in (jpeg.simplejpeg, lambda: None):
            monkeypatch.setattr(jpeg, "simplejpeg", package)
            try:
                found.append(decode(tmp_path / "x.jpg").tobytes())
            except UserError as error:
                refused += 1
                found.append(str(error).encode())
        monkeypatch.undo()
        assert found[0] == found[1], i
    assert 0 < refused < 60


def test_a_large_jpeg_is_decoded_small_and_comes_out_the_same_within_two_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rough = Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    rough.resize((900, 600), Image.Resampling.BICUBIC).save(tmp_path / "x.jpg", quality=90)
    small = decode(tmp_path / "x.jpg", target=(64, 72))
    assert small.shape == (3, 150, 225)
    assert decode(tmp_path / "x.jpg", target=(160, 160)).shape == (3, 600, 900)
    form = ImageFormat.plain((64, 72), 3, "uint8")
    gap = (to_format(small, form).int() - to_format(decode(tmp_path / "x.jpg"), form).int()).abs()
    assert gap.max() <= 2
    monkeypatch.setattr(jpeg, "simplejpeg", lambda: None)
    assert np.array_equal(decode(tmp_path / "x.jpg", target=(64, 72)), small)


def test_true_is_white_in_every_kind_of_file(tmp_path: Path) -> None:
    """PNG of one bit, bilevel TIFF, array of booleans; also an array beside others, brought to a format."""
    bits = RNG.random((20, 30)) < 0.5
    Image.fromarray(bits).save(tmp_path / "x.png")
    tifffile.imwrite(tmp_path / "x.tif", bits, photometric="minisblack")
    np.save(tmp_path / "x.npy", bits)
    wanted = np.where(bits, 255, 0)[None]
    for name in ("x.png", "x.tif", "x.npy"):
        found = decode(tmp_path / name)
        assert found.dtype == np.uint8
        assert np.array_equal(found, wanted)
    plain = ImageFormat.plain((20, 30), 1, "uint8")
    assert np.array_equal(to_format(bits[None], plain).numpy(), wanted)
