"""Checkpoints that were altered: the run goes on from the one before, says so, and ends with the same bits."""

import json
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from unmask.config import PretrainConfig
from unmask.data.load import Dataset, load_data
from unmask.errors import UserError
from unmask.stages.pretrain import pretrain
from unmask.training.checkpoint import CheckpointHeader, checkpoint_path, load_tensors, newest, save_tensors

CONFIG = PretrainConfig(
    data=tiny.DATA,
    encoder=tiny.PATCHNET,
    recipe=tiny.pretrain_recipe(steps=2, batch_size=30),
    save_every=0.5,
)
Alter = Callable[[Path], Any]


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Small images."""
    return load_data(tiny.DATA, labels=False, progress=False)


@pytest.fixture(scope="module")
def finished(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps with a checkpoint of each."""
    return pretrain(CONFIG, tmp_path_factory.mktemp("runs") / "run", progress=False, dataset=data)


@pytest.fixture
def cut(finished: Path, tmp_path: Path) -> Path:
    """The run, stopped before its weights were written."""
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    (folder / "encoder.safetensors").unlink()
    return folder


def rewritten(**changes: Any) -> Alter:
    """A header with other fields, written with the digest that then is right."""

    def write(path: Path) -> None:
        tensors, header = load_tensors(path)
        save_tensors(path, tensors, {k: v for k, v in (header | changes).items() if v is not ...})

    return write


def edited(path: Path) -> None:
    """Another step in the header, by hand: a digit of the same length."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    head = content[8 : 8 + length].replace(b'\\"step\\": 2', b'\\"step\\": 1', 1)
    path.write_bytes(content[:8] + head + content[8 + length :])


def without_digest(path: Path) -> None:
    """The entry that would tell is gone."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    head = json.loads(content[8 : 8 + length])
    header = json.loads(head["__metadata__"]["unmask"])
    header.pop("digest")
    head["__metadata__"]["unmask"] = json.dumps(header)
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


FALLS_BACK: dict[str, Alter] = {
    "edited": edited,
    "without digest": without_digest,
    "step is text": rewritten(step="2"),
    "step is negative": rewritten(step=-1),
    "no phase": rewritten(phase=...),
    "unknown field": rewritten(checkpoint_path="evil"),
    "history": rewritten(history=[{"step": 1}]),
    "not finite": rewritten(seconds=float("nan")),
}


@pytest.mark.parametrize("kind", FALLS_BACK)
def test_a_broken_checkpoint_falls_back_in_a_line(
    kind: str, cut: Path, finished: Path, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the step that the line names, and from there to the bits of the run that never stopped."""
    FALLS_BACK[kind](checkpoint_path(cut, 2))
    pretrain(CONFIG, cut, resume=True, progress=False, dataset=data)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"note: .*step_00000002.*; falling back to the checkpoint before it, of step 1$", line)
    one, two = (load_tensors(run / "encoder.safetensors")[0] for run in (cut, finished))
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_beginning_again_is_said(cut: Path, data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no checkpoint loads, and where there is none."""
    for step in (1, 2):
        checkpoint_path(cut, step).write_bytes(b"")
    pretrain(CONFIG, cut, resume=True, progress=False, dataset=data)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.endswith("starting again at step 0") for line in lines)
    shutil.rmtree(cut / "checkpoints")
    (cut / "encoder.safetensors").unlink()
    pretrain(CONFIG, cut, resume=True, progress=False, dataset=data)
    assert capsys.readouterr().err.strip().endswith("has no checkpoint yet; starting again at step 0")


def of_another_network(path: Path) -> None:
    """Tensors of other shapes, with the digest that is right."""
    tensors, header = load_tensors(path)
    save_tensors(path, {name: tensor.flatten()[:1] for name, tensor in tensors.items()}, header)


@pytest.mark.parametrize(
    ("alter", "line"),
    [
        (rewritten(phase="head"), "phase = 'head' is not a phase of this run"),
        (rewritten(phase_step=99), "phase_step = 99 of 2 steps"),
        (of_another_network, "is not of this network"),
    ],
)
def test_what_is_whole_but_not_of_the_run_is_one_line(alter: Alter, line: str, cut: Path, data: Dataset) -> None:
    """It names the file."""
    alter(checkpoint_path(cut, 2))
    with pytest.raises(UserError, match=rf"step_00000002\.safetensors: {line}") as error:
        pretrain(CONFIG, cut, resume=True, progress=False, dataset=data)
    assert len(str(error.value).splitlines()) == 1


def test_a_finished_run_with_cut_weights_is_not_finished(finished: Path, data: Dataset, tmp_path: Path) -> None:
    """Resumed, it writes the same weights again."""
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    weights = folder / "encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    pretrain(CONFIG, folder, resume=True, progress=False, dataset=data)
    assert weights.read_bytes() == (finished / "encoder.safetensors").read_bytes()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(CheckpointHeader.__dataclass_fields__)) | st.text(max_size=5), PLAIN))
def test_any_header_is_a_record_or_a_line(tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]) -> None:
    """No other error, whatever stands in it."""
    folder = tmp_path_factory.mktemp("checkpoints")
    good = {"step": 1, "phase": "all", "phase_step": 1, "ended": False, "batch_size": 4, "processes": 1, "seconds": 1.0}
    whole = {"scaler": None, "history": [], "best": [-1.0, 0]}
    save_tensors(checkpoint_path(folder, 1), {"x": torch.zeros(1)}, good | whole | changes)
    known = newest(folder)
    assert (known.found is None) == (len(known.broken) == 1)
    assert all(len(line.splitlines()) == 1 and "step_00000001" in line for line in known.broken)
