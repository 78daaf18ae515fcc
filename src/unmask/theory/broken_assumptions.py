"""Assumptions that can be switched off to see which verdicts fail: the checks can fail."""

from dataclasses import replace

from unmask.errors import UserError
from unmask.theory.setting import Setting

BREAKS = ("large_start", "quadratic", "many_single", "faint_equals_other", "window", "mask", "missing", "few_kernels")


def broken(setting: Setting, name: str) -> Setting:
    """The setting without one assumption.

    - large_start: σ0 = ϱ/2 for pretraining and from scratch; growth is not a power law, no winner takes a lead.
    - quadratic: q = 2 (with b = 0.8 b so that τ < B < τ^q still holds); growth is exponential, the lottery between
      views ends.
    - many_single: 20 % single-view samples in the labeled data; SL is taught the second view.
    - faint_equals_other: ρ = Γ; the own other view is as strong as any other class's, so one view is enough.
    - window: τ = 1.25 b > B; nothing stops the growth.
    - mask: mask ratio 0.7, past the critical one of both phases.
    - missing: pretraining data lack the first quarter of the features.
    - few_kernels: one kernel per class, K < F.
    """
    data = setting.data
    changes: dict[str, Setting] = {
        "large_start": replace(setting, init_scale=0.5 * setting.threshold, scratch_init_scale=0.5 * setting.threshold),
        "quadratic": replace(setting, power=2, gain=0.8 * setting.gain),
        "many_single": replace(setting, labeled_single_share=0.2),
        "faint_equals_other": replace(setting, data=replace(data, weak=data.single_other)),
        "window": replace(setting, teacher_scale=1.25 * setting.gain),
        "mask": replace(setting, mask_ratio=0.7),
        "missing": replace(setting, missing=data.features // 4),
        "few_kernels": replace(setting, kernels_per_class=1),
    }
    if name not in changes:
        raise UserError(f"break = {name!r} is unknown: expected one of {', '.join(BREAKS)}")
    return changes[name]
