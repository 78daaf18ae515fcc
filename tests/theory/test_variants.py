"""Closed forms beyond the paper against simulations that do not use them: autograd, drawn masks, scipy, Monte Carlo."""

from dataclasses import replace
from itertools import product
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from unmask.theory.binding import binding_time, mask_range, smoothed
from unmask.theory.block_masks import block_force, block_loss, together
from unmask.theory.capture import captured
from unmask.theory.checks_exact import plain
from unmask.theory.checks_learners import LAB, first_leaders, partners
from unmask.theory.checks_objectives import objective_checks
from unmask.theory.contrastive import contrastive_force, contrastive_loss, rest
from unmask.theory.distribution import Distribution
from unmask.theory.ensembles import lottery
from unmask.theory.finite_steps import growth_exponent, largest_step
from unmask.theory.fusing import alike, fused_encoder, mixed
from unmask.theory.lagging_teacher import follow, paced_rate
from unmask.theory.laws import critical_mask_ratio, fixed_point, one_feature
from unmask.theory.network import activation
from unmask.theory.problem import world
from unmask.theory.sampling import features, generator, sample
from unmask.theory.teacher_student_loss import Objective, force, loss
from unmask.theory.unequal_strengths import leader_shares, rates, useful_coverage
from unmask.theory.verdict import failed

SHAPES = {"k": st.integers(1, 5), "n": st.integers(1, 5), "d": st.integers(1, 5), "seed": st.integers(0, 10**6)}


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.slow
def test_every_law_of_the_variants_holds() -> None:
    verdicts = objective_checks()
    assert len(verdicts) == 11
    assert failed(verdicts) == []


@settings(max_examples=30, deadline=None, derandomize=True)
@given(**SHAPES, blocks=st.integers(1, 3), block=st.integers(1, 3), q=st.integers(2, 5), x=st.floats(0.0, 3.0))
def test_block_masks(k, n, d, seed, blocks, block, q, x) -> None:
    """The force is the gradient; blocks of one patch are the plain loss."""
    obj = Objective(q, 0.5, 1.4, 2.0, x)
    w, data = randn(seed, k, d).requires_grad_(), randn(seed + 1, n, blocks * block, d)
    (gradient,) = torch.autograd.grad(block_loss(w, data, obj, block).sum(), w)
    pull = block_force(w.detach(), data, obj, block)
    assert torch.allclose(pull, -gradient, rtol=1e-9, atol=1e-12)
    assert torch.allclose(block_loss(w, data, obj, 1), loss(w, data, obj))
    assert torch.allclose(block_force(w.detach(), data, obj, 1), force(w.detach(), data, obj), rtol=1e-9, atol=1e-12)


def test_block_masks_average_over_drawn_masks() -> None:
    obj, gen = Objective(4, 0.5, 1.4, 2.0, 0.8), torch.Generator().manual_seed(0)
    x, w = randn(1, 1, 6, 3), randn(2, 4, 3)
    s = activation(x @ w.T, 4, 0.5)
    seen = (torch.rand(100_000, 2, generator=gen) < obj.keep).double().repeat_interleave(3, 1)
    student = obj.gain / obj.keep * torch.einsum("mp,pk->mk", seen, s[0])
    drawn = 0.5 * (activation(1.4 * (x @ w.T), 4, 0.5).sum(1) - student).square()
    off = (drawn.mean(0) - block_loss(w, x, obj, 3)) / (drawn.std(0) / len(drawn) ** 0.5)
    assert float(off.abs().max()) < 4


@settings(max_examples=25, deadline=None, derandomize=True)
@given(m=st.integers(1, 3), c=st.integers(1, 3), q=st.integers(3, 5), tau=st.floats(1.2, 1.6), whole=st.booleans())
def test_the_sign_of_growth_turns_at_the_critical_ratio_of_blocks(m, c, q, tau, whole) -> None:
    block, gain = c if whole else 1, 1.9
    edge = critical_mask_ratio(q, tau, gain, m * c / block)
    if edge == 0.0:
        return
    for ratio, grows in ((0.97 * edge, True), (1 - 0.97 * (1 - edge), False)):
        obj = Objective(q, 0.5, tau, gain, ratio / (1 - ratio))
        pull = block_force(torch.full((1, m), 1e-3, dtype=torch.float64), together(m, c), obj, block)
        assert bool((pull > 0).all()) == grows


