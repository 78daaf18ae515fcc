"""Draws that come in looks: stopped by a decision or by the clock, gone on with later, and always the same trials."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from unmask.comparison import looks as module
from unmask.comparison import rivals
from unmask.comparison.looks import FACTOR, FIRST, look_notes, take_looks
from unmask.comparison.plan import TrialKey, all_trials
from unmask.comparison.run import compare
from unmask.comparison.tasks import Work
from unmask.comparison.timed_draws import LEAST, Timer, hour_notes, train_for_an_hour
from unmask.comparison.tuning import Choice
from unmask.config import ClassifyRecipe, CompareConfig, OptimizerConfig
from unmask.data.load import Dataset, load_data
from unmask.errors import UserError
from unmask.inference.estimate import estimate_mean
from unmask.inference.looks import Look, look_levels
from unmask.inference.verdict import Contest
from unmask.runs.files import read_json, write_json
from unmask.runs.layout import TRIALS
from unmask.runs.read import read_record
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import TrialResult

RECIPE = ClassifyRecipe(optimizer=OptimizerConfig(steps=2, batch_size=8, lr=3e-3))
CONFIG = tiny.comparison(
    finetune=RECIPE,
    draws=3,
    arms=("mrp", "scratch_same"),
    until="decided",
    keep="none",
    jobs=1,
)
SECONDS = 10.0


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data(tiny.DATA, labels=True, progress=False)


class _Table:
    """Trials that take ten seconds by the clock, and a difference between two arms with some spread."""

    def __init__(
        self, data: Dataset, out: Path, monkeypatch: pytest.MonkeyPatch, gain: float, slow: float = 1.0
    ) -> None:
        self.clock, self.data, self.out, self.slow, self.trained = _Clock(), data, out, slow, []
        self.reported: tuple[str, ...] = ()
        self.spread = np.random.default_rng(0).normal(0, 0.05, 50)
        self.judged = 0

        def contest(config: CompareConfig, *_: object) -> Contest:
            self.judged += 1
            return Contest(estimate_mean(gain + self.spread[: config.draws]))

        monkeypatch.setattr(module, "read_contest", contest)

    def take(self, within: str | None = None, needed: tuple[str, ...] = (), **changes: object) -> tuple[int, list[str]]:
        """Draws that were trained, and the words of the looks."""
        config = replace(CONFIG, within=within, **changes)
        seconds = config.seconds_within
        timer = None if seconds is None else Timer(seconds, self.clock, self.clock.now)
        work = Work(config, self.out, self.data)
        found, rows = take_looks(work, Choice({}, {}), needed or config.arms, self.train, 1, timer)
        self.reported = found.config.arms
        assert rows[-1].draws == found.config.draws
        return found.config.draws, [row.word for row in rows]

    def take_for(self, seconds: float, draws: int | None = None) -> int:
        """Draws that were trained without looks, in so many seconds."""
        config = replace(CONFIG, until="draws", draws=draws)
        timer = Timer(seconds, self.clock, self.clock.now)
        work = Work(config, self.out, self.data)
        return train_for_an_hour(work, config.arms, self.train, 1, timer).config.planned_draws

    def train(self, work: Work) -> None:
        for key in all_trials(work.config):
            file = TRIALS.path(self.out, key.name)
            if not file.exists():
                self.clock.now += SECONDS * self.slow
                self.trained.append(key.name)
                write_json(file, _trial(key))


def _trial(key: TrialKey) -> TrialResult:
    return TrialResult(**asdict(key), metrics={}, labeled_images=9, seconds=SECONDS, history=(), probe_strength=None)


def test_a_clear_gain_stops_at_the_first_look(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = _Table(data, tmp_path, monkeypatch, gain=0.6)
    assert table.take() == (FIRST, ["gain"])
    assert table.judged == 1
    assert "decided which weights to start from: gain" in look_notes(read_looks(tmp_path), 0.95)[-1]
    assert table.take() == (FIRST, ["gain"])  # resumed: it is decided, and stays so
    assert len(table.trained) == len(set(table.trained)) == 2 * FIRST


def test_what_cannot_be_decided_stops_early(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = _Table(data, tmp_path, monkeypatch, gain=-float(np.random.default_rng(0).normal(0, 0.05, 50)[:4].mean()))
    draws, words = table.take(smallest_effect=0.0001)
    assert (draws, words) == (FIRST, ["out of reach"])
    assert "out of reach" in " ".join(look_notes(read_looks(tmp_path), 0.95))


def test_nothing_is_given_up_before_the_draws_of_the_fixed_design(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few draws cannot tell their own spread from that of the pretrainings."""
    monkeypatch.setattr(module, "look", lambda *_, give_up: Look("out of reach" if give_up else "continue", 0.01, None))
    draws, words = _Table(data, tmp_path, monkeypatch, gain=0.02).take(draws=9)
    assert (draws, words) == (11, ["continue", "continue", "continue", "out of reach"])


