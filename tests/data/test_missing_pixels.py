"""Pixels without a value (no-data tag, `nodata`, masks of validity, NaN) leave range, statistics, input and loss."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from tiny import PATCHNET, load, pretrain_recipe
from unmask.config import AugmentConfig, DataConfig, PretrainConfig
from unmask.data.augment import augment_images, moved
from unmask.data.check.report import check_data
from unmask.data.decoding.decode import decode
from unmask.data.decoding.image_format import ImageFormat, to_format
from unmask.data.decoding.reading import DEFAULT, Reading
from unmask.data.headers import read_header
from unmask.errors import UserError
from unmask.runs.metrics import TrainingRow, read_metrics, rows_of
from unmask.stages.pretrain import pretrain
from unmask.targets.target import PixelTarget, truth_of

RNG = np.random.default_rng(0)
HOLE = np.s_[..., 2:5, 3:7]
"""Missing pixels of the images below."""


def pixels(dtype: str, bands: int = 1, *shape: int) -> NDArray[Any]:
    """Values from 1 to 200, (*shape, bands, 12, 16); floats of them are between."""
    values = RNG.integers(1, 200, (*shape, bands, 12, 16))
    return (values + RNG.random(values.shape) / 2 if dtype.startswith("float") else values).astype(dtype)


def write(path: Path, values: NDArray[Any], **profile: Any) -> Path:
    """GDAL's GeoTIFF of (bands, H, W)."""
    shape = dict(zip(("count", "height", "width"), values.shape, strict=True))
    place = rasterio.Affine(1.0, 0.0, 5.0, 0.0, -1.0, 5.0)
    with rasterio.open(path, "w", driver="GTiff", dtype=values.dtype, transform=place, **shape, **profile) as file:
        file.write(values)
    return path


def agrees(path: Path, values: NDArray[Any], top: float, reading: Reading = DEFAULT) -> None:
    """The file is read as these values with the hole missing, and its header says float32."""
    found = decode(path, reading)
    wanted = values.astype(np.float32) / np.float32(top)
    wanted[HOLE] = np.nan
    np.testing.assert_array_equal(found, wanted)
    assert read_header(path, reading).kind == found.dtype.name == "float32"


@pytest.mark.case("GDAL's no-data value entered range, mean and deviation")
@pytest.mark.parametrize("bands", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("dtype", "nodata", "top"),
    [("uint8", 0, 255), ("uint16", 0, 65535), ("int16", -9999, 1), ("float32", -9999, 1), ("float64", -1e300, 1)],
)
def test_the_no_data_tag_marks_missing_pixels(
    tmp_path: Path, bands: int, dtype: str, nodata: float, top: float
) -> None:
    values = pixels(dtype, bands)
    stored = values.copy()
    stored[HOLE] = nodata
    agrees(write(tmp_path / "x.tif", stored, nodata=nodata), values, top)


@pytest.mark.case("no-data that is nowhere changed an image's number type for nothing")
def test_a_value_that_the_number_type_cannot_hold_marks_nothing(tmp_path: Path) -> None:
    values = pixels("uint8", 3)
    path = write(tmp_path / "x.tif", values)
    Image.open(path).close()
    np.testing.assert_array_equal(decode(path, Reading(nodata=-9999)), values)
    assert read_header(path, Reading(nodata=0.5)).kind == "uint8"


@pytest.mark.case("one band of a pure color was taken for a missing pixel")
def test_of_8_bit_color_a_pixel_is_missing_where_all_bands_are(tmp_path: Path) -> None:
    values = pixels("uint8", 3)
    values[0, 8, 8] = 0
    stored = values.copy()
    stored[HOLE] = 0
    agrees(write(tmp_path / "x.tif", stored, nodata=0), values, 255)


@pytest.mark.case("masks of validity were ignored")
@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize(("dtype", "bands"), [("uint8", 3), ("uint8", 1), ("uint16", 4), ("float32", 1)])
def test_masks_of_validity_mark_missing_pixels(tmp_path: Path, internal: bool, dtype: str, bands: int) -> None:
    values, valid = pixels(dtype, bands), np.full((12, 16), 255, np.uint8)
    valid[HOLE] = 0
    path = tmp_path / "x.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        write(path, values)
        with rasterio.open(path, "r+") as file:
            file.write_mask(valid)
    assert (tmp_path / "x.tif.msk").exists() is not internal
    agrees(path, values, {"uint8": 255, "uint16": 65535, "float32": 1}[dtype])


@pytest.mark.parametrize("writer", ["png", "npy", "tif", "inverted"])
def test_a_named_value_marks_missing_pixels_in_every_format(tmp_path: Path, writer: str) -> None:
    values = pixels("uint16")
    stored = values.copy()
    stored[HOLE] = 7000
    path = tmp_path / f"x.{writer if writer != 'inverted' else 'tif'}"
    if writer == "npy":
        np.save(path, stored[0])
    elif writer == "inverted":
        tifffile.imwrite(path, stored[0], photometric="miniswhite")
        values = 65535 - values
    else:
        Image.fromarray(stored[0]).save(path)
    agrees(path, values, 65535, Reading(nodata=7000))


