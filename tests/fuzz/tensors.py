"""Files of tensors: checkpoints, networks with their card, and weights of other programs."""

import hashlib
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
from fuzz.changes import ODD, one_of, patched, strict_json
from fuzz.judge import Kind
from record_values import altered
from unmask.config import PretrainConfig, to_json
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.load import load_data
from unmask.encoders.build import build_model
from unmask.stages.pretrain import pretrain
from unmask.training.checkpoint import checkpoint_path, newest, save_tensors
from unmask.weights.files import read_file
from unmask.weights.network import load_model
from unmask.weights.start import initialize

DATA = tiny.multiview(12, 6, 6)
CONFIG = PretrainConfig(
    data=DATA, encoder=tiny.PATCHNET, recipe=tiny.pretrain_recipe(steps=2, batch_size=12), save_every=1.0
)
GRAY = ImageFormat.plain((16, 16), 1, "uint8")
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32"}
DTYPES |= {"I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool", "U16": "uint16", "U32": "uint32"}
Entries = dict[str, tuple[str, tuple[int, ...], bytes]]
"""Tensors by name: type, shape, bytes."""


def parsed(content: bytes) -> tuple[Entries, dict[str, Any]]:
    """A .safetensors file, read without a library: its tensors, and the header that this package wrote."""
    (length,) = struct.unpack("<Q", content[:8])
    head = strict_json(content[8 : 8 + length])
    body = content[8 + length :]
    header = strict_json(head.pop("__metadata__", {}).get("unmask", "{}").encode())
    entries = {}
    for name, one in head.items():
        start, end = one["data_offsets"]
        entries[name] = (DTYPES[one["dtype"]], tuple(one["shape"]), body[start:end])
    return entries, header


def digest_of(entries: Entries, header: Mapping[str, Any]) -> str:
    """What the header's digest must be."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(entries):
        dtype, shape, content = entries[name]
        digest.update(f"{name}\0torch.{dtype}\0{shape}\0".encode() + content)
    return digest.hexdigest()


def same(tensors: Mapping[str, Tensor], entries: Entries) -> bool:
    """Whether tensors are bit for bit those of the file."""
    return tensors.keys() == entries.keys() and all(
        (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)) == entries[name][:2]
        and tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() == entries[name][2]
        for name, tensor in tensors.items()
        if tensor.numel() or name in entries
    )


def whole(content: bytes) -> tuple[Entries, dict[str, Any]] | None:
    """Tensors and header of a file whose digest is right; None for any other."""
    try:
        entries, header = parsed(content)
        return (entries, header) if header.pop("digest", None) == digest_of(entries, header) else None
    except (ValueError, LookupError, TypeError, AttributeError, struct.error):
        return None


def _written(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        save_tensors(Path(name) / "x.safetensors", tensors, header)
        return (Path(name) / "x.safetensors").read_bytes()


@st.composite
def safetensors_head(draw: st.DrawFn, content: bytes) -> bytes:
    """The JSON at the start altered, or its length."""
    (length,) = struct.unpack("<Q", content[:8])
    head, body = content[8 : 8 + length], content[8 + length :]
    if draw(st.integers(0, 4)) == 0:
        lengths = st.sampled_from([0, 1, 2**31, 2**40, 2**63, 2**64 - 1, len(content), length - 1, length + 8])
        return struct.pack("<Q", draw(lengths)) + head + body
    if draw(st.booleans()):
        old, new = draw(st.permutations(sorted(DTYPES)))[:2]
        other = head.replace(f'"{old}"'.encode(), f'"{new}"'.encode(), draw(st.sampled_from([1, -1])))
    else:
        other = json.dumps(draw(altered(json.loads(head)))).encode()
    return struct.pack("<Q", len(other)) + other + body


@st.composite
def rewritten(draw: st.DrawFn, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """Other tensors or another header, with the digest that then is right."""
    tensors, header = dict(tensors), json.loads(json.dumps(header))
    change = draw(st.sampled_from(["header", "header", "odd", "dtype", "shape", "missing", "more", "values"]))
    name = draw(st.sampled_from(sorted(tensors)))
    if change == "header":
        header = draw(altered(header))
    elif change == "odd":
        text, odd = json.dumps(header), draw(st.sampled_from([one for one in ODD if len(one) < 4000])).decode()
        numbers = [one for one in ("1", "16", "0", "uint8", "all") if f" {one}" in text]
        header = _loads(text.replace(f" {draw(st.sampled_from(numbers or ['1']))}", f" {odd}", 1)) or header
    elif change == "dtype":
        kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
        tensors[name] = tensors[name].to(draw(st.sampled_from(kinds)))
    elif change == "shape":
        tensors[name] = draw(
            st.sampled_from([tensors[name].flatten(), tensors[name][None], tensors[name].flatten()[:0], torch.zeros(3)])
        )
    elif change == "values":
        tensors[name] = torch.full_like(tensors[name], draw(st.sampled_from([0, 1, -1])))
        if tensors[name].is_floating_point():
            tensors[name] = tensors[name] * draw(st.sampled_from([torch.nan, torch.inf, 1e30]))
    else:
        tensors["another"] = tensors[name] if change == "missing" else torch.zeros(2)
        tensors = {k: v for k, v in tensors.items() if k != name or change == "more"}
    return _written(tensors, header)


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


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
        and same(value.module.state_dict(), found[0])
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
    """Whether all tensors but the head's are the file's, or, counters of batches, left out there."""
    if theirs is None:
        return False
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
