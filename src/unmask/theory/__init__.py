"""The theory laboratory: the system of arXiv 2206.03826, exact and fast; every claim is a check that can fail.

The public names are imported when first used, so that `unmask theory --help` stays fast.
"""

from typing import TYPE_CHECKING

from unmask.lazy import lazy_names

if TYPE_CHECKING:
    from unmask.theory.distribution import Distribution
    from unmask.theory.presets import asymptotic, paper, paper_small, preset
    from unmask.theory.problem import World, world
    from unmask.theory.setting import Setting
    from unmask.theory.supervision import Supervised, fine_tune, linear_probe, train_from_scratch
    from unmask.theory.teacher_student_flow import Pretraining, pretrain
    from unmask.theory.verdict import Verdict

__all__ = [
    "Distribution",
    "Pretraining",
    "Setting",
    "Supervised",
    "Verdict",
    "World",
    "asymptotic",
    "fine_tune",
    "linear_probe",
    "paper",
    "paper_small",
    "preset",
    "pretrain",
    "train_from_scratch",
    "world",
]

__getattr__, __dir__ = lazy_names(
    "unmask.theory",
    {
        "Distribution": "unmask.theory.distribution",
        "Pretraining": "unmask.theory.teacher_student_flow",
        "Setting": "unmask.theory.setting",
        "Supervised": "unmask.theory.supervision",
        "Verdict": "unmask.theory.verdict",
        "World": "unmask.theory.problem",
        "asymptotic": "unmask.theory.presets",
        "fine_tune": "unmask.theory.supervision",
        "linear_probe": "unmask.theory.supervision",
        "paper": "unmask.theory.presets",
        "paper_small": "unmask.theory.presets",
        "preset": "unmask.theory.presets",
        "pretrain": "unmask.theory.teacher_student_flow",
        "train_from_scratch": "unmask.theory.supervision",
        "world": "unmask.theory.problem",
    },
)
