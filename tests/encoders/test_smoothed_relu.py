"""The activation against its three branches, and its slope."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unmask.encoders.smoothed_relu import smoothed_relu


@given(st.floats(-3, 3), st.integers(2, 6), st.floats(0.1, 2))
def test_three_branches(z: float, power: int, threshold: float) -> None:
    """0, then z^q / (q ϱ^(q-1)), then z - (1 - 1/q) ϱ."""
    if z <= 0:
        expected = 0.0
    elif z <= threshold:
        expected = z**power / (power * threshold ** (power - 1))
    else:
        expected = z - (1 - 1 / power) * threshold
    value = smoothed_relu(torch.tensor([z], dtype=torch.float64), power, threshold)
    assert float(value) == pytest.approx(expected, abs=1e-12)


def test_slope_is_the_derivative() -> None:
    """Analytic against numeric gradients on all branches."""
    z = torch.linspace(-1, 2, 31, dtype=torch.float64).add(1e-3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: smoothed_relu(x, 4, 0.5), z)