def test_binding_follows_a_stiff_integrator() -> None:
    """Two coordinates, scipy's Radau on the full force, to the time at which the partner is captured."""
    s = plain(1, mask_ratio=0.15)
    w = world(s, 3, torch.float64)
    data, obj = w.unlabeled(), Objective.of(s)
    x, share = data.x @ w.basis.T, float((data.labels == 0).double().mean())
    start, level = 0.04, 0.5 / 2.8
    numbers = {"q": 4, "threshold": 0.5, "tau": 1.4, "gain": 2.0}
    predicted = binding_time(start, level, **numbers, excess=s.mask_excess, together=share)
    reach = fixed_point(4, 0.5, 1.4, s.effective_gain)

    def field(_: float, y: np.ndarray) -> np.ndarray:
        return force(torch.from_numpy(y)[None], x, obj)[0].numpy()

    def arrived(_: float, y: np.ndarray) -> float:
        return y[1] - level

    arrived.terminal = True  # type: ignore[attr-defined]
    first = np.array([reach, start, 0.0, 0.0])
    done = solve_ivp(field, (0, 3 * predicted), first, method="Radau", events=arrived, rtol=1e-7, atol=1e-9)
    assert done.t_events[0][0] == pytest.approx(predicted, rel=0.03)
    assert binding_time(start, level, **numbers, excess=0.0, together=share) == float("inf")


@settings(max_examples=25, deadline=None, derandomize=True)
@given(w0=st.floats(0.01, 0.08), longer=st.floats(1.5, 20.0), size=st.sampled_from([(1, 1), (2, 1), (2, 2)]))
def test_more_time_lowers_the_lower_end_of_the_mask_ratio(w0, longer, size) -> None:
    patches, block = size
    numbers = {"q": 4, "threshold": 0.5, "tau": 1.4, "gain": 2.0, "together": 0.5, "patches": patches, "block": block}
    when = binding_time(w0, 0.17, excess=0.2, **numbers)
    low, high = mask_range(when, w0, 0.17, **numbers)
    lower, same = mask_range(longer * when, w0, 0.17, **numbers)
    assert 0 < lower <= low <= high == same
    assert binding_time(w0, 0.17, excess=low / (1 - low), **numbers) <= when


def test_a_lagging_teacher_in_the_full_system() -> None:
    """Student and teacher weights on drawn samples, autograd's gradient and LSODA, against the scalar equations."""
    s = plain(1, mask_ratio=0.1)
    w = world(s, 0, torch.float64)
    data, obj, rate = w.unlabeled(), Objective.of(s), 0.03
    x, share = data.x @ w.basis.T, float((data.labels == 0).double().mean())

    def field(_: float, y: np.ndarray) -> np.ndarray:
        student, teacher = torch.from_numpy(y).view(2, 1, -1)
        student = student.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(student, x, obj, teacher).sum(), student)
        return torch.cat([-gradient, rate * (teacher * -1 + student.detach())]).flatten().numpy()

    start = np.zeros(8)
    start[[0, 4]] = 0.2
    numbers = {"q": 4, "threshold": 0.5, "tau": 1.4, "gain": s.effective_gain, "lag_rate": rate}
    path = list(follow(0.2, **numbers, end=600.0, kappa=share * s.gain))
    times = np.array([t for t, _, _ in path])
    middle = times[np.searchsorted([a for _, a, _ in path], 0.4)]
    truth = solve_ivp(field, (0, 600.0), start, method="LSODA", t_eval=[middle, 600.0], rtol=1e-8, atol=1e-10)
    for when, y in zip((middle, 600.0), truth.y.T, strict=True):
        _, a, teacher = path[int(np.searchsorted(times, when))]
        assert (y[0], y[4]) == pytest.approx((a, teacher), rel=1e-3)


def test_the_pace_of_a_teacher_is_below_its_rate_and_ends_at_the_window() -> None:
    assert 0 < paced_rate(4, 1.4, 2.0, 0.1) < 0.1
    assert paced_rate(4, 1.4, 1.4**4, 0.1) == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(h=st.floats(0.1, 5.0), share=st.floats(0.02, 1.0), batch=st.integers(1, 12))
def test_growth_exponent_is_the_mean_over_batches(h, share, batch) -> None:
    step = 0.3 / h
    expected = sum(
        comb(batch, j)
        * share**j
        * (1 - share) ** (batch - j)
        * np.log(abs(1 - step * h * j / (share * batch)) + 1e-300)
        for j in range(batch + 1)
    )
    assert growth_exponent(step, h, share, batch) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert largest_step(h, share, 1) == pytest.approx(2 * share / h, rel=2e-3)


def test_large_batches_are_whole_data() -> None:
    assert largest_step(0.7, 0.5, 60) == pytest.approx(2 / 0.7, rel=0.05)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(**SHAPES, p=st.integers(1, 4), q=st.integers(2, 5), x=st.floats(0.0, 3.0), apart=st.booleans())
def test_contrastive_force_is_the_gradient(k, n, d, seed, p, q, x, apart) -> None:
    w, data = randn(seed, k, d).requires_grad_(), randn(seed + 1, n, p, d)
    (gradient,) = torch.autograd.grad(contrastive_loss(w, data, q, 0.5, x, apart), w)
    pull = contrastive_force(w.detach(), data, q, 0.5, x, apart)
    assert float((pull + gradient).abs().max()) <= 1e-9 * (1e-6 + float(gradient.abs().max()))


