"""Stiff time after capture: the two-stage Rosenbrock-W method ROS2, every system with its own step.

    (I - γ h A) k1 = f(w),   (I - γ h A) k2 = f(w + h k1) - 2 k1,   w⁺ = w + h (3 k1 + k2)/2,   γ = 1 - 1/√2.

Second order for any matrix A, L-stable when A is the Jacobian (Verwer, Spee, Blom and Hundsdorfer, SIAM J. Sci.
Comput. 20, 1999). The embedded first-order result w + h k1 gives the error h (k1 + k2)/2. A captured feature relaxes
10^6 times faster than the next one grows: an explicit step would be limited by the former, this one only by accuracy.
With A = 0 it is Heun's method.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from unmask.errors import UserError
from unmask.theory.integrate.dormand_prince import LOST, Field

GAMMA = 1.0 - 0.5**0.5


def rosenbrock(
    field: Field,
    jacobian: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    start_time: Tensor,
    times: Tensor,
    saved: Tensor,
    index: Tensor,
    rtol: float = 3e-3,
    floor: float = 1e-3,
    refresh: int = 3,
    max_steps: int = 5000,
) -> int:
    """Integrate each system from its own time to times[-1]; every save time is met exactly, never interpolated.

    Args:
        field: time derivative, called with (states, rows of `saved`).
        jacobian: approximation of ∂f/∂w, (B, d, d), called like field.
        start: (B, d).
        start_time: (B,) float64.
        times: (M,) increasing float64.
        saved: (M, all systems, d); saved[m, index[i]] is written for every save time after start_time[i].
        index: (B,) rows of the systems in `saved`.
        rtol: error of a step relative to max(|w_j|, floor).
        floor: absolute scale of weights below which relative accuracy is not required.
        refresh: the Jacobian is renewed every so many steps (the method keeps its order with any matrix).
        max_steps: guard.

    Returns:
        Number of steps of the batch. On return each system has really reached times[-1].
    """
    w, t = start.clone(), start_time.clone()
    target = torch.searchsorted(times, t, right=True)
    active = torch.nonzero(target < len(times))[:, 0]
    h = torch.zeros_like(t)
    h[active] = _first_step(field(w[active], index[active]), w[active], rtol)
    for step in range(max_steps):
        if not active.numel():
            return step
        goal = times[target[active]]
        remaining = goal - t[active]
        used = _fitted(h[active], remaining)
        if step % refresh == 0:
            matrix = jacobian(w[active], index[active])
        new, error = _step(field, matrix, w[active], used, index[active])
        ratio = _ratio(error, torch.maximum(new.abs(), w[active].abs()).clamp_min(floor), rtol)
        good = ratio <= 1
        rows = active[good]
        w[rows] = new[good]
        arrived = good & (used >= remaining)
        t[rows] = t[rows] + used[good]
        landed = active[arrived]
        t[landed] = goal[arrived]
        saved[target[landed], index[landed]] = w[landed]
        target[landed] += 1
        proposal = used * (0.85 * ratio.clamp_min(1e-10) ** -0.5).clamp(0.2, 5.0)
        h[active] = torch.where(arrived, torch.maximum(proposal, h[active]), proposal)
        running = target[active] < len(times)
        active, matrix = active[running], matrix[running]
    raise UserError(f"{active.numel()} systems have not reached the last time in {max_steps} steps{LOST}")


def _fitted(h: Tensor, remaining: Tensor) -> Tensor:
    """Steps that end at the save time, the last two of equal length."""
    used = torch.minimum(h, remaining)
    return torch.where((used < remaining) & (used > 0.5 * remaining), 0.5 * remaining, used)


def _ratio(error: Tensor, size: Tensor, rtol: float) -> Tensor:
    """Largest error of a system over the allowed one; huge if it is not a number."""
    return (error / (rtol * size)).double().abs().nan_to_num(nan=1e9, posinf=1e9).amax(1)


def _first_step(force: Tensor, w: Tensor, rtol: float) -> Tensor:
    return (rtol**0.5 * 0.3 * w.abs().amax(1) / force.abs().amax(1).clamp_min(1e-30)).double()


def _step(field: Field, jacobian: Tensor, w: Tensor, h: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """New states and error estimates. Solves for h·k, so that huge steps are not combined with tiny numbers."""
    hw = h.to(w.dtype)[:, None]
    matrix = -GAMMA * hw[:, :, None] * jacobian
    matrix.diagonal(dim1=1, dim2=2).add_(1.0)
    lu, pivots = torch.linalg.lu_factor(matrix)
    k1 = torch.linalg.lu_solve(lu, pivots, (hw * field(w, index))[:, :, None])[:, :, 0]
    right = hw * field(w + k1, index) - 2 * k1
    k2 = torch.linalg.lu_solve(lu, pivots, right[:, :, None])[:, :, 0]
    return w + 1.5 * k1 + 0.5 * k2, 0.5 * (k1 + k2)