@pytest.mark.case("a mask lay across a turned image")
def test_a_mask_turns_with_its_image(tmp_path: Path) -> None:
    values, valid = pixels("uint8")[0], np.ones((12, 16), bool)
    valid[HOLE] = False
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(values, photometric="minisblack", extratags=[(274, "H", 1, 6, True)], metadata=None)
        file.write(valid, photometric="mask", subfiletype=4, metadata=None)
    wanted = np.rot90(np.where(valid, values / np.float32(255), np.nan), -1)
    np.testing.assert_allclose(decode(tmp_path / "x.tif")[0], wanted, rtol=1e-6)


def arrays(folder: Path, hole: float, count: int = 24) -> tuple[Path, NDArray[Any]]:
    """An .npz of float images whose holes hold a value, and the images with NaN there."""
    images = RNG.normal(3, 1, (count, 2, 12, 16)).astype(np.float32)
    images[:, 1] *= 2
    missing = images.copy()
    missing[:, 1, 2:5, 3:7] = np.nan
    missing[0, 0, 0, 0] = np.nan
    np.savez(folder / "x.npz", images=np.nan_to_num(missing, nan=hole), labels=np.arange(count) % 2)
    return folder / "x.npz", missing


@pytest.mark.case("-9999 on a tenth of the pixels took the test accuracy from 100 to 50 %")
@pytest.mark.parametrize("cache_mib", [4096, 0])
@pytest.mark.parametrize(("hole", "fields"), [(-9999.0, {"nodata": -9999.0}), (np.nan, {})])
def test_missing_pixels_leave_range_and_statistics(
    tmp_path: Path, cache_mib: int, hole: float, fields: dict[str, float]
) -> None:
    """Range, mean and deviation are those of the values that are there; no image is left out; the note counts them."""
    path, images = arrays(tmp_path, hole)
    data = load(path, cache_mib=cache_mib, workers=0, **fields)
    seen = images[data.pretrain.rows.numpy()]
    low, high = data.format.value_range
    assert (low, high) == pytest.approx((np.nanmin(seen), np.nanmax(seen)))
    shares = (seen.astype(np.float64) - low) / (high - low)
    assert data.format.mean == pytest.approx(np.nanmean(shares, (0, 2, 3)).tolist())
    assert data.format.std == pytest.approx(np.nanstd(shares, (0, 2, 3)).tolist())
    assert not data.bad_files
    assert len(data.readable) == len(images)
    assert any(f"of {len(seen)} pretraining images have missing pixels" in note for note in data.notes)
    report = check_data(DataConfig(data=str(path), **fields), progress=False)
    assert [channel["mean"] for channel in report.channels] == pytest.approx(np.nanmean(images, (0, 2, 3)).tolist())
    assert (report.errors, report.unreadable) == ((), ())


def test_missing_pixels_reach_the_encoder_as_the_mean(tmp_path: Path) -> None:
    """And a batch says which; cached and streamed, alone and by workers, with the same bits."""
    path, images = arrays(tmp_path, np.nan)
    found = []
    for options in ({}, {"cache_mib": 0, "workers": 0}, {"cache_mib": 0, "workers": 1}):
        data = load(path, **options)
        found.append(next(data.readable.batches(torch.arange(5), 5)))
    first, *others = found
    assert first.valid is not None
    np.testing.assert_array_equal(first.valid.numpy(), ~np.isnan(images[:5]))
    assert not first.images[~first.valid].any()
    assert data.readable.raw([0])[0, 1, 3, 4] == torch.tensor(data.format.mean[1])
    for other in others:
        assert torch.equal(first.images, other.images)
        assert other.valid is not None
        assert torch.equal(first.valid, other.valid)


@pytest.mark.case("a hole left a rim of its own value around it")
def test_what_is_missing_moves_with_the_augmented_image() -> None:
    """A value made of any missing one is missing; the others do not depend on what the hole held."""
    images, ids = torch.rand(16, 1, 12, 16), torch.arange(16)
    valid = torch.ones(16, 1, 12, 16, dtype=torch.bool)
    valid[HOLE] = False
    config = AugmentConfig(flip_vertical=0.5, shift=0.2)
    low, high = (augment_images(images.where(valid, hole), ids, config, seed=1, epoch=2) for hole in (0.0, 1.0))
    there = moved(valid, ids, config, seed=1, epoch=2)
    assert 0.5 < there.float().mean() < 1
    torch.testing.assert_close(low[there], high[there], atol=2e-3, rtol=0)
    assert ((high - low)[~there] > 5e-4).all()


