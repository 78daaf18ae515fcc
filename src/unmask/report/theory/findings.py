"""Computes what the page of the theory laboratory shows: verdicts, the runs behind them and sweeps."""

from collections.abc import Sequence
from dataclasses import dataclass

from unmask.theory.axes import Axis, parse_axis
from unmask.theory.experiment import Experiment
from unmask.theory.jobs import JobsHere, Tally, Told, silent, threads, torch_threads
from unmask.theory.jobs_elsewhere import Elsewhere
from unmask.theory.setting import Setting
from unmask.theory.sweep import Grid, grid_of, measured, tidy
from unmask.theory.sweep_measures import Row
from unmask.theory.verdict import Verdict
from unmask.theory.verify import all_checks, work_of

Asked = tuple[str, tuple[str, ...]]
"""A measure and its axes."""


@dataclass(frozen=True)
class Swept:
    """One sweep of the page."""

    measure: str
    axes: Sequence[Axis]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Findings:
    """The contents of the page."""

    setting: Setting
    verdicts: Sequence[Verdict]
    run: Experiment | None
    """The runs behind the verdicts; None if they could not be computed."""
    sweeps: Sequence[Swept]


WORK = {
    "correlations": 62, "capture": 33, "purity": 27, "learners": 29, "downstream": 22, "phases": 1,
}  # fmt: skip
"""Work of one point and seed of a measure, in the units of `unmask.theory.experiment.SIZES`."""


def gather(setting: Setting, seeds: int, *, told: Told = silent, elsewhere: Elsewhere | None = None) -> Findings:
    """Compute everything on the page: all verdicts over the seeds, and the sweeps of `plan(setting)`.

    `told` is called with the progress of all of it as one count. Sweeps share pretrained encoders and networks trained
    from scratch. If they run `elsewhere`, the verdicts are computed here meanwhile.
    """
    asked = [(measure, [parse_axis(axis) for axis in over]) for measure, over in plan(setting)]
    grids = [
        Grid(
            measure, grid_of(setting, axes), range(1 if measure in ("phases", "correlations") else seeds), WORK[measure]
        )
        for measure, axes in asked
    ]
    tally = Tally(work_of(seeds) + sum(grid.work for grid in grids), told)
    found: list[dict[int, list[list[Row]]]] = [{} for _ in grids]
    with torch_threads(1), threads(1) as pool, threads(1) as beside:
        checks = beside.submit(all_checks, setting, range(seeds), JobsHere(pool, tally))
        if elsewhere is None:
            checks.result()
        for g, index, rows in measured(grids, tally, elsewhere=elsewhere):
            found[g][index] = rows
        run, verdicts = checks.result()
    swept = [
        Swept(measure, axes, tidy(grid.points, grid.seeds, of_grid))
        for (measure, axes), grid, of_grid in zip(asked, grids, found, strict=True)
    ]
    return Findings(setting, verdicts, run, swept)


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
