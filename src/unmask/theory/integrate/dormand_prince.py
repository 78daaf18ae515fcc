"""Growth from small weights: an embedded Runge-Kutta pair in which every system runs on its own clock.

Growth is a power law, dw/dt ~ w^(2q-1): in t the solution blows up and no polynomial step is long. A system's own
clock s with dt = κ(w) ds, κ = g(w)^-(2q-2) for a homogeneous size g, turns it into dw/ds ~ w: exponential growth,
which a fifth-order step follows over more than one doubling (Sundman's transformation). t is integrated beside w
with the same error control, so the clock is exact.

Pair: Dormand and Prince 5(4), J. Comput. Appl. Math. 6 (1980), first-same-as-last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unmask.errors import UserError

Field = Callable[[Tensor, Tensor], Tensor]
"""(states (B, d), index of the systems (B,)) → time derivative (B, d)."""

_A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


LOST = ": this setting cannot be followed (does it grow without bound?); stay nearer to a preset"
"""End of the error about systems that were not followed to their end."""


@dataclass(frozen=True)
class Growth:
    """The end of a growth phase, one row per system (B rows)."""

    state: Tensor
    """(B, d): at the event, or at the last accepted step if there was none."""
    time: Tensor
    """(B,) float64: time of `state`."""
    event: Tensor
    """(B,) bool: the event function crossed zero before the last save time."""
    mark_time: Tensor
    """(B,) float64: first time at which the mark function crossed zero, inf if it did not."""
    mark_state: Tensor
    """(B, d): the state then, NaN if it did not."""
    steps: int
    """Steps taken by the batch, rejected ones included."""
    evaluations: int
    """Evaluations of one system's force, summed over systems."""


def grow(
    field: Field,
    clock: Callable[[Tensor], Tensor],
    event: Callable[[Tensor], Tensor],
    mark: Callable[[Tensor], Tensor],
    start: Tensor,
    times: Tensor,
    saved: Tensor,
    rtol: float = 1e-4,
    max_steps: int = 2000,
) -> Growth:
    """Integrate each system until its event (event(w) >= 0) or past the last save time.

    Args:
        field: the time derivative.
        clock: κ(w) > 0, (B,): dt/ds.
        event: scalar function of the state, (B,).
        mark: scalar function that crosses zero no later than `event`; its first crossing is recorded in passing.
        start: (B, d) at t = 0.
        times: (M,) increasing float64 save times.
        saved: (M, B, d), filled in place for save times reached before the event (the others stay unchanged).
        rtol: error of a step, relative to |w_j| + rms(w).
        max_steps: guard against a system that cannot be followed.

    Raises:
        UserError: a system has reached neither event nor end within max_steps.
    """
    w, t = start.clone(), torch.zeros(len(start), dtype=torch.float64)
    occurred, mark_time, mark_state = event(w) >= 0, torch.full_like(t, torch.inf), torch.full_like(w, torch.nan)
    at_start = mark(w) >= 0
    mark_time[at_start], mark_state[at_start] = 0.0, w[at_start]
    active = torch.nonzero(~occurred)[:, 0]
    if not active.numel():
        return Growth(w, t, occurred, mark_time, mark_state, 0, 0)
    slope = _both(field, clock, w[active], active)
    ds = torch.zeros(len(start), dtype=torch.float64)
    ds[active] = _first_step(w[active], slope, float(times[-1]))
    steps = evaluations = 0
    while active.numel():
        if steps >= max_steps:
            raise UserError(f"{active.numel()} systems reached neither event nor end in {max_steps} steps{LOST}")
        new, new_t, error, last = _step(field, clock, w[active], t[active], ds[active], slope, active)
        steps, evaluations = steps + 1, evaluations + 6 * len(active)
        scale = rtol * (new.abs() + _size(w[active])[:, None])
        ratio = _worst(error[:, :-1] / scale, error[:, -1] / (rtol * new_t.clamp_min(1e-300)))
        good = ratio <= 1
        rows = active[good]
        segment = _Segment(w[rows], t[rows], slope[good], new[good], new_t[good], last[good], ds[rows])
        w[rows], t[rows], occurred[rows] = _accepted(segment, event, times, saved, rows)
        first = (mark(segment.new) >= 0) & mark_time[rows].isinf()
        if first.any():
            _, (mark_state[rows[first]], mark_time[rows[first]]) = _crossing(segment.at(first), mark)
        slope = torch.where(good[:, None], last, slope)
        ds[active] *= (0.9 * ratio.clamp_min(1e-10) ** -0.2).clamp(0.2, 4.0)
        running = ~occurred[active] & (t[active] < times[-1])
        active, slope = active[running], slope[running]
    occurred &= t <= times[-1]  # the last step reaches beyond it
    late = mark_time > times[-1]
    mark_time[late], mark_state[late] = torch.inf, torch.nan
    return Growth(w, t, occurred, mark_time, mark_state, steps, evaluations)


