"""Rows of the table of arms that come from elsewhere than the cells."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from unmask.report.page import write_report


def test_tuning_has_a_row_of_its_own(tmp_path: Path, comparison_folder: Callable[..., Path]) -> None:
    """Three trials of 50 s each; a comparison without trials has no such row."""
    folder = comparison_folder(tmp_path / "run", draws=2, budgets=(10,))
    assert "Tuning of the scratch recipes" not in write_report([folder]).read_text(encoding="utf-8")
    (folder / "tuning").mkdir()
    for draw in range(3):
        (folder / "tuning" / f"b10-c0-d{draw}.json").write_text(json.dumps({"val_accuracy": 0.5, "seconds": 50.0}))
    text = write_report([folder]).read_text(encoding="utf-8")
    row = re.search(r"Tuning of the scratch recipes.*?</tr>", text, re.DOTALL)
    assert row is not None
    assert re.findall(r"<td[^>]*>([^<]*)</td>", row.group())[-2:] == ["3", "2 min 30 s"]
