"""Claim: TIFF files that GDAL writes are read as GDAL reads them, or refused with a reason; none is read wrongly.

rasterio writes random values of 1 to 13 bands, eight number types, four compressions, pixel- and band-interleaved, in
strips and tiles, as BigTIFF and as cloud-optimized files, with a no-data value and with validity masks; our reader's
values, size, channels and number type are compared with them. Signed 8- and 16-bit and 64-bit float values must be read
as float32, with NaN where a pixel is missing.

Run: python benchmarks/readers.py      (needs rasterio and imagecodecs, which the dev extra installs)

Prints the refusals by reason and a last line "right N, refused N, wrong N"; exits 1 if one is wrong.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy

from unmask.data.decoding.decode import decode, quiet
from unmask.data.headers import read_header
from unmask.errors import UserError

BANDS = (1, 2, 3, 4, 5, 8, 13)
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
HEIGHT, WIDTH = 48, 64
FLOAT = ("int8", "int16", "float64")
"""Number types that are read as float32."""


def pixels(bands: int, dtype: str) -> NDArray[np.generic]:
    """Random values, (bands, HEIGHT, WIDTH); of 32-bit unsigned integers those that 16 bits hold."""
    rng, kind = np.random.default_rng(bands), np.dtype(dtype)
    if kind.kind == "f":
        return (10 * rng.normal(size=(bands, HEIGHT, WIDTH))).astype(kind)
    info = np.iinfo(kind)
    top = 65535 if dtype == "uint32" else info.max
    return rng.integers(info.min, top, (bands, HEIGHT, WIDTH), dtype=kind, endpoint=True)


def write_files(folder: Path) -> Iterator[tuple[Path, NDArray[np.generic], str]]:
    """Each file with its values and number type."""
    shape = {"height": HEIGHT, "width": WIDTH, "transform": rasterio.Affine(2.0, 0.0, 5.0, 0.0, -2.0, 5.0)}
    for bands, dtype in product(BANDS, TYPES):
        values = pixels(bands, dtype)
        profile: dict[str, Any] = {"driver": "GTiff", "count": bands, "dtype": dtype, **shape}
        forms = [
            {"compress": compression, "interleave": interleave, **tiles}
            for compression, interleave, tiles in product(
                ("none", "deflate", "lzw", "zstd"),
                ("pixel", "band"),
                ({}, {"tiled": True, "blockxsize": 16, "blockysize": 16}),
            )
        ]
        for number, form in enumerate([*forms, {"BIGTIFF": "YES"}]):
            path = folder / f"{bands}-{dtype}-{number}.tif"
            with rasterio.open(path, "w", **profile, **form) as file:
                file.write(values)
            yield path, values, dtype
        copy(folder / f"{bands}-{dtype}-0.tif", path := folder / f"{bands}-{dtype}-cog.tif", driver="COG")
        yield path, values, dtype
        yield from write_holes(folder, values, profile)


def write_holes(
    folder: Path, values: NDArray[np.generic], profile: dict[str, Any]
) -> Iterator[tuple[Path, NDArray[np.generic], str]]:
    """A file with a no-data value, one with an internal mask, one with a mask file; NaN where pixels are missing."""
    bands, dtype = len(values), str(values.dtype)
    top = {"uint8": 255, "uint16": 65535, "uint32": 65535}.get(dtype, 1)
    valid = np.full((HEIGHT, WIDTH), 255, np.uint8)
    valid[4:9, 3:20] = 0
    wanted = np.where(valid > 0, values.astype(np.float32) / np.float32(top), np.float32(np.nan))
    nodata = {"uint8": 7, "int8": -7}.get(dtype, 777)
    stored = np.where(values == nodata, nodata + 1, values).astype(dtype)
    holes = np.where(valid > 0, stored, nodata).astype(dtype)
    with rasterio.open(path := folder / f"{bands}-{dtype}-nodata.tif", "w", nodata=nodata, **profile) as file:
        file.write(holes)
    yield path, np.where(valid > 0, stored.astype(np.float32) / np.float32(top), np.float32(np.nan)), "missing"
    for internal in (True, False):
        path = folder / f"{bands}-{dtype}-mask{internal}.tif"
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
            with rasterio.open(path, "w", **profile) as file:
                file.write(values)
            with rasterio.open(path, "r+") as file:
                file.write_mask(valid)
        yield path, wanted, "missing"


def outcome(path: Path, values: NDArray[np.generic], dtype: str) -> str:
    """right, wrong, or the reason of a refusal."""
    try:
        found, header = decode(path), read_header(path)
    except UserError as error:
        return f"refused: {str(error).partition(': ')[2]}"
    wanted = (
        values
        if dtype == "missing"
        else values.astype(np.float32 if dtype in FLOAT else np.uint16 if dtype == "uint32" else values.dtype)
    )
    same = found.dtype == wanted.dtype and np.array_equal(found, wanted, equal_nan=dtype == "missing")
    told = (header.channels, *header.size, header.kind) == (*found.shape, found.dtype.name)
    return "right" if same and told else "wrong"


def main() -> int:
    """Write, read, count."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        counts = Counter(outcome(*file) for file in write_files(Path(folder)))
    for reason, count in counts.items():
        if reason.startswith("refused"):
            print(f"{count} {reason}")
    refused = counts.total() - counts["right"] - counts["wrong"]
    print(f"right {counts['right']}, refused {refused}, wrong {counts['wrong']}")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