def test_more_draws_are_judged_at_the_level_of_the_last_look(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look knows its own level and that of the plan's end."""
    seen: list[tuple[float, float]] = []

    def watch(contest: Contest, level: float, last: float, *_: object, give_up: bool) -> "_Continue":
        seen.append((level, last))
        return _Continue()

    monkeypatch.setattr(module, "look", watch)
    draws, _ = _Table(data, tmp_path, monkeypatch, gain=0.02).take()
    assert draws == FACTOR * 3
    assert seen[0] == pytest.approx(tuple(look_levels([FIRST, draws], [draws])))
    assert seen[0][0] < seen[0][1]
    assert seen[-1][0] == seen[-1][1]


RIVALS = {"arms": ("mrp", "scratch_same", "scratch_best"), "needed": ("mrp", "scratch_same")}
"""Scratch with another schedule is as good on validation images."""


@pytest.mark.parametrize(
    ("gain", "elsewhere", "word", "trained"),
    [(-0.6, False, "loss", 2), (-0.6, True, "loss", 3), (0.6, False, "gain", 3), (0.0, False, "equivalent", 3)],
)
def test_rivals_are_trained_where_something_could_hold_against_them(
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gain: float,
    elsewhere: bool,
    word: str,
    trained: int,
) -> None:
    """A loss against the best scratch arm is one whatever the rivals do; a gain, at any budget, is not."""
    table = _Table(data, tmp_path, monkeypatch, gain=gain)
    monkeypatch.setattr(rivals, "claims", lambda *_: elsewhere)
    how = RIVALS | {"smallest_effect": 0.5 if word == "equivalent" else 0.01}
    assert table.take(**how) == (FIRST, [word])
    assert len(table.trained) == trained * FIRST
    assert table.reported == RIVALS["arms"][:trained]
    assert table.take(**how) == (FIRST, [word])  # resumed
    assert len(table.trained) == trained * FIRST


def test_a_gain_that_rivals_take_back_is_none(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look asks the best arm first; where the gain holds, it asks the rivals."""
    table = _Table(data, tmp_path, monkeypatch, gain=0.0)
    monkeypatch.setattr(rivals, "claims", lambda *_: True)
    monkeypatch.setattr(
        module,
        "read_contest",
        lambda config, *_: Contest(
            estimate_mean(0.6 + table.spread[: config.draws]),
            (estimate_mean(table.spread[: config.draws]),) * ("scratch_best" in config.arms),
        ),
    )
    draws, words = table.take(**RIVALS)
    assert "gain" not in words
    assert len(table.trained) == len(set(table.trained)) == 3 * draws
    assert table.reported == RIVALS["arms"]


def test_looks_go_on_where_they_ended_and_spend_what_is_left(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More draws extend the plan; nothing is trained twice; levels are those of all looks together."""
    monkeypatch.setattr(module, "look", lambda *_, give_up: _Continue())
    table = _Table(data, tmp_path, monkeypatch, gain=0.02)
    first, _ = table.take()
    assert first == FACTOR * 3
    before = list(table.trained)
    second, words = table.take(draws=5)
    assert second == FACTOR * 5
    assert set(words) == {"continue"}
    assert len(table.trained) == len(set(table.trained)) == 2 * second
    assert table.trained[: len(before)] == before
    rows = read_looks(tmp_path)
    assert [row.level for row in rows] == pytest.approx(look_levels([row.draws for row in rows], [first, second]))


@pytest.mark.parametrize("slow", [1.0, 2.5])
def test_the_time_is_kept_on_a_loaded_machine(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: float
) -> None:
    """Trials may take two and a half times their own seconds: never more than 10 % over the time that was given."""
    monkeypatch.setattr(module, "look", lambda *_, give_up: _Continue())
    table = _Table(data, tmp_path, monkeypatch, gain=0.02, slow=slow)
    for key in all_trials(replace(CONFIG, draws=1)):
        write_json(TRIALS.path(tmp_path, key.name), _trial(key))
    table.take(within="600s", draws=20)
    assert 300 <= table.clock.now <= 660


def test_a_time_that_is_over_is_said(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = _Table(data, tmp_path, monkeypatch, gain=0.02)
    key = TrialKey(budget=3, draw=0, arm="mrp", pretraining=0)
    write_json(TRIALS.path(tmp_path, key.name), _trial(key))
    with pytest.raises(UserError, match="within = 1s: the time was over before the first look"):
        table.take(within="1s")
    for text in ("40", "m", "0m", "soon"):
        with pytest.raises(UserError, match="expected a time such as 90s, 40m or 2h"):
            replace(CONFIG, within=text)
    assert replace(CONFIG, within="1.5h").seconds_within == 5400


@pytest.mark.slow
def test_a_whole_comparison_in_looks(tmp_path: Path) -> None:
    """Its intervals are at the level of its last look, and its trials are those of the fixed design."""
    folder = compare(CONFIG, tmp_path / "looks", progress=False)
    summary = read_record(Summary, folder / "summary.json")
    assert summary.looks[0].draws == FIRST
    assert summary.settings.confidence == 1 - summary.looks[-1].level > 0.95
    assert any("label draws came in looks" in note for note in summary.notes)
    fixed = compare(replace(CONFIG, until="draws", draws=1), tmp_path / "fixed", progress=False)
    for file in (fixed / "trials").glob("*.json"):
        assert read_json(file)["metrics"] == read_json(folder / "trials" / file.name)["metrics"]


class _Continue:
    word, needs = "continue", None


def read_looks(out: Path) -> list[module.LookRow]:
    return list(read_record(module.LookRows, out / "looks.json").looks)


@pytest.mark.parametrize(
    ("seconds", "slow", "draws"), [(1000.0, 1.0, 9), (150.0, 1.0, 7), (150.0, 2.0, LEAST), (1.0, 1.0, LEAST)]
)
def test_the_clock_alone_ends_the_draws_of_an_hour(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, slow: float, draws: int
) -> None:
    """All nine where there is time, else those that fit (20 s each, doubled), at least five; and nobody looks."""
    monkeypatch.setattr(module, "look", None)
    table = _Table(data, tmp_path, monkeypatch, gain=0.6, slow=slow)
    assert table.take_for(seconds) == draws
    assert len(table.trained) == len(set(table.trained)) == 2 * draws
    assert table.clock.now < max(seconds, LEAST * 20 * slow + 1)
    assert table.take_for(1000.0) == 9  # resumed: the others, and nothing twice
    assert len(table.trained) == len(set(table.trained)) == 18


@pytest.mark.slow
@pytest.mark.parametrize("until", ["draws", "decided"])
def test_a_comparison_without_a_decision_trains_no_rivals(tmp_path: Path, until: str) -> None:
    """Networks that learn nothing in two steps: nothing holds against the best arm, so its rivals stay untrained."""
    config = replace(CONFIG, arms=(), tuning_draws=2, draws=2, compute_cap=1.0, until=until)
    folder = compare(config, tmp_path / "looks", progress=False)
    summary = read_record(Summary, folder / "summary.json")
    assert {look.word for look in summary.looks} <= {"continue", "out of reach", "loss"}
    assert bool(summary.looks) == (until == "decided")
    assert {one.verdict for one in summary.verdicts} <= {"undecided", "loss"}
    (note,) = [one for one in summary.notes if "not trained on the reported draws" in one]
    trained = {read_json(file)["arm"] for file in (folder / "trials").glob("*.json")}
    untrained = note.split(": ")[1].split(";")[0].split(", ")
    assert set(untrained) <= {"scratch_same", "scratch_best", "scratch_compute", "scratch_masked"}
    assert not trained & set(untrained)
    assert "mrp" in trained
    assert len(trained & {"scratch_same", "scratch_best", "scratch_compute", "scratch_masked"}) == 1
    before = {file: file.stat().st_mtime_ns for file in (folder / "trials").iterdir()}
    assert read_record(Summary, compare(config, folder, resume=True, progress=False) / "summary.json") == replace(
        summary, wall_seconds=read_record(Summary, folder / "summary.json").wall_seconds
    )
    assert {file: file.stat().st_mtime_ns for file in (folder / "trials").iterdir()} == before


def test_fewer_draws_than_planned_are_said() -> None:
    asked = replace(CONFIG, until="draws", draws=None)
    notes = hour_notes(asked, replace(asked, draws=5))
    assert [note.split(";")[0] for note in notes] == ["the first hour had time for 5 of 9 label draws"]
    assert hour_notes(asked, replace(asked, draws=9)) == []
    assert hour_notes(replace(asked, within="40m"), replace(asked, draws=5)) == []
    assert hour_notes(replace(asked, draws=12), replace(asked, draws=12)) == []
