"""Checkpoints: whole, plain, and the last good one loads."""

import os
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from unmask.config import to_json
from unmask.errors import UserError
from unmask.training.checkpoint import (
    CheckpointHeader,
    checkpoint_path,
    collect_state,
    load_tensors,
    newest,
    prune,
    restore_state,
    save_tensors,
)


def header(step: int) -> dict[str, Any]:
    """Of a run by one process in its only phase."""
    fields = {"step": step, "phase": "all", "phase_step": step, "ended": False, "batch_size": 4, "processes": 1}
    return to_json(CheckpointHeader(**fields, seconds=1.0))


def _trained(seed: int, steps: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(steps):
        model(torch.randn(5, 3, generator=generator)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def test_state_round_trip_is_bit_equal(tmp_path: Path) -> None:
    """Weights, buffers and moments; the next step is the same to the bit."""
    model, optimizer = _trained(0, 3)
    save_tensors(tmp_path / "a.safetensors", dict(collect_state({"network": model}, optimizer)), {"step": 3})
    other, its = _trained(1, 1)
    tensors, header = load_tensors(tmp_path / "a.safetensors")
    restore_state(tensors, {"network": other}, its)
    assert header == {"step": 3}
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(9))
    for one, moves in ((model, optimizer), (other, its)):
        one(x).square().sum().backward()
        moves.step()
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_restored_moments_lie_as_their_weights(tmp_path: Path) -> None:
    """Kernels in channels-last order too: torch's fused AdamW refuses moments in another."""

    def made() -> tuple[nn.Module, torch.optim.Optimizer]:
        model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model, torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)

    (model, optimizer), (other, its) = made(), made()
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(9))
    model(x).square().sum().backward()
    optimizer.step()
    save_tensors(tmp_path / "a.safetensors", dict(collect_state({"network": model}, optimizer)), {})
    restore_state(load_tensors(tmp_path / "a.safetensors")[0], {"network": other}, its)
    for one, moves in ((model, optimizer), (other, its)):
        moves.zero_grad()
        one(x).square().sum().backward()
        moves.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_tensors_that_changed_on_disk_do_not_load(tmp_path: Path) -> None:
    """A zeroed tail, as after a power cut, has the right length and names."""
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"x": torch.ones(100), "none": torch.ones(0), "flag": torch.tensor(True)}, {"step": 1})
    assert load_tensors(path)[1] == {"step": 1}
    content = path.read_bytes()
    path.write_bytes(content[:-40] + bytes(40))
    with pytest.raises(UserError, match=r"x.safetensors.*not those that were written"):
        load_tensors(path)


def test_weights_get_the_permissions_of_the_umask(tmp_path: Path) -> None:
    """safetensors writes files that only the owner can read."""
    before = os.umask(0o027)
    try:
        save_tensors(tmp_path / "x.safetensors", {"x": torch.ones(1)}, {})
    finally:
        os.umask(before)
    assert (tmp_path / "x.safetensors").stat().st_mode & 0o777 == 0o640


@pytest.mark.case("a kill while saving left half a file")
def test_a_cut_newest_checkpoint_falls_back_aloud(tmp_path: Path) -> None:
    """Half a file is passed over with a line that names it."""
    for step in (1, 2):
        save_tensors(checkpoint_path(tmp_path, step), {"x": torch.full((100,), float(step))}, header(step))
    path = checkpoint_path(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:150])
    known = newest(tmp_path)
    assert known.found is not None
    assert known.found.header.step == 1
    (line,) = known.broken
    assert "step_00000002" in line


@pytest.mark.parametrize("content", [b"", b"x" * 50, b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    """One line with the path."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        load_tensors(path)
    with pytest.raises(UserError, match="no such file"):
        load_tensors(tmp_path / "none.safetensors")


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """prune(keep=2) of five."""
    for step in range(5):
        save_tensors(checkpoint_path(tmp_path, step), {"x": torch.zeros(1)}, {"step": step})
    prune(tmp_path, 2)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "step_00000003.safetensors",
        "step_00000004.safetensors",
    ]


def test_a_cut_checkpoint_takes_no_place_of_a_whole_one(tmp_path: Path) -> None:
    """With keep=2 a second accident after the first still finds the checkpoint before it."""
    for step in (3, 6, 9, 11, 12):
        save_tensors(checkpoint_path(tmp_path, step), {"a": torch.zeros(100)}, header(step))
    for cut in (3, 11):
        whole = checkpoint_path(tmp_path, cut).read_bytes()
        checkpoint_path(tmp_path, cut).write_bytes(whole[:200])
    prune(tmp_path, 2)
    assert [int(path.stem[5:]) for path in sorted((tmp_path / "checkpoints").iterdir())] == [9, 11, 12]
    checkpoint_path(tmp_path, 12).write_bytes(b"")
    known = newest(tmp_path)
    assert known.found is not None
    assert known.found.header.step == 9
    assert [Path(line.split(": ")[0]).stem for line in known.broken] == ["step_00000012", "step_00000011"]


@pytest.mark.case("a kill while saving left half a file")
def test_a_full_disk_is_an_os_error_and_keeps_what_was_there(tmp_path: Path) -> None:
    """A limit of the file size stands in for it; no half file stays, and the earlier one still loads."""
    path = tmp_path / "state.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, {"step": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        with pytest.raises(OSError, match=r"state\.safetensors: cannot be written"):
            save_tensors(path, {"a": torch.ones(5000)}, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert load_tensors(path)[1]["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["state.safetensors"]
