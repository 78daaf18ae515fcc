"""Exact time against independent integrators, and the symmetries of the flow."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from unmask.theory.distribution import Distribution
from unmask.theory.integrate import chebyshev, descend
from unmask.theory.laws import critical_mask_ratio, fixed_point, one_feature
from unmask.theory.problem import World, world
from unmask.theory.setting import Setting
from unmask.theory.supervision import block_head, supervised_force, train_from_scratch
from unmask.theory.teacher_student_flow import pretrain
from unmask.theory.teacher_student_loss import Objective, force

SMALL = Setting(
    data=Distribution(classes=3, dim=7, patches=6, others=1.0, noise=0.02), kernels_per_class=2, samples=40, labeled=30
)
TIMES = torch.tensor([30.0, 300.0, 1500.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def small() -> World:
    return world(SMALL, 1, torch.float64)


def ambient(w: World):
    x, obj = w.unlabeled().x, Objective.of(w.setting)
    return lambda weights: force(weights, x, obj)


@pytest.mark.slow
def test_exact_time_agrees_with_radau(small: World) -> None:
    small = replace(small, start=2 * small.start[:2])
    field, shape = ambient(small), small.start.shape
    times = torch.tensor([10.0, 100.0, 400.0], dtype=torch.float64)
    reference = solve_ivp(
        lambda _, y: field(torch.from_numpy(y).view(shape)).numpy().ravel(),
        (0, float(times[-1])),
        small.start.numpy().ravel(),
        method="Radau",
        t_eval=times.numpy(),
        rtol=1e-7,
        atol=1e-9,
    )
    mine = pretrain([small], times, rtol=1e-6, stiff_rtol=1e-3).weights[:, 0]
    truth = torch.from_numpy(reference.y.T.copy()).view(len(times), *shape)
    assert truth[-1].abs().max() > 0.3
    assert float((mine - truth).abs().max()) < 5e-3


def test_fixed_step_descent_converges_to_exact_time_with_order_one(small: World) -> None:
    w = replace(small, start=4 * small.start)
    end = torch.tensor([20.0], dtype=torch.float64)
    exact = pretrain([w], end, rtol=1e-9, stiff_rtol=1e-5).weights[0, 0]
    errors = [float((descend(ambient(w), w.start, 20 / n, n)[-1] - exact).norm()) for n in (20, 40, 80)]
    orders = [np.log2(a / b) for a, b in pairwise(errors)]
    assert min(orders) > 0.85
    assert max(orders) < 1.15


def test_tolerance_controls_the_capture_time(small: World) -> None:
    end = torch.tensor([1e7], dtype=torch.float64)
    fine = pretrain([small], end, through_capture=False, rtol=1e-10).capture_time
    off = [
        float((pretrain([small], end, through_capture=False, rtol=r).capture_time / fine - 1).abs().max())
        for r in (1e-3, 1e-5)
    ]
    assert fine.isfinite().all()
    assert off[0] < 0.02
    assert off[1] < 1e-3


def test_kernels_do_not_depend_on_each_other(small: World) -> None:
    together = pretrain([small], TIMES).weights[:, 0]
    for r in (0, 3):
        alone = pretrain([replace(small, start=small.start[r : r + 1])], TIMES).weights[:, 0, 0]
        assert torch.allclose(alone, together[:, r], rtol=1e-9, atol=1e-12)


def test_kernels_captured_at_the_start_need_no_growth(small: World) -> None:
    done = pretrain([replace(small, start=0.5 * small.v)], TIMES[:1], through_capture=False)
    assert (done.capture_time == 0).all()
    assert done.leader[0].tolist() == list(range(6))


def test_seeds_in_a_batch_equal_single_runs() -> None:
    worlds = [world(SMALL, seed, torch.float64) for seed in (0, 1)]
    batch = pretrain(worlds, TIMES).weights
    for i, w in enumerate(worlds):
        assert torch.allclose(batch[:, i], pretrain([w], TIMES).weights[:, 0], rtol=1e-9, atol=1e-12)


def test_the_same_seed_gives_the_same_bits() -> None:
    a = pretrain([world(SMALL, 4)], TIMES).weights
    assert torch.equal(a, pretrain([world(SMALL, 4)], TIMES).weights)


def test_float32_follows_float64() -> None:
    a, b = (pretrain([world(SMALL, 4, kind)], TIMES[:2]).weights.double() for kind in (torch.float32, torch.float64))
    assert float((a - b).abs().max()) < 1e-3


def test_rotation_of_the_patch_space(small: World) -> None:
    turn = torch.linalg.qr(torch.randn(7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    x, obj = small.unlabeled().x, Objective.of(SMALL)
    w = small.start * 8
    assert torch.allclose(force(w @ turn, x @ turn, obj), force(w, x, obj) @ turn, rtol=1e-9, atol=1e-14)


def test_relabeling_of_classes(small: World) -> None:
    data, m = small.labeled(), SMALL.kernels_per_class
    order = torch.tensor([2, 0, 1])
    kernels = (order[:, None] * m + torch.arange(m)).flatten()
    head, w = block_head(3, m, torch.float64), small.start * 8
    renamed = replace(data, labels=order.argsort()[data.labels])
    straight, _ = supervised_force(w, head, data, 4, 0.5)
    moved, _ = supervised_force(w[kernels], head, renamed, 4, 0.5)
    assert torch.allclose(moved, straight[kernels], rtol=1e-10, atol=1e-16)


def test_one_feature_law_predicts_the_full_flow() -> None:
    """One view per class, no noise, no other class: the law is the flow."""
    s = replace(SMALL, data=Distribution(classes=5, views=1, dim=6, patches=3, others=0.0, noise=0.0))
    w = world(s, 0, torch.float64)
    flow = pretrain([w], torch.tensor([1e9]), through_capture=False, rtol=1e-7)
    times = one_feature(w.unlabeled(), w.v, s).capture_times(flow.start[0])
    caught = flow.leader[0] >= 0
    assert caught.sum() >= 8
    assert torch.equal(times.argmin(-1)[caught], flow.leader[0][caught])
    assert torch.allclose(times.amin(-1)[caught], flow.capture_time[0][caught], rtol=1e-3)


@pytest.mark.parametrize(("gain", "branch"), [(2.22, "linear"), (3.2, "middle")])
def test_fixed_point_solves_its_equation(gain: float, branch: str) -> None:
    q, rho, tau = 4, 0.5, 1.4
    a = fixed_point(q, rho, tau, gain)

    def sigma(z: float) -> float:
        return z - (1 - 1 / q) * rho if z > rho else z**q / (q * rho ** (q - 1))

    assert (a >= rho) == (branch == "linear")
    assert sigma(tau * a) == pytest.approx(gain * sigma(a), rel=1e-9)


def test_transition_is_first_order() -> None:
    q, rho, tau = 4, 0.5, 1.4
    assert fixed_point(q, rho, tau, tau**q * (1 - 1e-9)) == pytest.approx(rho / tau, rel=1e-3)
    assert fixed_point(q, rho, tau, tau**q) == 0.0
    assert fixed_point(q, rho, tau, tau) == float("inf")


def test_critical_ratios_of_the_prototype() -> None:
    assert 1 - critical_mask_ratio(4, 1.4, 2.0, 1) == pytest.approx(0.521, abs=1e-3)
    assert 1 - critical_mask_ratio(4, 1.4, 2.0, 2) == pytest.approx(0.352, abs=1e-3)
    assert critical_mask_ratio(4, 1.1, 2.0, 1) == 0.0


def test_chebyshev_has_order_two_and_is_stable() -> None:
    rates = torch.tensor([[1e-1, 1.0, 300.0]], dtype=torch.float64)

    def run(rtol: float) -> tuple[float, int]:
        done = chebyshev(lambda w, _: -rates * w, torch.ones(1, 3).double(), 5.0, never, rtol=rtol, floor=1.0)
        return float((done.state - (-5 * rates).exp()).abs().max()), done.steps

    (rough, few), (fine, many) = run(1e-3), run(1e-5)
    assert fine < 1e-4
    assert np.log(rough / fine) / np.log(many / few) > 1.6


def test_chebyshev_rows_of_a_batch_go_as_they_go_alone() -> None:
    """A stiff row asks for more stages than a soft one: neither sees the other."""
    rates = torch.tensor([[0.1, 1.0, 300.0], [0.2, 0.5, 1.0]], dtype=torch.float64)

    def run(rows: list[int]) -> torch.Tensor:
        field = lambda w, index: -rates[rows][index] * w * (1 + w.square())  # noqa: E731
        return chebyshev(field, torch.ones(len(rows), 3).double(), 5.0, never).state

    assert torch.equal(run([0, 1]), torch.cat([run([0]), run([1])]))


def never(states: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(states), dtype=torch.bool)


def test_training_from_scratch_agrees_with_lsoda_and_stops_when_fitted(small: World) -> None:
    log: list[tuple[float, torch.Tensor]] = []
    done = train_from_scratch([small], rtol=1e-4, observe=lambda _, t, y: log.append((float(t), y[0].clone())))
    assert done.fitted.all()
    data, head, shape = small.labeled(), block_head(3, 2, torch.float64), small.start.shape
    when, state = log[len(log) // 2]

    def field(_: float, y: np.ndarray) -> np.ndarray:
        return supervised_force(torch.from_numpy(y).view(shape), head, data, 4, 0.5)[0].numpy().ravel()

    truth = solve_ivp(field, (0, when), small.scratch_start.numpy().ravel(), method="LSODA", rtol=1e-8, atol=1e-10)
    assert np.abs(truth.y[:, -1] - state[: shape.numel()].numpy()).max() < 0.02 * np.abs(truth.y[:, -1]).max()


def test_a_kernel_at_rest_reaches_every_time(small: World) -> None:
    """Without noise nothing drives a kernel whose correlations are all negative: it stays where it is, for ever."""
    s = replace(SMALL, data=replace(SMALL.data, noise=0.0))
    w = world(s, 0, torch.float64)
    w = replace(w, start=torch.stack([-0.1 * w.v.sum(0), 0.1 * w.v[0]]))
    weights = pretrain([w], torch.tensor([1.0, 1e3])).weights
    assert torch.allclose(weights[-1, 0, 0], weights[0, 0, 0], rtol=1e-12)
    assert torch.allclose(weights[-1, 0, 0], w.start[0])
    assert weights[-1, 0, 1].norm() > 0.1
