"""The arithmetic of one step: micro-batches change nothing, every look and every second counts."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unmask.data.imageset import Batch
from unmask.errors import UserError
from unmask.training.engine import build_engine
from unmask.training.keeper import Keeper, due
from unmask.training.step import Terms, accumulate_gradients, clip_gradients, micro_batches, seeded


def batch(images: int) -> Batch:
    values = torch.randn(images, 1, 2, 2, generator=torch.Generator().manual_seed(images))
    return Batch(values, torch.zeros(images, dtype=torch.int64), torch.arange(images))


@given(st.lists(st.integers(1, 9), min_size=2, max_size=9), st.integers(1, 5))
def test_the_gradient_is_that_of_the_mean_over_all_terms(terms: list[int], accumulate: int) -> None:
    """Images count by their terms (hidden cells), not by their number, in however many pieces they come."""
    network = nn.Linear(4, 1, bias=False)
    weight = nn.Parameter(torch.ones(4))
    network.weight = weight
    engine = build_engine("no")
    counts = torch.tensor(terms, dtype=torch.float32)
    whole = batch(len(terms))

    def loss(piece: Batch) -> Terms:
        here = counts[piece.ids]
        return Terms((here * (piece.images.flatten(1) @ weight).square()).sum(), here.sum(), {})

    expected = loss(whole).total / counts.sum()
    wanted = torch.autograd.grad(expected, weight)[0]
    weight.grad = None
    logged = accumulate_gradients(engine, network, whole, accumulate, lambda piece: [partial(loss, piece)])
    torch.testing.assert_close(weight.grad, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logged["loss"], expected.detach(), rtol=1e-4, atol=1e-5)


@given(st.integers(2, 40), st.integers(1, 12))
def test_one_process_keeps_two_images_in_a_piece(images: int, accumulate: int) -> None:
    pieces = micro_batches(batch(images), accumulate, alone=True)
    assert torch.equal(torch.cat([piece.ids for piece in pieces]), torch.arange(images))
    assert min(len(piece.ids) for piece in pieces) >= 2
    assert len(pieces) == min(accumulate, images // 2)


@given(st.integers(1, 20_000), st.integers(1, 60))
def test_every_look_comes_and_the_last_one_at_the_end(total: int, looks: int) -> None:
    """n looks over T steps, at T n / n = T the last; with fewer steps than looks one a step."""
    steps = [step for step in range(1, total + 1) if due(step, total / looks)]
    assert len(steps) == min(looks, total)
    assert steps[-1] == total


def test_the_scale_of_fp16_is_kept(tmp_path: Any) -> None:
    """A resumed run goes on with the scale it had."""

    def keeper(scale: float) -> Keeper:
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        engine: Any = SimpleNamespace(num_processes=1, is_main_process=True, process_index=0, scaler=scaler)
        return Keeper(engine, tmp_path, keep=1, batch_size=4)

    (tmp_path / "checkpoints").mkdir()
    module = nn.Linear(2, 2)
    keeper(512.0).save(
        3,
        {"network": module},
        torch.optim.AdamW(module.parameters()),
        phase="all",
        phase_step=3,
        ended=False,
        seconds=1.0,
    )
    other = keeper(65536.0)
    found = other.newest()
    assert found is not None
    assert other.engine.scaler is not None
    assert other.engine.scaler.get_scale() == pytest.approx(512.0)


def test_gradients_of_fp16_are_unscaled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an earlier phase trained the same weights with an optimizer of its own."""
    engine = build_engine("no")
    engine.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    engine.native_amp = True
    monkeypatch.setattr(type(engine), "mixed_precision", "fp16")
    weight = nn.Parameter(torch.ones(2))
    earlier, later = (engine.prepare_optimizer(torch.optim.SGD([weight], lr=0.5)) for _ in range(2))
    for optimizer in (earlier, later):
        engine.backward((weight * torch.tensor([3.0, 4.0])).sum())
        assert float(clip_gradients(engine, optimizer, 0.0)) == pytest.approx(5.0)
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(weight.detach(), torch.tensor([-2.0, -3.0]))


def test_several_processes_of_an_old_torch_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process may have it."""
    monkeypatch.setattr(torch, "__version__", "2.7.1+cu126")
    build_engine("no", several=True)
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"several processes need torch 2\.9 or newer, this is 2\.7\.1"):
        build_engine("no", several=True)


@given(st.integers(0, 2**63 - 1))
def test_a_step_draws_what_torch_draws_with_its_seed_and_gives_the_state_back(seed: int) -> None:
    torch.manual_seed(1)
    with seeded(seed):
        drawn = torch.rand(3)
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3))
    torch.manual_seed(seed)
    assert torch.equal(drawn, torch.rand(3))
