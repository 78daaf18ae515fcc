"""Teacher-student MRP in exact time: every kernel of every seed on its own clock, all read at common times.

Growth (own clocks, explicit) until the first feature is near its fixed point; from there to the last time the stiff
integrator. Works in the feature basis, where the Jacobian is nearly sparse; the flow is equivariant under rotation,
so the result is rotated back exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unmask.theory.capture import capture_level, clock, levels, own_strength
from unmask.theory.integrate import Field, Growth, grow, rosenbrock
from unmask.theory.jacobian import mrp_jacobian
from unmask.theory.laws import fixed_point
from unmask.theory.problem import World
from unmask.theory.setting import Setting
from unmask.theory.teacher_student_loss import Objective, force


@dataclass(frozen=True)
class Pretraining:
    """Trajectories of S seeds × K kernels, read at M common times."""

    setting: Setting
    times: Tensor
    """(M,) float64, increasing."""
    weights: Tensor
    """(M, S, K, d): every kernel at exactly these times, ambient coordinates."""
    correlation: Tensor
    """⟨w_r, v_f⟩, (M, S, K, F)."""
    start: Tensor
    """⟨w_r(0), v_f⟩, (S, K, F)."""
    capture_time: Tensor
    """(S, K) float64: first time at which some feature is captured, inf if not by the last time."""
    leader: Tensor
    """(S, K) int64: the feature captured first, -1 if none; F is the background."""
    steps: tuple[int, int]
    """Steps of the batch while growing and after capture."""


def pretrain(
    worlds: Sequence[World], times: Tensor, through_capture: bool = True, rtol: float = 1e-4, stiff_rtol: float = 3e-2
) -> Pretraining:
    """Integrate the MRP flow of every kernel.

    Args:
        worlds: S worlds of one setting.
        times: (M,) increasing positive times at which all kernels are read. If kernels run away when they hold
            several features (b <= τ), all are held at 2 ϱ, where they count as captured.
        through_capture: False stops each kernel at its first capture: capture_time, leader and the weights before it
            are then valid, weights after it are NaN.
        rtol: step error while growing.
        stiff_rtol: step error after capture.
    """
    setting, dtype = worlds[0].setting, worlds[0].dtype
    count, d, f = len(worlds[0].start), setting.data.dim, setting.data.directions
    bases = [w.basis.to(dtype) for w in worlds]
    start = torch.cat([w.start @ q.T for w, q in zip(worlds, bases, strict=True)])
    data = [w.unlabeled().x @ q.T for w, q in zip(worlds, bases, strict=True)]
    obj, lowest = Objective.of(setting), capture_level(setting)
    ends = levels(setting, f)
    level = ends.to(dtype)
    settle = (_settled(setting) * (ends / lowest)).to(dtype) if through_capture else level
    field = _per_seed(force, data, obj, count)
    times = times.double()
    saved = start.new_full((len(times), len(start), d), float("nan"))
    grown = grow(
        field,
        lambda w: clock(w[:, :f], setting),
        lambda w: (w[:, :f] - settle).amax(1),
        lambda w: (w[:, :f] - level).amax(1),
        start,
        times,
        saved,
        rtol,
    )
    rows = torch.nonzero(grown.event)[:, 0]
    steps = 0
    if _runs_away(setting):
        saved = torch.where(saved.isnan(), grown.state, saved)
    elif through_capture and rows.numel():
        steps = rosenbrock(
            field,
            _per_seed(mrp_jacobian, [x[:: _thinning(setting)] for x in data], obj, count),
            grown.state[rows],
            grown.time[rows],
            times,
            saved,
            rows,
            rtol=stiff_rtol,
            floor=0.5 * lowest,
        )
    assert not through_capture or not saved.isnan().any(), "a kernel has not reached a time it is read at"
    return _read_out(worlds, times, saved, start, grown, steps)


def _read_out(
    worlds: Sequence[World], times: Tensor, saved: Tensor, start: Tensor, grown: Growth, steps: int
) -> Pretraining:
    """The result in ambient coordinates, from rows (seed, kernel) in the feature bases."""
    setting, d, f = worlds[0].setting, worlds[0].setting.data.dim, worlds[0].setting.data.features
    marked, all_ = grown.mark_time.isfinite(), setting.data.directions
    leader = (grown.mark_state[:, :all_] / levels(setting, all_)).argmax(1)
    shape = (len(worlds), len(worlds[0].start))
    split = saved.view(len(times), *shape, d)
    ambient = torch.stack([split[:, i] @ w.basis.to(w.dtype) for i, w in enumerate(worlds)], 1)
    return Pretraining(
        setting,
        times,
        ambient,
        split[..., :f].clone(),
        start[:, :f].view(*shape, f).clone(),
        grown.mark_time.view(shape),
        torch.where(marked, leader, -1).view(shape),
        (grown.steps, steps),
    )


def _thinning(setting: Setting) -> int:
    """With 100 samples per class the Jacobian is averaged over every second one.

    With fewer, some class may be thinned to less than half; the rate at which its features relax is underestimated by
    as much, and a long stiff step is no longer stable: at 50 per class and k = 20 it takes 2.9 times the steps, at 40
    and k = 50 it falls from 10^5 to 10^2 and stays there.
    """
    return 2 if setting.samples >= 100 * setting.data.classes else 1


def _settled(setting: Setting) -> float:
    """Correlation from which a kernel is near its fixed point and therefore stiff: 0.8 of it, but at most 2 ϱ, where
    those that run away are held.
    """
    if _runs_away(setting):
        return 2 * setting.threshold / own_strength(setting)
    reach = fixed_point(setting.power, setting.threshold, setting.teacher_scale, setting.effective_gain)
    lowest = setting.threshold / max(setting.teacher_scale, 1.0)
    return min(max(0.8 * reach, lowest), 2 * setting.threshold) / own_strength(setting)


def _runs_away(setting: Setting) -> bool:
    """Whether nothing stops a kernel that holds many features: their common effective gain is b."""
    return setting.gain <= setting.teacher_scale


def _per_seed(
    function: Callable[[Tensor, Tensor, Objective], Tensor], data: Sequence[Tensor], obj: Objective, count: int
) -> Field:
    """Apply function(weights, x, obj) to the rows of each seed; row i belongs to seed i // count, rows are sorted."""

    def field(states: Tensor, index: Tensor) -> Tensor:
        sizes = torch.bincount(index // count, minlength=len(data)).tolist()
        parts = states.split(sizes)
        return torch.cat([function(w, x, obj) for w, x in zip(parts, data, strict=True) if len(w)])

    return field
