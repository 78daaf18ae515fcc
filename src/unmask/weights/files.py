"""Find weights files and read their tensors, whatever program wrote them. No pickle is ever run."""

import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unmask.errors import UserError
from unmask.runs.layout import ENCODER_FILE
from unmask.training.checkpoint import load_tensors

LEVELS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "module")
"""Entries of a checkpoint under which programs store the weights; averaged ones first."""
_PICKLES = (b"PK\x03\x04", b"\x80")


@dataclass(frozen=True)
class WeightsFile:
    """The contents of a weights file."""

    tensors: dict[str, Tensor]
    header: Mapping[str, Any] = field(default_factory=dict)
    """The JSON that this package wrote with them; empty for another program's file."""
    levels: tuple[str, ...] = ()
    """Entries of the file within which the tensors were found."""
    ordered: bool = False
    """Whether the tensors are in the order in which the network registers them."""


def resolve_weights(init: str | PathLike[str], *, field: str = "init") -> Path:
    """The weights file of a run folder or path. Raises UserError if there is none."""
    path = Path(init)
    if path.is_dir():
        file = path / ENCODER_FILE
        if file.exists():
            return file
        inner = sorted((path / "pretrain").glob("seed_*"))
        fix = (
            f"of a comparison give one of its pretrainings, {inner[0]}" if inner else "is it a finished run of unmask?"
        )
        raise UserError(f"{path}: holds no {ENCODER_FILE}; {fix}")
    if not path.exists():
        other = " (nor timm:NAME or hf:USER/NAME)" if field in ("init", "given") else ""
        raise UserError(f"{field}: {init} is neither a run folder nor a weights file{other}")
    return path


def read_file(path: Path) -> WeightsFile:
    """The tensors of a .safetensors file, or of one that torch.save wrote (.pth, .pt, .bin).

    Raises:
        UserError: the file is missing, cannot be read, holds no tensors, or is a pickle with more than tensors.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if path.suffix != ".safetensors" and start.startswith(_PICKLES):
        return _of_torch(path)
    tensors, header = load_tensors(path)
    return WeightsFile(tensors, header)


def _of_torch(path: Path) -> WeightsFile:
    """What torch.save wrote, read without running its pickle."""
    try:
        _require_whole(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old kinds of storages
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise anything
        lines = str(error).splitlines() or [""]
        unsafe = "weights_only" in str(error).lower() or "unsupported" in str(error).lower()
        reason = "it holds more than tensors, and pickles are not run" if unsafe else lines[0][:120].strip()
        raise UserError(f"{path}: not readable as weights ({type(error).__name__}: {reason})") from None
    levels: list[str] = []
    while isinstance(found, Mapping) and len(levels) < len(LEVELS):
        inside = next((name for name in LEVELS if isinstance(found.get(name), Mapping)), None)
        if inside is None:
            break
        levels.append(inside)
        found = found[inside]
    items = found.items() if isinstance(found, Mapping) else ()
    tensors = {name: value for name, value in items if isinstance(name, str) and _is_plain(value)}
    if not tensors:
        raise UserError(f"{path}: holds no state_dict: expected tensors by name, preferably as .safetensors")
    return WeightsFile(tensors, levels=tuple(levels), ordered=True)


def _is_plain(value: object) -> bool:
    """Whether it is a dense tensor with its numbers."""
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized and not value.is_meta


def _require_whole(path: Path) -> None:
    """Verify an archive's checksums, which torch.load does not.

    torch.save does not compress: a compressed archive may unpack to more than fits in memory.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("a compressed archive, which torch.save does not write")
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"damaged: the checksum of {damaged} is wrong")
