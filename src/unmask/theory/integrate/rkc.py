"""Coupled gradient flows: the stabilized Runge-Kutta-Chebyshev method of second order.

An s-stage step is stable for real spectra up to β(s) = ⅔ (s² - 1)(1 - 2ε/15), ε = 2/13: quadratic in its cost,
explicit, no matrix. Gradient flows have real spectra. Every row (seed) has its own step and its own number of stages,
so a batch gives the same results as its rows alone.

Source: Sommeijer, Shampine and Verwer, RKC, J. Comput. Appl. Math. 88 (1998), eqs. 2.1-2.7.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from unmask.errors import UserError
from unmask.theory.integrate.dormand_prince import LOST, Field

_EPSILON = 2.0 / 13.0


@dataclass(frozen=True)
class ChebyshevResult:
    """The end of an integration, one row per system."""

    state: Tensor
    """(B, D)."""
    time: Tensor
    """(B,) float64."""
    stopped: Tensor
    """(B,) bool: the stopping rule was met (otherwise the end time was reached)."""
    steps: int
    """Steps of the batch."""
    evaluations: int
    """Evaluations of one system's force, summed over systems."""


def chebyshev(
    field: Field,
    start: Tensor,
    end: float,
    stop: Callable[[Tensor, Tensor], Tensor],
    observe: Callable[[Tensor, Tensor, Tensor], None] | None = None,
    rtol: float = 5e-3,
    floor: float = 1e-3,
    max_stages: int = 60,
    max_steps: int = 20000,
) -> ChebyshevResult:
    """Integrate each row until its stopping rule or `end`.

    Args:
        field: time derivative, (states (B, D), rows (B,)) → (B, D).
        start: (B, D) at t = 0.
        end: last time.
        stop: (states, rows) → (B,) bool, called after every accepted step, right after the field at these states.
        observe: called after every accepted step with (rows, times, states) of the accepted rows.
        rtol: error of a step (rms over coordinates) relative to |w_j| + floor.
        floor: absolute scale.
        max_stages: caps the stage number; steps are cut to the stable length then.
        max_steps: guard.
    """
    w, t = start.clone(), torch.zeros(len(start), dtype=torch.float64)
    stopped = torch.zeros(len(start), dtype=torch.bool)
    active = torch.arange(len(start))
    force = field(w, active)
    h = 0.01 * (_norm(w) + floor) / _norm(force).clamp_min(1e-30)
    probe = force.clone()
    radius = torch.zeros_like(h)
    evaluations = len(active)
    for step in range(max_steps):
        if not active.numel():
            return ChebyshevResult(w, t, stopped, step, evaluations)
        if step % 10 == 0:
            radius, probe = _spectral_radius(field, w[active], force, probe, active, 20 if step == 0 else 2)
            evaluations += len(active) * (20 if step == 0 else 2)
        h = torch.minimum(torch.minimum(h, end - t[active]), _stable(max_stages) / radius.clamp_min(1e-30))
        stages = _stages(h * radius, max_stages)
        new = _steps(field, w[active], force, h, stages, active)
        last = field(new, active)
        evaluations += int(stages.sum())
        error = 0.8 * (w[active] - new) + 0.4 * h.to(w.dtype)[:, None] * (force + last)
        scale = rtol * (torch.maximum(new.abs(), w[active].abs()) + floor)
        ratio = (error / scale).double().square().mean(1).sqrt().nan_to_num(nan=1e9, posinf=1e9)
        good = ratio <= 1
        rows = active[good]
        w[rows], t[rows] = new[good], t[rows] + h[good]
        force = torch.where(good[:, None], last, force)
        if rows.numel():
            stopped[rows] = stop(w[rows], rows)
            if observe:
                observe(rows, t[rows], w[rows])
        h = h * (0.8 * ratio.clamp_min(1e-10) ** (-1 / 3)).clamp(0.1, 4.0)
        keep = ~stopped[active] & (t[active] < end * (1 - 1e-12))
        active, force, h, radius, probe = active[keep], force[keep], h[keep], radius[keep], probe[keep]
    raise UserError(f"{active.numel()} systems reached neither stop nor end in {max_steps} steps{LOST}")


def _norm(w: Tensor) -> Tensor:
    return w.double().square().mean(1).sqrt()


def _stable(stages: int) -> float:
    return 2 / 3 * (stages**2 - 1) * (1 - 2 / 15 * _EPSILON)


def _stages(stiffness: Tensor, most: int) -> Tensor:
    """Fewest stages that are stable for each h · radius, 2 to `most`, (B,) int64."""
    least = (1.0 + stiffness / (2 / 3 * (1 - 2 / 15 * _EPSILON))).sqrt().ceil()
    return least.nan_to_num(nan=most, posinf=most).clamp(2, most).long()


def _spectral_radius(
    field: Field, w: Tensor, force: Tensor, probe: Tensor, index: Tensor, rounds: int
) -> tuple[Tensor, Tensor]:
    """Power iteration on finite differences of the force; 1.2 times the estimate, and the vector to start from next
    time.
    """
    size = 1e-2 * (_norm(w) + 1e-3)
    radius = torch.zeros(len(w), dtype=torch.float64)
    for _ in range(rounds):
        unit = probe / _norm(probe).clamp_min(1e-30).to(w.dtype)[:, None]
        probe = (field(w + size.to(w.dtype)[:, None] * unit, index) - force) / size.to(w.dtype)[:, None]
        radius = torch.maximum(0.5 * radius, _norm(probe))
    return 1.2 * radius, probe


@lru_cache(maxsize=256)
def _coefficients(s: int) -> tuple[float, tuple[tuple[float, float, float, float], ...]]:
    """μ̃_1 and (μ_j, ν_j, μ̃_j, γ̃_j) for j = 2..s."""
    w0 = 1.0 + _EPSILON / s**2
    cheb = [np.polynomial.Chebyshev.basis(j) for j in range(s + 1)]
    value = [float(c(w0)) for c in cheb]
    first = [float(c.deriv(1)(w0)) for c in cheb]
    second = [float(c.deriv(2)(w0)) if c.degree() > 1 else 0.0 for c in cheb]
    w1 = first[s] / second[s]
    b = [0.0, 0.0] + [second[j] / first[j] ** 2 for j in range(2, s + 1)]
    b[0] = b[1] = b[2]
    rows = []
    for j in range(2, s + 1):
        mu_tilde = 2 * b[j] * w1 / b[j - 1]
        gamma = -(1 - b[j - 1] * value[j - 1]) * mu_tilde
        rows.append((2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], mu_tilde, gamma))
    return b[1] * w1, tuple(rows)


def _steps(field: Field, w: Tensor, force: Tensor, h: Tensor, stages: Tensor, index: Tensor) -> Tensor:
    """One step of every row; rows with the same number of stages take it together."""
    new = torch.empty_like(w)
    for number in stages.unique().tolist():
        rows = stages == number
        new[rows] = _step(field, w[rows], force[rows], h[rows], number, index[rows])
    return new


def _step(field: Field, w: Tensor, force: Tensor, h: Tensor, stages: int, index: Tensor) -> Tensor:
    hw = h.to(w.dtype)[:, None]
    first, rows = _coefficients(stages)
    before, now = w, w + first * hw * force
    for mu, nu, mu_tilde, gamma in rows:
        following = (1 - mu - nu) * w + mu * now + nu * before
        following += hw * (mu_tilde * field(now, index) + gamma * force)
        before, now = now, following
    return now