@pytest.mark.case("the network learned to reconstruct -9999")
@pytest.mark.parametrize("normalized", [False, True])
def test_missing_pixels_leave_the_loss(normalized: bool) -> None:
    """The mean over the hidden values that are there; what the holes hold changes neither it nor its gradient."""
    target = PixelTarget(2 * 16, 4, normalized)
    valid, hidden = torch.rand(3, 2, 12, 16) > 0.3, torch.rand(3, 3, 4) > 0.5
    valid[0, :, :4, :4] = False
    guess = torch.randn(3, 32, 3, 4, requires_grad=True)
    images = torch.rand(3, 2, 12, 16)
    found = [truth_of(target, images.where(valid, hole), valid).loss(guess, hidden, "mse") for hole in (0.0, 1e4)]
    assert found[0].total.item() == found[1].total.item()
    (gradient,) = torch.autograd.grad(found[0].total, guess)
    there = target.valid(valid)
    assert there is not None
    assert torch.equal(gradient != 0, there & hidden[:, None])
    truth = target(images, valid)
    wanted = (guess - truth).square()[there & hidden[:, None]].mean()
    assert (found[0].total / found[0].number).item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.case("a mask of validity changed the loss of whole images")
def test_a_whole_image_has_the_loss_it_always_had() -> None:
    target, hidden = PixelTarget(16, 4, True), torch.rand(3, 3, 4) > 0.5
    guess, images = torch.randn(3, 16, 3, 4), torch.rand(3, 1, 12, 16)
    plain = truth_of(target, images, None).loss(guess, hidden, "smooth_l1")
    masked = truth_of(target, images, torch.ones_like(images).bool()).loss(guess, hidden, "smooth_l1")
    for one, other in zip(plain, masked, strict=True):
        assert one.item() == pytest.approx(other.item(), rel=1e-5)


def test_pretraining_runs_on_images_with_holes(tmp_path: Path) -> None:
    """Also with micro-batches, and by workers."""
    path, _ = arrays(tmp_path, -9999)
    data = DataConfig(data=str(path), nodata=-9999, cache_mib=0, workers=1)
    recipe = pretrain_recipe(steps=2, batch_size=8, accumulate=2)
    config = PretrainConfig(data=data, encoder=PATCHNET, recipe=recipe)
    run = pretrain(config, tmp_path / "run", progress=False)
    assert all(np.isfinite(row.loss) and row.loss < 10 for row in rows_of(TrainingRow, read_metrics(run)))


@pytest.mark.case("one NaN pixel dropped the image")
def test_an_image_without_any_pixel_is_unreadable_and_one_with_a_hole_is_not(tmp_path: Path) -> None:
    images = RNG.random((12, 8, 8)).astype(np.float32)
    images[3], images[4, 0, 0] = np.nan, np.nan
    np.save(tmp_path / "x.npy", images)
    with pytest.raises(UserError, match=r"^x\[3\]: no pixel of the image has a value"):
        load(tmp_path / "x.npy", labels=False)
    data = load(tmp_path / "x.npy", labels=False, on_bad_file="skip")
    assert len(data.readable) == 11


@pytest.mark.parametrize(
    ("hole", "share", "said"),
    [
        (-9999.0, 0.1, "10 % of the values are -9999, far from all others"),
        (1e6, 0.001, "of the values are 1000000, far from all others"),
        (None, 0.0, None),
    ],
)
def test_a_value_far_from_all_others_is_asked_about(
    tmp_path: Path, hole: float | None, share: float, said: str | None
) -> None:
    images = RNG.normal(3, 1, (20, 16, 16)).astype(np.float32)
    if hole is not None:
        images.reshape(-1)[RNG.permutation(images.size)[: round(share * images.size)]] = hole
    np.save(tmp_path / "x.npy", images)
    notes = load(tmp_path / "x.npy", labels=False).notes
    assert any(said in note for note in notes) if said else not notes


def test_a_range_that_few_values_stretch_is_told(tmp_path: Path) -> None:
    images = RNG.normal(3, 1, (20, 16, 16)).astype(np.float32)
    images.reshape(-1)[:10] = np.linspace(500, 5000, 10)
    np.save(tmp_path / "x.npy", images)
    (note,) = load(tmp_path / "x.npy", labels=False).notes
    assert note.startswith("the middle 98 % of the values lie between")


@pytest.mark.case("a hole grew when an image was resized")
def test_resizing_takes_the_mean_of_what_is_there(tmp_path: Path) -> None:
    """A constant image with a hole stays constant, and the hole keeps about its area."""
    image = np.full((1, 32, 32), 0.7, np.float32)
    image[:, 8:20, 8:20] = np.nan
    for side in (8, 13, 64):
        small = to_format(image, ImageFormat.plain((side, side), 1, "float32"))
        assert (small[~small.isnan()] - 0.7).abs().max() < 1e-5
        assert small.isnan().float().mean() == pytest.approx(144 / 1024, abs=0.05)