def test_where_a_contrastive_kernel_rests_is_a_root_of_the_loss() -> None:
    """The derivative of the loss along the feature vanishes there, by finite differences."""
    for patches, apart, excess in product((2, 3), (False, True), (0.1, 1.0)):
        x = torch.zeros(4, patches, 1, dtype=torch.float64)
        x[0] = 1.0
        a = rest(patches, 0.25, excess, apart) + 0.375
        low, high = (
            float(contrastive_loss(torch.full((1, 1), a + e, dtype=torch.float64), x, 4, 0.5, excess, apart))
            for e in (-1e-4, 1e-4)
        )
        assert a > 0.5
        assert (high - low) / 2e-4 == pytest.approx(0.0, abs=1e-6)
    assert rest(1, 0.5, 0.3, True) == 0.0


@pytest.mark.slow
def test_contrastive_learning_fuses_views_where_reconstruction_need_not() -> None:
    """Complementary masks, each feature on one patch: what is learned are the views of a class together."""
    share, n = partners(1)
    assert n > 5
    assert share > 0.9


@settings(max_examples=20, deadline=None, derandomize=True)
@given(fade=st.floats(0.6, 1.0), background=st.sampled_from([0.0, 0.7, 1.1]), q=st.integers(3, 5), k=st.integers(2, 5))
def test_leader_shares_by_monte_carlo(fade, background, q, k) -> None:
    dist = Distribution(classes=k, dim=2 * k + 2, patches=12, others=1.0, fade=fade, background=background)
    rate = rates(dist, q)
    drawn = torch.randn(20_000, len(rate), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first = drawn * rate ** (1 / (2 * q - 2))
    lead = torch.bincount(first.argmax(1)[first.amax(1) > 0], minlength=len(rate)).double() / len(drawn)
    shares = leader_shares(rate, q)
    assert float((lead - shares).abs().max()) < 0.02
    assert float(shares.sum()) == pytest.approx(1 - 2.0 ** -len(rate), abs=1e-3)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(fade=st.floats(0.5, 1.0), mu=st.sampled_from([0.0, 0.3]), others=st.sampled_from([0.0, 2.0]))
def test_rates_are_moments_of_the_drawn_strengths(fade, mu, others) -> None:
    dist = Distribution(classes=4, dim=10, patches=8, fade=fade, single_share=mu, others=others, background=0.8)
    drawn = sample(dist, 8000, features(dist, generator(0, "v")), generator(1, "x"), torch.float64)
    moment = drawn.strength.squeeze(2).pow(8).mean(0)
    assert torch.allclose(rates(dist, 4)[:8], moment, rtol=0.2)
    assert drawn.x.shape == (8000, 9, 10)
    assert float(rates(dist, 4)[8]) == pytest.approx(0.8**8)


def test_a_strong_background_takes_the_kernels_and_the_coverage() -> None:
    shares = []
    for zeta in (0.3, 1.0, 2.0):
        data = replace(LAB.data, background=zeta)
        leaders = first_leaders(replace(LAB, data=data, samples=120, kernels_per_class=8), 0)
        shares.append(float((leaders == data.features).double().mean()))
        assert 0 <= useful_coverage(data, 4, 12) <= useful_coverage(LAB.data, 4, 12)
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert 0.2 < shares[-1] <= 0.5 + 0.1, "half of the kernels start with a negative correlation"


def test_faint_views_are_captured_at_their_own_level() -> None:
    """The same correlation holds a strong view and not a faint one; the law starts from there."""
    s = replace(LAB, data=replace(LAB.data, fade=0.5))
    held = captured(torch.full((1, 12), 0.2), s)
    assert held[0, ::2].all()
    assert not held[0, 1::2].any()
    w = world(s, 0)
    law = one_feature(w.unlabeled(), w.v, s)
    strong, faint = law.capture_times(torch.full((12,), 0.06)).view(-1, 2).mean(0)
    assert faint > 20 * strong


def test_fused_groups() -> None:
    w = world(LAB, 0)
    for groups, disjoint in ((alike(LAB, 2), True), (mixed(LAB, 2), False)):
        assert groups.shape == (LAB.kernels, 2)
        pairs = {tuple(sorted(row)) for row in groups.tolist()}
        assert all(a != b for a, b in pairs)
        assert (len(pairs) == 3) == disjoint
        held = captured(fused_encoder(w, groups)[0] @ w.v.T, LAB)
        assert (held.sum(1) == 4).all()
        assert held.any(0).all()


def test_lottery_and_smoothed_relu() -> None:
    assert [lottery(2, r) for r in (1, 2, 3)] == [0.5, 0.25, 0.125]
    for a in (-0.1, 0.2, 0.5, 0.9):
        assert smoothed(a, 4, 0.5) == pytest.approx(
            float(activation(torch.tensor(a, dtype=torch.float64), 4, 0.5)), rel=1e-12
        )
