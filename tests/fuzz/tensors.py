"""Files of tensors: checkpoints, networks with their card, and weights of other programs."""

import io
import json
import pickle
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

import tiny
from fuzz.changes import one_of, patched
from fuzz.judge import Kind
from fuzz.safetensors_files import DTYPES, parsed, rewritten, safetensors_head, same, same_numbers, whole
from unmask.config import PretrainConfig, to_json
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.load import load_data
from unmask.encoders.build import build_model
from unmask.stages.pretrain import pretrain
from unmask.training.checkpoint import checkpoint_path, newest
from unmask.weights.files import read_file
from unmask.weights.network import load_model
from unmask.weights.start import initialize

DATA = tiny.multiview(12, 6, 6)
CONFIG = PretrainConfig(
    data=DATA, encoder=tiny.PATCHNET, recipe=tiny.pretrain_recipe(steps=2, batch_size=12), save_every=1.0
)
GRAY = ImageFormat.plain((16, 16), 1, "uint8")
DTYPES |= {"I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool", "U16": "uint16", "U32": "uint32"}
"""Tensors by name: type, shape, bytes."""


@cache
def run() -> Path:
    """A pretraining of two steps with a checkpoint of each."""
    data = load_data(DATA, labels=False, progress=False)
    return pretrain(CONFIG, Path(tempfile.mkdtemp()) / "run", progress=False, dataset=data)


def _damaged(path: Callable[[], Path]) -> st.SearchStrategy[bytes]:
    content = path().read_bytes()
    return patched(content) | safetensors_head(content)


def _altered(path: Callable[[], Path]) -> st.SearchStrategy[bytes]:
    found = read_file(path())
    return _damaged(path) | rewritten(found.tensors, found.header)


def _copied(folder: Path) -> None:
    """The run, stopped before its weights were written."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    shutil.copytree(run(), folder / "run")
    (folder / "run" / "encoder.safetensors").unlink()


def _newest(path: Path) -> Any:
    """The altered checkpoint, or the refusal that the fallback tells; the one before must then be found."""
    known = newest(path.parents[1])
    if known.found is not None and known.found.path == path:
        return known.found
    assert known.found is not None, "no checkpoint is found"
    assert known.found.header.step == 1
    (line,) = known.broken
    return line


def _newest_is_right(value: Any, content: bytes) -> bool:
    found = whole(content)
    if isinstance(value, str):
        return "step_00000002.safetensors" in value and len(value.splitlines()) == 1
    return found is not None and same(value.tensors, found[0]) and to_json(value.header) == found[1]


def _resumed(path: Path) -> bytes:
    """The weights of a run that went on."""
    data = load_data(DATA, labels=False, progress=False)
    folder = path.parents[1]
    pretrain(CONFIG, folder, resume=True, progress=False, dataset=data)
    return (folder / "encoder.safetensors").read_bytes()


def _model_is_right(value: Any, content: bytes) -> bool:
    found = whole(content)
    return (
        found is not None
        and same_numbers(value.module.state_dict(), found[0])
        and _holds(to_json(value.card), found[1]["card"])
    )


def _holds(read: Any, written: Any) -> bool:
    """Whether everything that is written was read; a field that an earlier version did not write has its default."""
    if isinstance(written, dict):
        return all(name in read and _holds(read[name], item) for name, item in written.items())
    return bool(read == written)


@cache
def network() -> torch.nn.Module:
    """A ResNet, which has running statistics and whole numbers among its tensors."""
    return build_model(tiny.RESNET, in_chans=1, image_size=(16, 16), num_classes=3, seed=1)


def started(path: Path) -> dict[str, Tensor]:
    """A network that starts from a file."""
    model = build_model(tiny.RESNET, in_chans=1, image_size=(16, 16), num_classes=3, seed=2)
    initialize(model, str(path), tiny.RESNET, GRAY)
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("fc.")}


def _has_weights(value: dict[str, Tensor], theirs: Mapping[str, Tensor] | None) -> bool:
    """Whether all tensors but the head's are the file's, or, counters of batches, left out there.

    Where a name is altered, and the kinds of the tensors are not, they are the network's in their order.
    """
    if theirs is None:
        return False
    if [name.rpartition(".")[2] for name in theirs][: len(value)] == [name.rpartition(".")[2] for name in value]:
        theirs = dict(zip(value, theirs.values(), strict=False))
    return all(
        (name.endswith("num_batches_tracked") and name not in theirs)
        or (name in theirs and torch.equal(tensor, theirs[name].to(tensor.dtype)))
        for name, tensor in value.items()
    ) and all(bool((tensor >= 0).all()) for name, tensor in value.items() if name.endswith("running_var"))


def _of_safetensors(content: bytes) -> dict[str, Tensor] | None:
    try:
        entries, header = parsed(content)
    except (ValueError, LookupError, TypeError, AttributeError, struct.error):
        return None
    if header:
        return None
    kinds = {name: getattr(torch, dtype) for name, (dtype, _, _) in entries.items()}
    return {
        name: torch.frombuffer(bytearray(content), dtype=kinds[name]).reshape(shape) if content else torch.zeros(shape)
        for name, (_, shape, content) in entries.items()
    }


def _of_torch(content: bytes) -> dict[str, Tensor] | None:
    """Of torch.save, where the archive's checksums are right; a file without them is what torch makes of it."""
    stream = io.BytesIO(content)
    try:
        if zipfile.is_zipfile(stream) and zipfile.ZipFile(stream).testzip() is not None:
            return None
        stream.seek(0)
        found = torch.load(stream, weights_only=True)
    except Exception:
        return None
    return {name: value for name, value in found.items() if isinstance(name, str)} if isinstance(found, dict) else None


