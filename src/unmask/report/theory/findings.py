"""What the page of the theory laboratory shows: verdicts, coverage and sweeps, computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unmask.theory.axes import Axis, parse_axis
from unmask.theory.checks_coverage import measured_coverage
from unmask.theory.jobs import Told, silent, torch_threads
from unmask.theory.occupancy import Bands
from unmask.theory.setting import Setting
from unmask.theory.sweep import measure_of, sweep
from unmask.theory.sweep_measures import Row
from unmask.theory.verdict import Verdict
from unmask.theory.verify import all_checks

Asked = tuple[str, tuple[str, ...]]
"""A measure and its axes."""
Curve = tuple[torch.Tensor, list[int], torch.Tensor, Bands]


@dataclass(frozen=True)
class Swept:
    """One sweep of the page."""

    measure: str
    axes: Sequence[Axis]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Findings:
    """All the page is made of."""

    setting: Setting
    verdicts: Sequence[Verdict]
    coverage: Curve
    """Coverage over T and K with the bands of the law."""
    sweeps: Sequence[Swept]


def gather(
    setting: Setting, seeds: int, workers: int = 1, sweeps: Sequence[Asked] | None = None, told: Told = silent
) -> Findings:
    """Everything on the page, computed: all verdicts over the seeds, and the sweeps, `plan(setting)` if not given."""
    with torch_threads(1):
        run, verdicts = all_checks(setting, range(seeds), workers, told=told)
        curve = measured_coverage(run)
    asked = plan(setting) if sweeps is None else sweeps
    return Findings(setting, verdicts, curve, [_sweep(setting, *one, seeds, workers, told) for one in asked])


def plan(setting: Setting) -> list[Asked]:
    """Measures and axes of the page's sweeps."""
    k, f, m = setting.data.classes, setting.data.features, setting.kernels_per_class
    kernels = [max(1, m * i // 2) for i in (1, 2, 4, 8)]
    classes = sorted({max(2, k // 4), max(2, k // 2), k})
    missing = sorted({0, setting.data.views, f // 2})
    return [
        ("phases", ("mask_ratio=0:0.9:16", "teacher_scale=1.2:1.8:9")),
        ("capture", ()),
        ("purity", ("kernels_per_class=" + ",".join(map(str, kernels)),)),
        ("correlations", ()),
        ("learners", ("labeled_single_share=0,0.01,0.05,0.2",)),
        ("learners", ("labels_per_class=1,2,5,10",)),
        ("downstream", ("task_classes=" + ",".join(map(str, classes)),)),
        ("downstream", ("missing=" + ",".join(map(str, missing)),)),
    ]


def _sweep(setting: Setting, measure: str, over: Sequence[str], seeds: int, workers: int, told: Told) -> Swept:
    axes = [parse_axis(axis) for axis in over]
    number = 1 if measure in ("phases", "correlations") else seeds
    return Swept(measure, axes, sweep(setting, axes, range(number), measure_of(measure)[0], workers, told=told))
