"""What the page of the theory laboratory shows: verdicts, coverage and sweeps, computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unmask.theory.axes import Axis, parse_axis
from unmask.theory.checks_coverage import measured_coverage
from unmask.theory.jobs import Memo, Tally, Told, silent, threads, torch_threads
from unmask.theory.occupancy import Bands
from unmask.theory.setting import Setting
from unmask.theory.sweep import begin_sweep, grid_of, measure_of
from unmask.theory.sweep_measures import Row
from unmask.theory.verdict import Verdict
from unmask.theory.verify import all_checks, work_of

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
    coverage: Curve | None
    """Coverage over T and K with the bands of the law; None where no run could be made."""
    sweeps: Sequence[Swept]


WORK = {
    "phases": 1, "capture": 45, "purity": 50, "correlations": 75, "learners": 35, "downstream": 25,
}  # fmt: skip
"""Work of one point and seed of a measure, in the units of `unmask.theory.experiment.SIZES`."""


def gather(setting: Setting, seeds: int, workers: int = 1, *, told: Told = silent) -> Findings:
    """Everything on the page, computed: all verdicts over the seeds, and the sweeps of `plan(setting)`.

    `told` hears of all of it as one count. Sweeps share pretrained encoders and networks trained from scratch.
    """
    asked = [(measure, [parse_axis(axis) for axis in over]) for measure, over in plan(setting)]
    grids = [grid_of(setting, axes) for _, axes in asked]
    numbers = [range(1 if measure in ("phases", "correlations") else seeds) for measure, _ in asked]
    work = [WORK[measure] * len(grid) * len(n) for (measure, _), grid, n in zip(asked, grids, numbers, strict=True)]
    tally, memo = Tally(work_of(seeds) + sum(work), told), Memo()
    with torch_threads(1), threads(workers) as pool:
        run, verdicts = all_checks(setting, range(seeds), workers, tally=tally)
        begun = [
            begin_sweep(pool, grid, n, measure_of(measure, memo)[0], tally, size=WORK[measure])
            for (measure, _), grid, n in zip(asked, grids, numbers, strict=True)
        ]
        swept = [Swept(measure, axes, rows()) for (measure, axes), rows in zip(asked, begun, strict=True)]
        curve = measured_coverage(run) if run else None
    return Findings(setting, verdicts, curve, swept)


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
