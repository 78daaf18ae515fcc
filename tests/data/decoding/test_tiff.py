"""TIFF files of other programs, judged by their tags: the right values, or a refusal that says why."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from unmask.config import DataConfig
from unmask.data.decoding.decode import decode, quiet
from unmask.data.decoding.orientation import upright
from unmask.data.decoding.reading import Reading
from unmask.data.headers import read_header
from unmask.data.load import load_data
from unmask.errors import UserError


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


def pixels(bands: int, dtype: str, height: int = 16, width: int = 24) -> NDArray[np.generic]:
    """Random values over the whole range of a number type, (bands, height, width)."""
    rng, kind = np.random.default_rng(bands), np.dtype(dtype)
    if kind.kind == "f":
        return (10 * rng.normal(size=(bands, height, width))).astype(kind)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max, (bands, height, width), dtype=kind, endpoint=True)


def agree(path: Path, wanted: NDArray[np.generic]) -> None:
    """The file is read as these values, and its header tells the same shape and number type."""
    found, header = decode(path), read_header(path)
    np.testing.assert_array_equal(found, wanted)
    assert (header.channels, *header.size, header.kind) == (*found.shape, found.dtype.name)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("bands", [2, 3, 5, 13])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_every_band_is_read_however_bands_are_laid_out(tmp_path: Path, dtype: str, bands: int, planar: str) -> None:
    values = pixels(bands, dtype)
    stored = values if planar == "separate" else values.transpose(1, 2, 0)
    path = tmp_path / "x.tif"
    options = {"planarconfig": planar, "photometric": "minisblack", "compression": "zlib"}
    tifffile.imwrite(path, stored, extrasamples=["unspecified"] * (bands - 1), **options)
    agree(path, values)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("bands", [1, 3])
def test_signed_values_keep_their_sign(tmp_path: Path, dtype: str, bands: int) -> None:
    values = pixels(bands, dtype)
    layout = {"planarconfig": "separate", "photometric": "minisblack"} if bands > 1 else {}
    tifffile.imwrite(tmp_path / "x.tif", values, **layout)
    agree(tmp_path / "x.tif", values.astype(np.float32))


def test_32_bit_integers_are_read_where_16_bits_hold_them(tmp_path: Path) -> None:
    values = pixels(1, "uint16")
    tifffile.imwrite(tmp_path / "x.tif", values.astype(np.uint32))
    agree(tmp_path / "x.tif", values)
    tifffile.imwrite(tmp_path / "y.tif", -values.astype(np.int32))
    with pytest.raises(UserError, match="32-bit integers outside"):
        decode(tmp_path / "y.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_deep_tiff_is_turned_as_a_plain_one(tmp_path: Path, orientation: int, dtype: str) -> None:
    values = pixels(3, "uint8")
    tag = (274, 3, 1, orientation, True)
    tifffile.imwrite(tmp_path / "plain.tif", values.transpose(1, 2, 0), photometric="rgb", extratags=[tag])
    layout = {"planarconfig": "separate", "photometric": "minisblack", "extratags": [tag]}
    tifffile.imwrite(tmp_path / "x.tif", values.astype(dtype), **layout)
    agree(tmp_path / "x.tif", decode(tmp_path / "plain.tif").astype(dtype))


@pytest.mark.case("an uncompressed gray TIFF that lies on its side was read with its rows torn apart")
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_turned_gray_tiff_stands_upright(
    tmp_path: Path, orientation: int, dtype: str, compression: str | None
) -> None:
    values, tag = pixels(1, dtype), (274, 3, 1, orientation, True)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, values[0], photometric="minisblack", extratags=[tag], compression=compression)
    agree(path, upright(values, orientation))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_where_0_is_white_8_and_16_bits_are_inverted_alike(tmp_path: Path, dtype: str) -> None:
    values = pixels(1, dtype)[0]
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="miniswhite")
    agree(tmp_path / "x.tif", (np.iinfo(dtype).max - values)[None])


def test_float_of_which_0_is_white_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", pixels(1, "float32")[0], photometric="miniswhite")
    with pytest.raises(UserError, match="with 0 as white"):
        decode(tmp_path / "x.tif")


def test_a_16_bit_palette_gives_its_colors(tmp_path: Path) -> None:
    index = pixels(1, "uint16")[0]
    colors = pixels(3, "uint16", 1, 65536)[:, 0]
    tifffile.imwrite(tmp_path / "x.tif", index, photometric="palette", colormap=colors)
    agree(tmp_path / "x.tif", colors[:, index])


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535)])
@pytest.mark.parametrize("alpha", ["assocalpha", "unassalpha"])
def test_alpha_is_laid_over_white_once(tmp_path: Path, dtype: str, top: int, alpha: str) -> None:
    values = np.zeros((4, 2, 2), dtype)
    values[3] = [[0, top // 5], [0, top]]  # black that lets 1, 4/5 and none of the white through
    stored = values.transpose(1, 2, 0)
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="rgb", extrasamples=[alpha])
    wanted = np.broadcast_to(top - values[3], (3, 2, 2))
    np.testing.assert_allclose(decode(tmp_path / "x.tif").astype(float), wanted, atol=top / 255)


def test_premultiplied_colors_are_not_multiplied_again(tmp_path: Path) -> None:
    values = np.full((2, 2, 4), 20000, np.uint16)  # white at alpha 20000, already multiplied
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb", extrasamples=["assocalpha"])
    assert (decode(tmp_path / "x.tif", Reading(alpha="blend")) == 65535).all()
    assert (decode(tmp_path / "x.tif", Reading(alpha="blend", background=0)) == 20000).all()


def test_float_with_alpha_is_refused(tmp_path: Path) -> None:
    values = pixels(4, "float32").transpose(1, 2, 0)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(UserError, match="float32 values with alpha"):
        decode(tmp_path / "x.tif")
    np.testing.assert_array_equal(decode(tmp_path / "x.tif", Reading(alpha="keep")), values.transpose(2, 0, 1))


def test_overviews_and_masks_are_not_pages(tmp_path: Path) -> None:
    values = pixels(2, "uint16")
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        for band in values:
            file.write(band, metadata=None)
            file.write(band[::2, ::2], subfiletype=1, metadata=None)
            file.write(band > 9, subfiletype=4, metadata=None)
    values = np.where(values > 9, values / np.float32(65535), np.float32(np.nan))
    np.testing.assert_array_equal(decode(tmp_path / "x.tif", Reading(pages_are_channels=True)), values)
    np.testing.assert_array_equal(decode(tmp_path / "x.tif", Reading(page=1)), values[1:])
    with pytest.raises(UserError, match="page 2 was requested, but the file has 2"):
        decode(tmp_path / "x.tif", Reading(page=2))


@pytest.mark.slow
def test_a_large_image_of_many_channels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    bands = np.broadcast_to(np.zeros((1, 1, 1), np.uint8), (5, 14000, 14000))
    tifffile.imwrite(tmp_path / "x.tif", bands, planarconfig="separate", compression="zlib", photometric="minisblack")
    with pytest.raises(UserError, match="too large to decode whole"):
        decode(tmp_path / "x.tif")


def test_a_transparent_color_of_a_16_bit_png_is_laid_over_white(tmp_path: Path) -> None:
    gray = np.array([[1000, 2000]], np.uint16)
    Image.fromarray(gray).save(tmp_path / "x.png", transparency=2000)
    np.testing.assert_array_equal(decode(tmp_path / "x.png"), [[[1000, 65535]]])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_band_that_is_declared_transparency_but_looks_like_data_is_asked_about(tmp_path: Path, dtype: str) -> None:
    """GDAL declares the fourth of four 8-bit bands to be alpha, near infrared as well: it was blended over white."""
    values, path = pixels(4, dtype), tmp_path / "x.tif"
    tifffile.imwrite(path, values.transpose(1, 2, 0), photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(UserError, match=r"declared as transparency, but looks like data: `channels=4`"):
        decode(path)
    np.testing.assert_array_equal(decode(path, Reading(alpha="keep")), values)
    assert read_header(path, Reading(alpha="keep")).channels == 4
    assert decode(path, Reading(alpha="blend")).shape == (3, 16, 24)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_the_background_shows_through_transparent_pixels(tmp_path: Path, suffix: str) -> None:
    image = Image.new("RGBA", (4, 2), (10, 200, 30, 0))
    image.putpixel((0, 0), (10, 200, 30, 255))
    path = tmp_path / f"x.{suffix}"
    image.save(path, **({"lossless": True} if suffix == "webp" else {}))
    for level in (255, 0, 77):
        found = decode(path, Reading(background=level))
        assert found[:, 0, 0].tolist() == [10, 200, 30]
        assert (found[:, 1] == level).all()
    assert read_header(path).transparent
    kept = decode(path, Reading(alpha="keep"))
    assert kept[3].tolist() == [[255, 0, 0, 0], [0, 0, 0, 0]]
    assert read_header(path, Reading(alpha="keep")).channels == 4


def test_what_images_do_not_keep_is_noted(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (1, 2, 3, 0)).save(tmp_path / "clear.png")
    Image.new("L", (8, 8)).save(tmp_path / "one.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "pages.tif", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    notes = " ".join(load_data(DataConfig(data=str(tmp_path)), labels=False, progress=False).notes)
    assert "1 of 3 images are transparent: laid over the background" in notes
    assert "1 of 3 images are of one channel, repeated to 3" in notes
    assert "1 of 3 images are in files with more pages" in notes


MATRIX = list(product((1, 2, 3, 5, 13), ("uint8", "int16", "uint16", "float64"), ("none", "lzw"), ("pixel", "band")))


@pytest.mark.parametrize("tiled", [False, True])
def test_files_of_gdal_are_read_as_gdal_reads_them(tmp_path: Path, tiled: bool) -> None:
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed")
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {}
    for bands, dtype, compression, interleave in MATRIX:
        values, path = pixels(bands, dtype), tmp_path / f"{bands}-{dtype}-{compression}-{interleave}.tif"
        profile = {"count": bands, "height": 16, "width": 24, "dtype": dtype, "interleave": interleave, **blocks}
        profile["transform"] = rasterio.Affine(2.0, 0.0, 5.0, 0.0, -2.0, 5.0)
        with rasterio.open(path, "w", driver="GTiff", compress=compression, **profile) as file:
            file.write(values)
        agree(path, values.astype(np.float32) if dtype in ("int16", "float64") else values)
