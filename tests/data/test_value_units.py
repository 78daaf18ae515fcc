"""Unsigned integers count from 0 to 1, floats and signed integers as they are: a set of both, or a run of one kind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from tiny import load
from unmask.config import DataConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.load import Dataset, load_images
from unmask.errors import UserError

RNG = np.random.default_rng(0)


def tiffs(folder: Path, *kinds: str, low: float = 200, high: float = 1200, nodata: str = "") -> Path:
    """Forty images of two classes with values of one range; the number types take turns.

    Args:
        nodata: GDAL's tag, for unsigned integers only.
    """
    for i in range(40):
        kind = kinds[i // 2 % len(kinds)]
        values = RNG.uniform(low, high, (8, 8)).astype(kind)
        tags = [(42113, "s", 0, nodata, True)] if nodata and kind.startswith("u") else []
        path = folder / f"{i % 2}" / f"{i}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, values, extratags=tags)
    return folder


def seen_by(format: ImageFormat, folder: Path, **fields: Any) -> Dataset:
    """Images as a network of this format gets them."""
    config = DataConfig(data=str(folder), **fields)
    return load_images(config, [str(folder)], format, wanted="all", limit=None, progress=False)


@pytest.mark.case("beside int16, uint16 images of the same values came out 65535 times smaller")
@pytest.mark.parametrize("cache_mib", [4096, 0])
@pytest.mark.parametrize("window", [None, (1.0, 99.0)])
@pytest.mark.parametrize(
    ("kinds", "nodata"),
    [(("uint16", "int16"), ""), (("int16", "uint8"), ""), (("uint16", "float32"), ""), (("uint16", "float32"), "0")],
)
def test_integers_beside_floats_of_another_range_are_refused(
    tmp_path: Path, kinds: tuple[str, ...], nodata: str, window: tuple[float, float] | None, cache_mib: int
) -> None:
    """One of each is named, in whatever order they come; also where no-data makes floats of the integers."""
    tiffs(tmp_path, *kinds, high=250 if "uint8" in kinds else 1200, nodata=nodata)
    with pytest.raises(UserError, match=r"\.tif holds floats or signed.* 2\d\d\S* to .*\.tif unsigned.*one number"):
        load(tmp_path, cache_mib=cache_mib, window=window)


@pytest.mark.parametrize("cache_mib", [4096, 0])
def test_a_single_float_image_among_integers_is_found(tmp_path: Path, cache_mib: int) -> None:
    """Also if it is for the test set only."""
    folder = tiffs(tmp_path / "train", "uint8", high=250).parent
    tiffs(folder / "test", "uint8", high=250)
    tifffile.imwrite(folder / "test" / "1" / "39.tif", np.full((8, 8), 7, np.float32))
    with pytest.raises(UserError, match=r"test/1/39\.tif holds floats .*from 7 to 7"):
        load(folder, cache_mib=cache_mib)


@pytest.mark.parametrize("kinds", [("uint8", "float32"), ("float32", "uint16")])
def test_floats_from_0_to_1_go_with_integers(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    """255, 65535 and 1.0 are the same white."""
    tiffs(tmp_path, *kinds, low=0, high=1)
    assert load(tmp_path).format.value_range == (0, 1)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_integers_with_and_without_missing_pixels_go_together(tmp_path: Path, kind: str) -> None:
    """The no-data tag is on some of the files; a run of such takes files with it and without, windowed too."""
    folder = tiffs(tmp_path / "some", kind, high=250, nodata="0")
    tiffs(tmp_path / "plain", kind, high=250)
    for path in (tmp_path / "plain" / "0").iterdir():
        path.replace(folder / "0" / path.name)
    for fields in ({}, {"window": (1.0, 99.0)}):
        data = load(folder, **fields)
        assert data.format.kind == "float32"
        for name in ("some", "plain"):
            new = seen_by(data.format, tmp_path / name, **fields)
            batch = next(iter(new.readable.batches(torch.arange(4), 4)))
            assert 0.3 < float(batch.images.std()) < 3


@pytest.mark.case("a run of int16 images saw uint16 images of the same values as nearly constant")
@pytest.mark.parametrize("cache_mib", [4096, 0])
@pytest.mark.parametrize("nodata", ["", "0"])
def test_a_run_of_floats_refuses_integers(tmp_path: Path, nodata: str, cache_mib: int) -> None:
    """Its own number type is taken."""
    format = load(tiffs(tmp_path / "run", "int16")).format
    tiffs(tmp_path / "new", "uint16", nodata=nodata)
    with pytest.raises(UserError, match=r"\.tif holds unsigned integers, but the run .* from 200 to 1199"):
        seen_by(format, tmp_path / "new", cache_mib=cache_mib)
    for kind in ("int16", "float32"):
        assert len(seen_by(format, tiffs(tmp_path / kind, kind), cache_mib=cache_mib).readable) == 40


@pytest.mark.case("floats of another range passed for 8 bits if the first 32 images were 8 bits")
@pytest.mark.parametrize("cache_mib", [4096, 0])
def test_a_run_of_integers_refuses_floats_of_another_range_wherever_they_are(tmp_path: Path, cache_mib: int) -> None:
    """The last of forty images."""
    format = load(tiffs(tmp_path / "run", "uint8", high=250)).format
    new = tiffs(tmp_path / "new", "uint8", high=250)
    tifffile.imwrite(new / "1" / "39.tif", np.full((8, 8), 200, np.float32))
    with pytest.raises(UserError, match=r"pixel values from 200 to 200, .* uint8 images"):
        seen_by(format, new, cache_mib=cache_mib)
    tifffile.imwrite(new / "1" / "39.tif", np.full((8, 8), 0.5, np.float32))
    assert len(seen_by(format, new, cache_mib=cache_mib).readable) == 40


@pytest.mark.parametrize("kinds", ["uint16", "float32"])
def test_a_run_of_values_from_0_to_1_refuses_floats_of_another_unit(tmp_path: Path, kinds: str) -> None:
    """Integers with missing pixels, and floats; a little beyond 0 to 1, and a hot pixel, are no other unit."""
    high = 1200 if kinds == "uint16" else 1
    format = load(tiffs(tmp_path / "run", kinds, low=high / 6, high=high, nodata="0")).format
    assert (format.kind, format.value_range) == ("float32", (0, 1))
    with pytest.raises(UserError, match=r"values from 200 to 1199, but the run was trained on values from 0 to 1"):
        seen_by(format, tiffs(tmp_path / "new", "int16"))
    near = tiffs(tmp_path / "near", "float32", low=-0.3, high=1.7)
    hot = np.full((8, 8), 0.5, np.float32)
    hot[3, 3] = 5000
    tifffile.imwrite(near / "0" / "0.tif", hot)
    assert len(seen_by(format, near).readable) == 40


def test_an_unreadable_image_does_not_count(tmp_path: Path) -> None:
    """It is left out, whatever its number type."""
    folder = tiffs(tmp_path, "uint8", high=250)
    tifffile.imwrite(folder / "0" / "0.tif", np.full((8, 8), np.inf, np.float32))
    assert len(load(folder, on_bad_file="skip").readable) == 39
    assert load(folder, on_bad_file="skip").format.kind == "float32"