def _first_step(w: Tensor, slope: Tensor, last: float) -> Tensor:
    """2 % of a system's size; a system at rest would take an infinite step, so no step exceeds the last time."""
    return torch.minimum(0.02 * _size(w).double() / _size(slope[:, :-1]).clamp_min(1e-300), last / slope[:, -1])


@dataclass(frozen=True)
class _Segment:
    """One accepted step of some systems, cubic Hermite in s."""

    w: Tensor
    t: Tensor
    slope: Tensor
    new: Tensor
    new_t: Tensor
    last: Tensor
    ds: Tensor

    def at(self, rows: Tensor) -> "_Segment":
        return _Segment(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def state(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """(w, t) at the fraction u ∈ [0, 1] of the step."""
        a = (1 + 2 * u) * (1 - u) ** 2
        b, c, d = u * (1 - u) ** 2 * self.ds, u * u * (3 - 2 * u), u * u * (u - 1) * self.ds
        t = a * self.t + b * self.slope[:, -1] + c * self.new_t + d * self.last[:, -1]
        kind = self.w.dtype
        a, b, c, d = (v.to(kind)[:, None] for v in (a, b, c, d))
        w = a * self.w + c * self.new + b * self.slope[:, :-1].to(kind) + d * self.last[:, :-1].to(kind)
        return w, t


def _both(field: Field, clock: Callable[[Tensor], Tensor], w: Tensor, index: Tensor) -> Tensor:
    """(dw/ds, dt/ds), (B, d + 1) float64: times span many orders of magnitude."""
    kappa = clock(w).double()
    return torch.cat([field(w, index).double() * kappa[:, None], kappa[:, None]], 1)


def _step(
    field: Field, clock: Callable[[Tensor], Tensor], w: Tensor, t: Tensor, ds: Tensor, first: Tensor, index: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One Dormand-Prince step: new state, new time, error estimate (B, d + 1), derivative at the new state."""
    k = [first]
    for row in _A:
        move = _combine(row, k) * ds[:, None]
        stage = w + move[:, :-1].to(w.dtype)
        k.append(_both(field, clock, stage, index))
    return stage, t + move[:, -1], _combine(_E, k) * ds[:, None], k[-1]


def _combine(weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        if weight:
            total = total + weight * slope
    return total


def _size(w: Tensor) -> Tensor:
    return w.square().mean(1).sqrt()


def _worst(*ratios: Tensor) -> Tensor:
    columns = torch.cat([r.double().reshape(len(r), -1) for r in ratios], 1)
    return columns.abs().nan_to_num(nan=1e9, posinf=1e9).amax(1)


def _accepted(
    segment: _Segment, event: Callable[[Tensor], Tensor], times: Tensor, saved: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(w, t, whether the event occurred) at the end of a step, or at the event in it; fills `saved` up to there."""
    w, t, end = segment.new.clone(), segment.new_t.clone(), torch.ones_like(segment.t)
    crossed = event(segment.new) >= 0
    if crossed.any():
        end[crossed], (w[crossed], t[crossed]) = _crossing(segment.at(crossed), event)
    _save(segment, end, times, saved, rows)
    return w, t, crossed


def _solve(segment: _Segment, function: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Fraction u at which function(w, t) crosses zero from below, by bisection (40 halvings)."""
    low = torch.zeros_like(segment.t)
    high = torch.ones_like(segment.t)
    for _ in range(40):
        middle = 0.5 * (low + high)
        above = function(*segment.state(middle)) >= 0
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return high


def _crossing(segment: _Segment, function: Callable[[Tensor], Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Fraction at which function(w) crosses zero, and (w, t) there."""
    u = _solve(segment, lambda y, _: function(y).double())
    return u, segment.state(u)


def _save(segment: _Segment, end: Tensor, times: Tensor, saved: Tensor, rows: Tensor) -> None:
    """Write the states at the save times in (t, t(end)] of each system."""
    finish = segment.state(end)[1]
    for m in range(len(times)):
        inside = (segment.t < times[m]) & (finish >= times[m])
        if inside.any():
            part = segment.at(inside)
            saved[m, rows[inside]] = part.state(_solve(part, _later_than(times[m])))[0]


def _later_than(when: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda _, t: t - when
