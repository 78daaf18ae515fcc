"""Checkpoints: one safetensors file with every tensor, and plain JSON in its header. No pickle anywhere."""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unmask.errors import UserError
from unmask.runs.files import atomic_path
from unmask.runs.layout import CHECKPOINTS
from unmask.training.sharding import placed, placed_state

_DIGEST = "digest"
"""Entry of the header: `digest_of` the tensors."""
_MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's state per element. Its memory layout must match the parameter's, or the fused step refuses it."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header atomically.

    Raises:
        OSError: the file cannot be written, as on a full disk; what stood at `path` is kept.
    """
    plain = {name: tensor.detach().contiguous().cpu().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            written = {**header, _DIGEST: digest_of(plain)}
            save_file(plain, str(temporary), metadata={"unmask": json.dumps(written)})
        except SafetensorError as error:  # how safetensors tells of a full disk
            raise OSError(f"{path}: cannot be written ({error})") from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote; a file by another program has an empty header.

    Raises:
        UserError: the file is missing, cut short, not safetensors, or its tensors are not those that were written.
    """
    try:
        with safe_open(str(path), framework="pt") as stream:
            header = json.loads((stream.metadata() or {}).get("unmask", "{}"))
            if not isinstance(header, dict):
                raise ValueError("its header is not an object")
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        if header.pop(_DIGEST, digest := digest_of(tensors)) != digest:
            raise ValueError("its tensors are not those that were written: the file was damaged or changed")
        return tensors, header
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from None


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, of the names, types, shapes and bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def collect_state(modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of named modules, and the optimizer's moments, under flat names; sharded as they are."""
    for owner, module in modules.items():
        yield from ((f"{owner}/{name}", tensor) for name, tensor in module.state_dict().items())
    for index, values in optimizer.state_dict()["state"].items():
        yield from ((f"optimizer/{index}/{key}", torch.as_tensor(value)) for key, value in values.items())


def restore_state(
    tensors: Mapping[str, Tensor], modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """The inverse of `collect_state`, from whole tensors; returns those under "more/", without that."""
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
    """Where the checkpoint of a step is kept."""
    return CHECKPOINTS.path(folder, step)


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints that are whole, and half files that a kill left."""
    for path in CHECKPOINTS.path(folder, 0).parent.glob(".step_*.tmp"):
        path.unlink()
    paths = CHECKPOINTS.found(folder)[::-1]
    whole = [path for path in paths if _is_whole(path)]
    for path in paths[paths.index(whole[keep - 1]) + 1 :] if len(whole) >= keep else ():
        path.unlink()


def _is_whole(path: Path) -> bool:
    """Whether the file has the length that its header tells."""
    try:
        with safe_open(str(path), framework="pt"):
            return True
    except (SafetensorError, OSError):
        return False


def newest(folder: Path) -> tuple[Path, dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint that loads. An unreadable newer one is skipped with a warning."""
    for path in CHECKPOINTS.found(folder)[::-1]:
        try:
            return path, *load_tensors(path)
        except UserError as error:
            warnings.warn(f"{error}; falling back to the checkpoint before it", stacklevel=2)
    return None
