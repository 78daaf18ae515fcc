"""The section of a comparison on paired differences: one arm minus another on the same label draws."""

from collections.abc import Sequence
from itertools import product

from unmask.config import JUDGED
from unmask.config.budget import labels_in_words
from unmask.config.metric import SCORES
from unmask.inference.verdict import describe_split
from unmask.report.blocks import Fold, Plate, Section, Table
from unmask.report.figures import forest
from unmask.report.palette import look
from unmask.report.recalls import splits_of
from unmask.report.words import capital, change_writer, interval_text, unit
from unmask.runs.summary_records import Difference, Summary


def differences_section(summary: Summary) -> Section:
    """Every pair of arms per kind of images and metric, as figures and as folded tables."""
    settings = summary.settings
    plates, tables = [], []
    for split, metric in product(splits_of(summary), settings.in_the_open):
        rows = [r for r in summary.differences if r.split == split and r.metric == metric]
        if not rows:
            continue
        where, name = describe_split(split), SCORES[metric].title
        alt = f"Paired differences of {name} on {where}: " + "; ".join(
            f"{_pair(row)} with {labels_in_words(row.budget)} {interval_text(row, change_writer(metric))}"
            for row in rows
        )
        figure = forest(rows, settings.budgets, settings.smallest_effect)
        caption = f"{capital(name)} on {where}: {look(JUDGED).title} minus the arm named; other pairs are named in full"
        plates.append(Plate(figure, alt, caption))
        tables.append(_difference_table(rows, where, metric))
    smallest = SCORES[settings.metric].scale * settings.smallest_effect  # in points, or in the metric's own unit
    intro = (
        "Both arms get the same label draws and only their difference counts, so lucky draws cancel out. "
        f"The gray band, ±{smallest:g}, is the smallest effect declared to matter."
    )
    folds = [Fold("The same as tables", tables)] * bool(tables)
    return Section("Paired differences", intro, plates=plates, folds=folds)


def _difference_table(rows: Sequence[Difference], where: str, metric: str) -> Table:
    lines = []
    for row in rows:
        change = interval_text(row, change_writer(metric))
        lines.append((_pair(row), labels_in_words(row.budget), change, str(row.n), row.method))
    columns = ("first minus second", "labels", "difference [interval]", "n", "method")
    caption = (
        f"{capital(SCORES[metric].title)} of the first arm minus that of the second on {where}{unit(metric, 'points')}"
    )
    return Table(caption, columns, lines, numeric=True)


def _pair(row: Difference) -> str:
    """Which arm minus which, in words."""
    baseline = look(row.baseline_arm).title
    named = baseline if row.baseline == row.baseline_arm else f"{row.baseline} ({baseline})"
    return f"{look(row.arm).title} minus {named}"
