"""Averages of the weights: how they follow them, and that short trainings are not ruined by them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unmask.training.placement import average_of, long_average, warmed_up


def test_averages_follow_weights_and_statistics() -> None:
    """The first update copies; then a ← m_n a + (1 - m_n) w, m_n = min(m, (1 + n) / (10 + n)), BatchNorm included."""
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = average_of(model, 0.2)
    assert average is not None
    assert average_of(model, 0.0) is None
    for value in (1.0, 3.0, 5.0):
        with torch.no_grad():
            for tensor in (model[0].weight, model[1].running_mean):
                tensor.fill_(value)
        average.update_parameters(model)
    first = 2 / 11 * 1 + 9 / 11 * 3
    for tensor in (average.module[0].weight, average.module[1].running_mean):
        torch.testing.assert_close(tensor, torch.full_like(tensor, 0.2 * first + 0.8 * 5))


@pytest.mark.parametrize(("steps", "momentum"), [(10, 0.99), (50, 0.999), (200, 0.9999), (200, 0.5)])
def test_a_short_training_is_not_averaged_with_its_start(steps: int, momentum: float) -> None:
    """Weights that rise from 0 to 1: without a warm-up the average of 200 steps with 0.9999 would stay at 0.01."""
    model = nn.Linear(1, 1, bias=False)
    average = average_of(model, momentum)
    assert average is not None
    for step in range(steps):
        nn.init.constant_(model.weight, step / (steps - 1))
        average.update_parameters(model)
    assert 0.75 < average.module.weight.item() <= 1


def test_an_average_that_is_resumed_counts_on() -> None:
    """Its number of updates is saved with it."""
    model = nn.Linear(1, 1, bias=False)
    whole, half, rest = (average_of(model, 0.9) for _ in range(3))
    assert whole is not None
    assert half is not None
    assert rest is not None
    for step in range(20):
        nn.init.constant_(model.weight, float(step))
        whole.update_parameters(model)
        if step == 9:
            rest.load_state_dict(half.state_dict())
        (half if step < 9 else rest).update_parameters(model)
    assert torch.equal(whole.module.weight, rest.module.weight)


@given(momentum=st.floats(0.01, 0.9999), updates=st.integers(1, 10**6))
def test_the_momentum_rises_to_its_value(momentum: float, updates: int) -> None:
    """Never above what was asked for, never falling, and in the end equal to it."""
    assert warmed_up(momentum, updates) <= warmed_up(momentum, updates + 1) <= momentum
    assert warmed_up(momentum, 10**9) == momentum


def test_an_average_over_more_than_the_run_is_said() -> None:
    """1 / (1 - 0.999) is 1,000 steps."""
    assert long_average(0.999, 1000) == long_average(0.0, 1) == []
    assert "spans 1,000 steps, the training has 999" in long_average(0.999, 999)[0]