def _foreign() -> bytes:
    state = network().state_dict()
    head, body, at = {}, b"", 0
    for name, tensor in state.items():
        piece = (
            tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
            if tensor.ndim
            else tensor.numpy().tobytes()
        )
        kind = next(key for key, value in DTYPES.items() if f"torch.{value}" == str(tensor.dtype))
        head[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [at, at + len(piece)]}
        body, at = body + piece, at + len(piece)
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body


def _torch_files() -> list[bytes]:
    """Of both forms, and one that holds more than tensors."""
    contents = []
    state = dict(network().state_dict())
    for new, value in ((True, state), (False, state), (True, {"model": state, "epoch": 3})):
        stream = io.BytesIO()
        torch.save(value, stream, _use_new_zipfile_serialization=new)
        contents.append(stream.getvalue())
    return [*contents, pickle.dumps({"a": 1})]


def _unwrapped(content: bytes) -> dict[str, Tensor] | None:
    found = _of_torch(content)
    return found if found is None or not isinstance(found.get("model"), dict) else found["model"]  # type: ignore[return-value]


def _prepare_run(folder: Path) -> None:
    if not (folder / "run").exists():
        shutil.copytree(run(), folder / "run")


TRAINING = (
    "--data",
    "multiview",
    "--options",
    json.dumps(DATA.options),
    "--steps",
    "1",
    "--batch-size",
    "4",
    "--quiet",
)
ENCODER = ("--encoder", "resnet10t", "--unstrided", "2", "--encoder-options", json.dumps(tiny.RESNET.encoder_options))


def _finetune(path: Path) -> tuple[str, ...]:
    return ("finetune", "--init", str(path), "--out", str(path.parent / "tuned"), "--overwrite", *TRAINING, *ENCODER)


SECOND = "run/checkpoints/step_00000002.safetensors"
WEIGHTS = (
    Kind(
        "checkpoint",
        SECOND,
        lambda: _altered(lambda: checkpoint_path(run(), 2)),
        _newest,
        _newest_is_right,
        _prepare_run,
    ),
    Kind(
        "run resumed from a damaged checkpoint",
        SECOND,
        lambda: _damaged(lambda: checkpoint_path(run(), 2)),
        _resumed,
        lambda value, content: value == (run() / "encoder.safetensors").read_bytes(),
        _copied,
        lambda path: (
            "pretrain",
            "--config",
            str(path.parents[1] / "config.json"),
            "--out",
            str(path.parents[1]),
            "--resume",
        ),
    ),
    Kind(
        "encoder.safetensors",
        "encoder.safetensors",
        lambda: _altered(lambda: run() / "encoder.safetensors"),
        lambda path: load_model(path),
        _model_is_right,
        words=lambda path: ("export", str(path), "--to", "timm", "--out", str(path.parent / "exported"), "--overwrite"),
    ),
    Kind(
        "--init of .safetensors",
        "weights.safetensors",
        lambda: patched(_foreign()) | safetensors_head(_foreign()),
        started,
        lambda value, content: _has_weights(value, _of_safetensors(content)),
        words=_finetune,
    ),
    Kind(
        "--init of .pth",
        "weights.pth",
        lambda: one_of(_torch_files()),
        started,
        lambda value, content: _has_weights(value, _unwrapped(content)),
        words=_finetune,
    ),
)
