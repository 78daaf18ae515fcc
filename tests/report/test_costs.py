"""What arms cost: their trainings, tuning among them, and equal parts of what they share, that add up to the whole."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from unmask.report.costs import cost_bars, cost_section, costs_of
from unmask.runs.contents import ComparisonRun, read_run
from unmask.runs.files import write_json
from unmask.runs.layout import TUNING
from unmask.runs.read import read_record
from unmask.runs.records import Environment
from unmask.runs.trial_records import TuningResult


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, comparison_folder: Callable[..., Path]) -> ComparisonRun:
    """Trials of 12.5 s, two pretrainings of 100 s, two tuning trials of 50 s of each of two arms."""
    folder = comparison_folder(tmp_path_factory.mktemp("costs") / "run", draws=2, budgets=(10,))
    for pretraining in (folder / "pretrain").iterdir():
        file = pretraining / "environment.json"
        write_json(file, replace(read_record(Environment, file), seconds=100.0))
    for arm in ("scratch_best", "probe_given"):
        for draw in range(2):
            trial = TuningResult(arm=arm, budget=10, draw=draw, candidate=0, val_score=0.5, seconds=50.0)
            write_json(TUNING.path(folder, f"{arm}-b10-c0-d{draw}"), trial)
    found = read_run(folder)
    assert isinstance(found, ComparisonRun)
    return found


def test_shares_add_up_to_what_was_spent(run: ComparisonRun) -> None:
    assert run.summary is not None
    costs = {one.arm: one for one in costs_of(run, run.summary)}
    assert (costs["mrp"].own, costs["mrp"].pretraining, costs["mrp"].tuning) == (50.0, 100.0, 0.0)
    assert (costs["probe_mrp"].pretraining, costs["probe_random"].pretraining) == (100.0, 0.0)
    assert [costs[arm].tuning for arm in ("scratch_best", "scratch_compute", "scratch_same")] == [100.0, 0.0, 0.0]
    assert (costs["probe_given"].trainings, costs["probe_given"].total) == (0, 100.0)  # tried and dropped
    own = sum(trial.seconds for trial in run.trials)
    assert sum(one.total for one in costs.values()) == pytest.approx(own + 200 + 200)


def test_the_table_and_the_bars_say_the_same(run: ComparisonRun) -> None:
    """In the unit that suits the longest."""
    assert run.summary is not None
    section = cost_section(run, run.summary)
    (table,) = section.tables
    assert table.rows[0] == ("Pretrained", "4", "50 s", "1 min 40 s", "–", "2 min 30 s")
    assert "Pretrained 2 min 30 s" in section.plates[0].alt
    axes = cost_bars(costs_of(run, run.summary)).axes[0]
    assert axes.get_xlabel() == "minutes"
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches[:3]]  # type: ignore[attr-defined]
    assert ends == pytest.approx([50 / 60, 150 / 60, 150 / 60])
