"""Several runs side by side: the result of each, and the settings in which they differ."""

from collections.abc import Sequence

from unmask.config import to_json
from unmask.report.blocks import Plate, Section, Story, Swatch, Table
from unmask.report.classification import score_columns, score_rows
from unmask.report.curves import colors_of, pretraining_loss, training_loss
from unmask.report.pretraining import loss_caption
from unmask.report.words import flatten
from unmask.runs.contents import ClassificationRun, PretrainingRun, Run


def overview(runs: Sequence[Run], stories: Sequence[Story]) -> list[Section]:
    """Sections that compare the runs; none for a single run."""
    if len(runs) < 2:
        return []
    rows = [(run.name, story.kind, story.headline) for run, story in zip(runs, stories, strict=True)]
    sections = [
        Section("The runs", tables=[Table("Result of each run", ("run", "kind", "in one sentence"), rows)]),
        _scores(runs),
        _losses(runs),
        _settings(runs, [story.kind for story in stories]),
    ]
    return [section for section in sections if section]


def _scores(runs: Sequence[Run]) -> Section:
    tables: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for run in runs:
        if isinstance(run, ClassificationRun) and run.result is not None and run.result.metrics:
            columns = score_columns(next(iter(run.result.metrics.values())))
            tables.setdefault(columns, []).extend((run.name, *row) for row in score_rows(run))
    intro = "A difference between two single runs means little: use a comparison over several label draws."
    found = [Table("Scores, shares in %", ("run", *columns), rows) for columns, rows in tables.items()]
    return Section("Scores side by side", intro, tables=found)


def _losses(runs: Sequence[Run]) -> Section:
    found = [run for run in runs if isinstance(run, PretrainingRun) and len(training_loss(run.metrics).steps)]
    if len(found) < 2:
        return Section("Pretraining side by side")
    rows = {run.name: run.metrics for run in found}
    alt = "Reconstruction loss over steps of " + ", ".join(rows)
    legend = [Swatch(name, color) for name, color in colors_of(list(rows)).items()]
    plate = Plate(pretraining_loss(rows), alt, loss_caption(found))
    return Section("Pretraining side by side", "", legend, [plate])


def _settings(runs: Sequence[Run], kinds: Sequence[str]) -> Section:
    """The fields in which runs of one kind differ, a column per run."""
    tables = []
    for kind in dict.fromkeys(kinds):
        group = [run for run, own in zip(runs, kinds, strict=True) if own == kind]
        values = [dict(flatten(to_json(run.config))) for run in group]
        names = list(dict.fromkeys(name for fields in values for name in fields))
        rows = [
            (name, *(fields.get(name, "–") for fields in values))
            for name in names
            if len({fields.get(name, "–") for fields in values}) > 1
        ]
        if rows:
            tables.append(Table(f"Settings that differ ({kind})", ("field", *(run.name for run in group)), rows))
    return Section("Settings that differ", tables=tables)
