"""Checkpoints: one safetensors file with every tensor, and plain JSON in its header. No pickle anywhere."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unmask.config import from_json
from unmask.config.serialize import parse_json, require_complete
from unmask.config.validation import require_least
from unmask.errors import UserError
from unmask.runs.files import atomic_path
from unmask.runs.layout import CHECKPOINTS
from unmask.runs.metrics import TrainingRow
from unmask.training.sharding import placed, placed_state

_DIGEST = "digest"
"""Entry of the header: `digest_of` the tensors and the rest of the header."""
_MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's state per element. Its memory layout must match the parameter's, or the fused step refuses it."""


@dataclass(frozen=True, kw_only=True)
class CheckpointHeader:
    """What a checkpoint holds besides its tensors."""

    step: int
    """Steps done, over all phases."""
    phase: str
    phase_step: int
    """Steps done in that phase."""
    ended: bool
    """Whether the phase had ended before its last step."""
    batch_size: int
    """Images of one step, over all processes."""
    processes: int
    seconds: float
    """Seconds of training so far."""
    scaler: dict[str, int | float] | None = None
    """State of the loss scaling of fp16."""
    history: tuple[TrainingRow, ...] = ()
    """Progress of a classifier."""
    best: tuple[float | None, int] = (None, 0)
    """Best validation score, more being better, and evaluations since."""

    def __post_init__(self) -> None:
        require_least(self, step=0, phase_step=0, seconds=0, processes=1, batch_size=1)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read."""

    path: Path
    tensors: dict[str, Tensor]
    header: CheckpointHeader


@dataclass(frozen=True)
class Newest:
    """Which of a run's checkpoints can be used."""

    found: Checkpoint | None
    """The newest that loads."""
    broken: list[str] = field(default_factory=list)
    """Why newer ones do not."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header atomically.

    Raises:
        OSError: the file cannot be written, as on a full disk; an existing file at `path` is kept.
    """
    plain = {name: tensor.detach().contiguous().cpu().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            written = {**header, _DIGEST: digest_of(plain, header)}
            save_file(plain, str(temporary), metadata={"unmask": json.dumps(written)})
        except SafetensorError as error:  # how safetensors reports a full disk
            raise OSError(f"{path}: cannot be written ({error})") from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote; a file by another program has an empty header.

    Raises:
        UserError: the file is missing, cut short, not safetensors, or its contents are not what was written.
    """
    try:
        with safe_open(str(path), framework="pt") as stream:
            header = parse_json((stream.metadata() or {}).get("unmask", "{}"))
            if not isinstance(header, dict):
                raise ValueError("its header is not an object")
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        if header and header.pop(_DIGEST, None) != digest_of(tensors, header):
            raise ValueError("its contents are not those that were written: the file was damaged or changed")
        return tensors, header
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from None


def is_whole(path: Path) -> bool:
    """Whether a file that `save_tensors` wrote exists with all of its contents."""
    try:
        load_tensors(path)
    except UserError:
        return False
    return True


def digest_of(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of a header and of the names, types, shapes and bytes of tensors, in order of names."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def collect_state(modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of named modules, and the optimizer's moments, under flat names; still sharded."""
    for owner, module in modules.items():
        yield from ((f"{owner}/{name}", tensor) for name, tensor in module.state_dict().items())
    for index, values in optimizer.state_dict()["state"].items():
        yield from ((f"optimizer/{index}/{key}", torch.as_tensor(value)) for key, value in values.items())


def restore_state(
    tensors: Mapping[str, Tensor], modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """The inverse of `collect_state`, from whole tensors; returns those under "more/", without this prefix."""
    for owner, module in modules.items():
        prefix = f"{owner}/"
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        module.load_state_dict(placed_state(own, module))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/", 2)
            lies = parameters[int(index)] if name in _MOMENTS else None
            state.setdefault(int(index), {})[name] = tensor if lies is None else placed(tensor, lies)
    whole = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
    return {name.removeprefix("more/"): value for name, value in tensors.items() if name.startswith("more/")}


def checkpoint_path(folder: Path, step: int) -> Path:
    """Path of the checkpoint of a step."""
    return CHECKPOINTS.path(folder, step)


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` whole checkpoints, and partial files that a kill left."""
    for path in CHECKPOINTS.path(folder, 0).parent.glob(".step_*.tmp"):
        path.unlink()
    paths = CHECKPOINTS.found(folder)[::-1]
    whole = [path for path in paths if _is_whole(path)]
    for path in paths[paths.index(whole[keep - 1]) + 1 :] if len(whole) >= keep else ():
        path.unlink()


def _is_whole(path: Path) -> bool:
    """Whether the file has the length that its header states."""
    try:
        with safe_open(str(path), framework="pt"):
            return True
    except (SafetensorError, OSError):
        return False


def newest(folder: Path) -> Newest:
    """The newest checkpoint that loads, with a message for each newer one that does not."""
    broken: list[str] = []
    for path in CHECKPOINTS.found(folder)[::-1]:
        try:
            tensors, header = load_tensors(path)
            return Newest(Checkpoint(path, tensors, _read_header(header, path)), broken)
        except UserError as error:
            broken.append(str(error))
    return Newest(None, broken)


def newest_step(folder: Path) -> int:
    """The step of the newest whole checkpoint; 0 without any."""
    steps = (int(path.stem.removeprefix("step_")) for path in CHECKPOINTS.found(folder) if _is_whole(path))
    return max(steps, default=0)


def _read_header(header: Mapping[str, Any], path: Path) -> CheckpointHeader:
    read = from_json(CheckpointHeader, header, f"{path}: ")
    require_complete(header, read, f"{path}: ")
    if path.stem != f"step_{read.step:08d}":
        raise UserError(f"{path}: step = {read.step} is not the one the file is named after")
    return read
