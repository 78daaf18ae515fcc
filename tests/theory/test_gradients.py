"""Closed forms against automatic differentiation and Monte Carlo."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.theory.jacobian import mrp_jacobian
from unmask.theory.network import activation, responses, slope
from unmask.theory.pixel_form import pixel_force, pixel_loss
from unmask.theory.sampling import Samples
from unmask.theory.supervision import block_head, supervised_force
from unmask.theory.teacher_student_loss import Objective, force, loss, sampled_force

SHAPES = {
    "k": st.integers(1, 7),
    "n": st.integers(1, 9),
    "p": st.integers(2, 5),
    "d": st.integers(1, 6),
    "q": st.integers(2, 5),
    "size": st.sampled_from([0.05, 0.5, 3.0]),
    "seed": st.integers(0, 10**6),
}


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    assert float((a - b).abs().max()) <= 1e-10 * (1e-6 + float(b.abs().max()))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(**SHAPES, tau=st.floats(0.5, 2.5), b=st.floats(0.5, 4.0), x=st.floats(0.0, 3.0))
def test_mrp_force(k, n, p, d, q, size, seed, tau, b, x) -> None:
    obj = Objective(q, 0.5, tau, b, x)
    w, data = size * randn(seed, k, d), randn(seed + 1, n, p, d)
    w.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(w, data, obj).sum(), w)
    close(force(w.detach(), data, obj), -gradient)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(**SHAPES)
def test_supervised_force(k, n, p, d, q, size, seed) -> None:
    data = samples(randn(seed + 1, n, p, d), torch.arange(n) % 3)
    w, u = (size * randn(seed, k, d)).requires_grad_(), randn(seed + 2, 3, k).requires_grad_()
    f = activation(data.x @ w.T, q, 0.5).sum(1) @ u.T
    gradients = torch.autograd.grad(torch.nn.functional.cross_entropy(f, data.labels), (w, u))
    for mine, other in zip(supervised_force(w.detach(), u.detach(), data, q, 0.5), gradients, strict=True):
        close(mine, -other)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(**SHAPES, keep=st.floats(0.1, 1.0))
def test_pixel_force(k, n, p, d, q, size, seed, keep) -> None:
    x = randn(seed + 1, n, p, d)
    w, decoder = (size * randn(seed, k, d)).requires_grad_(), randn(seed + 2, d, k).requires_grad_()
    gradients = torch.autograd.grad(pixel_loss(w, decoder, x, q, 0.5, keep), (w, decoder))
    for mine, other in zip(pixel_force(w.detach(), decoder.detach(), x, q, 0.5, keep), gradients, strict=True):
        assert float((mine + other).abs().max()) <= 1e-9 * (1e-6 + float(other.abs().max()))


def test_pixel_loss_is_the_mean_over_masks() -> None:
    """All 2^P masks, each with its probability."""
    x, w, decoder, keep = randn(0, 3, 5, 4), randn(1, 6, 4), randn(2, 4, 6), 0.3
    s = activation(x @ w.T, 3, 0.5)
    total = torch.zeros((), dtype=torch.float64)
    for code in range(2**5):
        visible = torch.tensor([code >> i & 1 for i in range(5)], dtype=torch.float64)
        chance = (keep**visible * (1 - keep) ** (1 - visible)).prod()
        guess = (visible[:, None] * s).sum(1, keepdim=True) @ decoder.T
        total += chance * 0.5 * ((1 - visible)[:, None] * (x - guess).square()).sum((1, 2)).mean()
    assert torch.allclose(pixel_loss(w, decoder, x, 3, 0.5, keep), total, rtol=1e-12)


def test_mrp_loss_is_the_mean_over_masks() -> None:
    """All 2^P masks, each with its probability."""
    x, w, obj = randn(0, 3, 5, 4), randn(1, 6, 4), Objective(3, 0.5, 1.4, 2.0, 0.7)
    s, keep = activation(x @ w.T, 3, 0.5), obj.keep
    teacher = activation(1.4 * (x @ w.T), 3, 0.5).sum(1)
    total = torch.zeros(6, dtype=torch.float64)
    for code in range(2**5):
        visible = torch.tensor([code >> i & 1 for i in range(5)], dtype=torch.float64)
        chance = (keep**visible * (1 - keep) ** (1 - visible)).prod()
        student = 2.0 / keep * (visible[:, None] * s).sum(1)
        total += chance * 0.5 * (teacher - student).square().mean(0)
    assert torch.allclose(loss(w, x, obj), total, rtol=1e-12)


def test_sampled_masks_average_to_the_integral() -> None:
    x, w, obj = randn(0, 20, 4, 5), randn(1, 6, 5), Objective(3, 0.5, 1.4, 2.0, 0.7)
    gen = torch.Generator().manual_seed(3)
    drawn = torch.stack([sampled_force(w, x, obj, gen) for _ in range(3000)])
    z = (drawn.mean(0) - force(w, x, obj)) / (drawn.std(0) / 3000**0.5)
    assert float(z.abs().max()) < 4.5
    assert 0.5 < float(z.square().mean()) < 1.8


def test_blocks_do_not_change_the_force(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w, obj = randn(0, 37, 4, 5), randn(1, 6, 5), Objective(4, 0.5, 1.4, 2.0, 0.2)
    whole = force(w, x, obj)
    monkeypatch.setattr("unmask.theory.teacher_student_loss.BLOCK", 1)
    assert torch.allclose(force(w, x, obj), whole, rtol=1e-12)


def test_jacobian_is_exact_with_all_rows() -> None:
    x, w, obj = randn(0, 12, 3, 4), 0.3 * randn(1, 5, 4), Objective(4, 0.5, 1.4, 2.0, 0.2)
    numeric = torch.stack(
        [(force(w + 1e-6 * e, x, obj) - force(w - 1e-6 * e, x, obj)) / 2e-6 for e in torch.eye(4).double()], -1
    )
    assert torch.allclose(mrp_jacobian(w, x, obj, rows=36), numeric, atol=1e-6)


@pytest.mark.parametrize("q", [2, 3, 4, 6])
def test_activation_is_smooth_and_linear_above_the_threshold(q: int) -> None:
    z = torch.linspace(-1, 2, 3001, dtype=torch.float64)
    value = activation(z, q, 0.5)
    assert torch.allclose(value.diff() / z.diff(), slope((z[1:] + z[:-1]) / 2, q, 0.5), atol=2e-3)
    assert torch.allclose(value[z >= 0.5], z[z >= 0.5] - (1 - 1 / q) * 0.5, atol=1e-12)
    assert (value[z <= 0] == 0).all()
    middle = (z > 0) & (z < 0.5)
    assert torch.allclose(value[middle], z[middle] ** q / (q * 0.5 ** (q - 1)), atol=1e-12)


def test_scratch_head_sums_the_kernels_of_a_class() -> None:
    x, w = randn(0, 6, 3, 4), randn(1, 6, 4)
    h = responses(w, x, 4, 0.5)
    assert torch.allclose(h @ block_head(3, 2, torch.float64).T, h.view(6, 3, 2).sum(-1))


def samples(x: torch.Tensor, labels: torch.Tensor) -> Samples:
    empty = torch.zeros(len(x), 1, 1)
    return Samples(x, labels, torch.zeros(len(x), dtype=torch.bool), torch.full((len(x),), -1), empty.long(), empty)
