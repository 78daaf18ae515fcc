"""Verdicts on binding: a captured feature draws a co-occurring one into its kernel, with masking and not without."""

from dataclasses import replace

import torch

from unmask.theory.capture import captured
from unmask.theory.laws import one_feature
from unmask.theory.problem import world
from unmask.theory.setting import Setting
from unmask.theory.teacher_student_flow import pretrain
from unmask.theory.verdict import Verdict


def binding_checks(setting: Setting, dtype: torch.dtype = torch.float32) -> list[Verdict]:
    """Partner views with positive start, equal strengths: bound soon after capture with masking, not without."""
    verdicts = []
    for ratio, predicted in ((max(setting.mask_ratio, 0.1), 1.0), (0.0, 0.0)):
        bound, n = bound_share(replace(setting, mask_ratio=ratio, missing=0), dtype)
        verdicts.append(
            Verdict(
                claim=f"partner view with positive start is bound by 4 capture times (mask ratio {ratio:g})",
                kind="ours",
                measured=bound,
                predicted=predicted,
                low=max(0.0, predicted - 0.05),
                high=min(1.0, predicted + 0.05),
                n=n,
                regime="equal strengths, no noise",
                source="binding.py",
            )
        )
    return verdicts


def bound_share(setting: Setting, dtype: torch.dtype = torch.float32) -> tuple[float, int]:
    """Share of kernels, one per class, that start at 0.2 ϱ on view 0 and 0.1 ϱ on view 1 and hold view 1 by 4 capture
    times of view 0.

    Alone view 1 would need 2^(2q-2) capture times, so it was bound by view 0.
    """
    data = replace(
        setting.data,
        own=(1.0 * setting.data.patches_per_feature,) * 2,
        noise=0.0,
        feature_noise=0.0,
        equal_patches=True,
        background=0.0,
    )
    s = replace(setting, data=replace(data, single_share=0.0))
    w = world(s, 0, dtype)
    lead, partner = w.v[:: s.data.views], w.v[1 :: s.data.views]
    w = replace(w, start=s.threshold * (0.2 * lead + 0.1 * partner))
    law = one_feature(w.unlabeled(), w.v, s)
    when = 4 * float(law.capture_times(torch.full((s.data.features,), 0.2 * s.threshold)).max())
    if when == float("inf"):
        return float("nan"), len(lead)
    held = captured(pretrain([w], torch.tensor([when])).correlation[-1, 0], s)
    rows = torch.arange(len(lead))
    return float(held[rows, rows * s.data.views + 1].double().mean()), len(lead)
