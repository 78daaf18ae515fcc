"""The cost of every arm: its own trainings, and its share of the trainings that arms have in common."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from unmask.config import ARMS
from unmask.report.blocks import Plate, Section, Swatch, Table
from unmask.report.palette import BLUE, GRAY, ORANGE, look
from unmask.report.svg import plot
from unmask.report.words import duration, time_unit
from unmask.runs.contents import ComparisonRun, PretrainingRun
from unmask.runs.layout import GIVEN_PRETRAININGS
from unmask.runs.summary_records import Summary

_PARTS = (("own trainings", BLUE), ("share of pretraining", ORANGE), ("tuning", GRAY))


@dataclass(frozen=True)
class Cost:
    """Seconds of one arm, over all its trainings."""

    arm: str
    trainings: int
    own: float
    pretraining: float
    """The time of the pretrainings that it starts from, divided by the number of arms that do."""
    tuning: float
    """The time of its tuning trials."""

    @property
    def total(self) -> float:
        """The sum of all three."""
        return self.own + self.pretraining + self.tuning


def costs_of(run: ComparisonRun, summary: Summary) -> list[Cost]:
    """The cost of every arm; the costs add up to the time of all trainings."""
    own = {row.arm: (row.trials, row.seconds) for row in summary.seconds}
    tuning: dict[str, float] = {}
    for trial in run.tuning:
        tuning[trial.arm] = tuning.get(trial.arm, 0.0) + trial.seconds
    arms = list(dict.fromkeys([*own, *(arm for arm in ARMS if arm in tuning)]))
    starts = {
        start: [arm for arm in arms if arm in ARMS and ARMS[arm].start == start] for start in ("mrp", "given_mrp")
    }
    spent = {start: _seconds(run.pretrainings, given=start == "given_mrp") for start in starts}
    shares = {arm: spent[start] / len(sharing) for start, sharing in starts.items() for arm in sharing}
    return [Cost(arm, *own.get(arm, (0, 0.0)), shares.get(arm, 0.0), tuning.get(arm, 0.0)) for arm in arms]


def cost_section(run: ComparisonRun, summary: Summary) -> Section:
    """A bar and a row for every arm."""
    costs = costs_of(run, summary)
    rows = [
        (look(one.arm).title, str(one.trainings), *map(_time, (one.own, one.pretraining, one.tuning, one.total)))
        for one in costs
    ]
    columns = ("arm", "trainings", *(name for name, _ in _PARTS), "together")
    alt = "Time of every arm: " + "; ".join(f"{row[0]} {row[-1]}" for row in rows)
    legend = [Swatch(name, color) for name, color in _PARTS]
    intro = (
        "Time in trainings, added up over processes. Arms that start from the same pretraining share its time equally. "
        "Arms without trainings of their own were tried on the tuning draws and dropped."
    )
    plates = [Plate(cost_bars(costs), alt, "Time of every arm")] if costs else []
    table = Table("What every arm cost", columns, rows, numeric=True)
    return Section("What every arm cost", intro, legend, plates, tables=[table] if rows else [])


def cost_bars(costs: Sequence[Cost]) -> Figure:
    """A bar per arm: own trainings, share of pretraining, tuning."""
    unit, name = time_unit(max((one.total for one in costs), default=0.0))
    with plot(height=70 + 26 * len(costs), grid="x") as (figure, axes):
        for y, one in enumerate(costs):
            left = 0.0
            for seconds, (_, color) in zip((one.own, one.pretraining, one.tuning), _PARTS, strict=True):
                axes.barh(y, seconds / unit, left=left / unit, color=color, height=0.62)
                left += seconds
        axes.set_yticks(range(len(costs)), [look(one.arm).title for one in costs])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(costs) - 0.5, -0.5)
        axes.set_xlabel(name)
    return figure


def _seconds(pretrainings: Sequence[PretrainingRun], *, given: bool) -> float:
    """Time of the pretrainings that started from the given weights, or of all others."""
    folder = GIVEN_PRETRAININGS.pattern.partition("/")[0]
    own = [run.environment for run in pretrainings if (run.folder.parent.name == folder) == given]
    return sum(one.seconds for one in own if one is not None and one.seconds is not None)


def _time(seconds: float) -> str:
    return duration(seconds) if seconds else "–"
