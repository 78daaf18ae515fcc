"""Write tables as CSV, parquet or npz, whole or not at all, never over an existing file unasked."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unmask.errors import UserError
from unmask.runs.files import atomic_path
from unmask.runs.folder import require_writable_folder


def require_writable(out: Path, endings: Sequence[str], *, overwrite: bool) -> None:
    """Raise `UserError` for an unknown ending, a folder, a file that would be replaced unasked, or no place for one."""
    if out.suffix.lower() not in endings:
        raise UserError(f"out: {out} must end in {' or '.join(endings)}")
    if out.is_dir():
        raise UserError(f"out: {out} is a folder; give a file in it")
    if out.exists() and not overwrite:
        raise UserError(f"out: {out} exists; `overwrite=True` replaces it")
    require_writable_folder(out.parent)


def write_table(out: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Columns of one length as .csv (UTF-8, floats in full) or .parquet; None is an empty cell."""
    with atomic_path(out) as temporary:
        if out.suffix.lower() == ".parquet":
            _write_parquet(temporary, columns)
            return
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))


def write_arrays(out: Path, arrays: Mapping[str, Any]) -> None:
    """Arrays as .npz, compressed, without pickle."""
    with atomic_path(out) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def _write_parquet(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    parquet.write_table(pyarrow.table(dict(columns)), path)
