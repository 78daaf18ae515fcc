"""The effect of choosing which images get labels, as a part of a comparison's page."""

from collections.abc import Sequence

from unmask.config.budget import labels_in_words
from unmask.config.metric import METRIC_NAMES, SCORES, Metric
from unmask.inference.verdict import describe_split
from unmask.report.blocks import Section, Table
from unmask.report.palette import look
from unmask.report.words import change_writer, interval_text, unit, value_writer
from unmask.runs.summary_records import LabelsGain, Summary

_WHAT = {
    "labels": "Gain from the way labels are selected",
    "pretraining": "Gain from pretraining, with labels selected in the same way",
    "both": "Gain from both together",
}


def label_ways_section(summary: Summary) -> Section:
    """A table for each question; empty if labels were selected in one way only."""
    rows = summary.labels_gains
    if not rows:
        return Section("Which images get the labels")
    metric = METRIC_NAMES[summary.settings.metric]
    where = describe_split(rows[0].split)
    intro = (
        f"The same number of labels in all, selected in different ways; {metric} on {where}. Balanced: at random, "
        "the same number per class, which needs the labels beforehand. Chosen: by the features of the "
        f"pretrained encoder, from another half of the training images in each draw. {_where_it_pays(rows)}"
    )
    tables = [_table(_WHAT[what], [row for row in rows if row.what == what], summary.settings.metric) for what in _WHAT]
    return Section("Which images get the labels", intro, tables=[one for one in tables if one.rows])


def _table(caption: str, rows: Sequence[LabelsGain], metric: Metric) -> Table:
    change, value, of = change_writer(metric), value_writer(metric), unit(metric, "points")
    cells = [
        (
            f"{look(row.arm).title}, {labels_in_words(row.budget)}",
            f"{look(row.against_arm).title}, {labels_in_words(row.against_budget)}",
            interval_text(row, change),
            row.verdict,
            f"{value(row.sd)} / {value(row.against_sd)}",
        )
        for row in rows
    ]
    columns = (
        "first",
        "second",
        f"difference{of} [interval]",
        "verdict",
        f"deviation over draws{', points' * SCORES[metric].share}",
    )
    return Table(f"{caption}: the first minus the second", columns, cells, numeric=True)


def _where_it_pays(rows: Sequence[LabelsGain]) -> str:
    """A statement of where choosing does not gain over the plainest way."""
    asked = [row for row in rows if row.what == "labels" and str(row.budget).startswith("chosen")]
    words = {"loss": "cost", "equivalent": "changed nothing that matters", "undecided": "shows no gain yet"}
    told = [
        f"{look(row.arm).title.lower()}, {labels_in_words(row.budget)}, against {labels_in_words(row.against_budget)}: "
        f"{words[row.verdict]}"
        for row in asked
        if row.verdict != "gain"
    ]
    if not asked:
        return ""
    return (
        f"Choosing does not always pay off: {'; '.join(told)}." if told else "Choosing paid off wherever it was tried."
    )
