"""Files in the form of safetensors, read and written without a library, and altered with a right or a wrong digest."""

import hashlib
import json
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from fuzz.changes import ODD, strict_json
from record_values import altered
from unmask.training.checkpoint import save_tensors

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32"}
Entries = dict[str, tuple[str, tuple[int, ...], bytes]]


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


def same_numbers(tensors: Mapping[str, Tensor], entries: Entries) -> bool:
    """Whether the tensors of a network are those of the file, whole numbers or not as there, whatever their precision.

    No number may be rounded.
    """
    theirs = {
        name: torch.frombuffer(bytearray(content), dtype=getattr(torch, dtype)).reshape(shape)
        for name, (dtype, shape, content) in entries.items()
    }
    return tensors.keys() == theirs.keys() and all(
        tensor.is_floating_point() == theirs[name].is_floating_point()
        and torch.equal(tensor.double(), theirs[name].double())
        for name, tensor in tensors.items()
    )


def whole(content: bytes) -> tuple[Entries, dict[str, Any]] | None:
    """Tensors and header of a file whose digest is right; None for any other."""
    try:
        entries, header = parsed(content)
        return (entries, header) if header.pop("digest", None) == digest_of(entries, header) else None
    except (ValueError, LookupError, TypeError, AttributeError, struct.error):
        return None


def written(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
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
    return written(tensors, header)


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
