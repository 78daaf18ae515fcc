"""Whatever a file holds: an image of finite values, or one line that names the file. Never another exception."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from unmask.data.decoding.decode import SUFFIXES, decode, quiet
from unmask.data.headers import read_header
from unmask.data.sources.arrays import read_arrays
from unmask.data.sources.manifest import read_manifest
from unmask.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)


def valid(suffix: str) -> bytes:
    """A small valid file."""
    file = BytesIO()
    if suffix == ".npy":
        np.save(file, PIXELS)
    elif suffix == ".tiff":
        tifffile.imwrite(file, PIXELS.astype(np.uint16) * 257, photometric="rgb")
    else:
        kind = Image.registered_extensions()[suffix]
        Image.fromarray(PIXELS).save(file, kind)
    return file.getvalue()


WHOLE = {suffix: valid(suffix) for suffix in sorted(SUFFIXES)}


class UserErrorOrNot:
    """Lets a UserError of one line pass, and a success too."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        return isinstance(error, UserError) and "\n" not in str(error)


@given(
    suffix=st.sampled_from(sorted(SUFFIXES)),
    patches=st.lists(st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=6)), max_size=4),
    keep=st.floats(0, 1),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files(tmp_path: Path, suffix: str, patches: list[tuple[int, bytes]], keep: float) -> None:
    content = bytearray(WHOLE[suffix])
    for at, patch in patches:
        at %= len(content)
        content[at : at + len(patch)] = patch
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content[: int(np.ceil(keep * len(content)))])
    for read in (decode, read_header):
        with quiet(), UserErrorOrNot():
            found = read(path)
            if isinstance(found, np.ndarray):
                assert found.ndim == 3
                assert found.size
                assert found.dtype.kind == "u" or not (np.isinf(found).any() or np.isnan(found).all())


@given(content=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".tsv", ".parquet", ".npy", ".npz"]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_tables_and_arrays(tmp_path: Path, content: bytes, suffix: str) -> None:
    magic = {".npy": b"\x93NUMPY\x01\x00", ".npz": b"PK\x03\x04", ".parquet": b"PAR1"}.get(suffix, b"path,label\n")
    for start in (b"", magic):
        path = tmp_path / f"x{suffix}"
        path.write_bytes(start + content)
        read = read_arrays if suffix in (".npy", ".npz") else read_manifest
        with pytest.raises(UserError) if read is read_arrays or suffix == ".parquet" else UserErrorOrNot():
            read(path, labels=True)
