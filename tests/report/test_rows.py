"""A row of the table of accuracies besides one for each arm."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from unmask.report.page import write_report
from unmask.runs.files import write_json
from unmask.runs.read import read_record
from unmask.runs.summary_records import Summary


@pytest.mark.slow
def test_neighbors_stand_below_their_probe(tmp_path: Path, comparison_folder: Callable[..., Path]) -> None:
    """One row more, in the table of accuracies, for the arm that has such a score."""
    folder = comparison_folder(tmp_path / "run", draws=2, budgets=(10,))
    summary = read_record(Summary, folder / "summary.json")
    place = ("probe_mrp", "multi", "accuracy")
    (probe,) = [row for row in summary.means if (row.arm, row.split, row.metric) == place]
    neighbors = replace(probe, metric="knn_accuracy", mean=0.4321, low=0.1234, high=0.7891)
    write_json(folder / "summary.json", replace(summary, means=(*summary.means, neighbors)))
    text = write_report([folder]).read_text(encoding="utf-8")
    rows = re.findall(r'<th scope="row">(Probe of [^<]*)</th><td>([^<]*)</td>', text)
    assert [value for name, value in rows if name == "Probe of pretrained, nearest neighbors (kNN)"] == [
        "43.2 [12.3, 78.9]"
    ]
    names = [name for name, _ in rows]
    assert names[names.index("Probe of pretrained, nearest neighbors (kNN)") - 1] == "Probe of pretrained"
