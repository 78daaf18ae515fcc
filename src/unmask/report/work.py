"""The timeline of a comparison: its trainings over time, by machine."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from matplotlib.figure import Figure

from unmask.report.blocks import Fold, Plate, Section, Swatch, Table
from unmask.report.palette import BLUE, GRAY, ORANGE
from unmask.report.svg import plot
from unmask.report.words import duration, time_unit
from unmask.runs.trial_records import PieceKind, PieceOfWork
from unmask.wording import plural, printable

_COLORS: dict[PieceKind, str] = {"pretraining": ORANGE, "tuning": GRAY, "trial": BLUE}
_ROWS = 64
"""Most rows of the figure."""
_LISTED = 200
"""Most trainings in the table: the longest ones."""
_SLACK = 0.1
"""Seconds of clock skew by which a training may appear to start before the one ahead of it has ended."""


def work_section(work: Sequence[PieceOfWork]) -> Section:
    """A bar for every training, a row for every machine; records sorted by start. Empty without records."""
    title = "Timeline of the trainings"
    if not work:
        return Section(title)
    places = list(zip(work, lanes(work), strict=True))
    rows = sorted({(one.host, lane) for one, lane in places})
    alt = f"Trainings over time on {_machines(work)}: " + ", ".join(_counted(work))
    caption = "Every training from start to end; a row holds one at a time on a machine"
    if len(rows) > _ROWS:
        caption += f"; {_ROWS} of {len(rows)} rows"
    return Section(
        title,
        f"{', '.join(_counted(work))} on {_machines(work)}, {duration(_span(work))} from first start to last end.",
        [Swatch(kind, color) for kind, color in _COLORS.items()],
        [Plate(work_bars(places, rows[:_ROWS]), alt, caption)],
        tables=[_machine_table(places)],
        folds=[Fold("Every training" if len(work) <= _LISTED else f"The {_LISTED} longest trainings", [_listed(work)])],
    )


def lanes(work: Sequence[PieceOfWork]) -> list[int]:
    """For every training the first lane of its machine that is free when it starts: 0, 1, …; `work` is sorted by
    start."""
    ends: dict[str, list[float]] = defaultdict(list)
    found = []
    for one in work:
        free = [lane for lane, end in enumerate(ends[one.host]) if end <= one.started + _SLACK]
        lane = free[0] if free else len(ends[one.host])
        ends[one.host][lane : lane + 1] = [one.started + one.seconds]
        found.append(lane)
    return found


def work_bars(places: Sequence[tuple[PieceOfWork, int]], rows: Sequence[tuple[str, int]]) -> Figure:
    """A bar per training on the row of its machine and lane, over the time since the first one started."""
    first = min(one.started for one, _ in places)
    unit, name = time_unit(_span([one for one, _ in places]))
    with plot(720, 70 + 16 * len(rows), grid="x") as (figure, axes):
        for y, row in enumerate(rows):
            own = [one for one, lane in places if (one.host, lane) == row]
            spans = [((one.started - first) / unit, one.seconds / unit) for one in own]
            axes.broken_barh(spans, (y - 0.4, 0.8), facecolors=[_COLORS[one.kind] for one in own], edgecolors="none")
        names = [printable(host) if lane == 0 else "" for host, lane in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{name} since the first training started")
    return figure


def _machine_table(places: Sequence[tuple[PieceOfWork, int]]) -> Table:
    rows = []
    for host in sorted({one.host for one, _ in places}):
        own = [(one, lane) for one, lane in places if one.host == host]
        kinds, side = Counter(one.kind for one, _ in own), 1 + max(lane for _, lane in own)
        busy, span = sum(one.seconds for one, _ in own), _span([one for one, _ in own])
        share = f"{100 * min(1.0, busy / (side * span)):.0f} %" if span else "–"
        rows.append((printable(host), str(side), *(str(kinds[kind]) for kind in _COLORS), duration(busy), share))
    columns = ("machine", "at a time", "pretrainings", "tuning trials", "trials", "time in trainings", "busy")
    return Table("What every machine did", columns, rows, numeric=True)


def _listed(work: Sequence[PieceOfWork]) -> Table:
    first = work[0].started
    longest = sorted(work, key=lambda one: -one.seconds)[:_LISTED]
    rows = [
        (one.name, one.kind, printable(one.host), duration(one.started - first), duration(one.seconds))
        for one in sorted(longest, key=lambda one: one.started)
    ]
    return Table("Trainings by start", ("training", "kind", "machine", "started after", "took"), rows, numeric=True)


def _counted(work: Sequence[PieceOfWork]) -> list[str]:
    kinds = Counter(one.kind for one in work)
    names: dict[PieceKind, str] = {"pretraining": "pretraining", "tuning": "tuning trial", "trial": "trial"}
    return [plural(kinds[kind], name) for kind, name in names.items() if kinds[kind]]


def _machines(work: Sequence[PieceOfWork]) -> str:
    return plural(len({one.host for one in work}), "machine")


def _span(work: Sequence[PieceOfWork]) -> float:
    """Seconds from the first start to the last end."""
    return max(one.started + one.seconds for one in work) - min(one.started for one in work)
