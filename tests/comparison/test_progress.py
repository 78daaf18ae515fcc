"""The one line of a comparison: time left over all of it, from the forecast and then from what was measured."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

import tiny
from unmask.comparison.forecast import Ahead, seconds_of
from unmask.comparison.phases import run_phase
from unmask.comparison.pieces import Task
from unmask.comparison.progress import Progress
from unmask.comparison.run import compare
from unmask.comparison.tasks import Work
from unmask.config import ClassifyRecipe, OptimizerConfig
from unmask.data.load import Dataset, load_data
from unmask.profiling.step_times import StepTimes

CONFIG = tiny.comparison(
    pretrain=tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=10, batch_size=20),
    finetune=ClassifyRecipe(optimizer=OptimizerConfig(steps=6, batch_size=8), head_steps=2),
    arms=("mrp", "scratch_same"),
    given=None,
    keep="none",
    jobs=1,
)
TIMES = StepTimes(pretraining=1.0, training=1.0, head=0.1, inference=0.01)


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Of a comparison that has not begun."""
    return Work(CONFIG, tmp_path / "run", load_data(tiny.DATA, labels=True, progress=False))


def _seconds(work: Work) -> dict[str, float]:
    ahead = Ahead.of(work)
    parts = {"pretraining": ahead.pretrainings, "tuning": ahead.tuning, "trials": ahead.trials}
    return {name: sum(seconds_of(task, TIMES, work.data) for task in tasks) for name, tasks in parts.items()}


def test_time_left_is_of_everything(work: Work) -> None:
    """Before anything is done the forecast; half a pretraining later less by that much; nothing at the end."""
    clock, each = _Clock(), _seconds(work)
    line = Progress(work, 1, TIMES, show=False, clock=clock)
    assert line.seconds_left() == pytest.approx(sum(each.values()))
    ahead = Ahead.of(work)
    line.begin("pretraining", ahead.pretrainings)
    clock.now = each["pretraining"] / 2
    line.finished(0.5)
    assert line.seconds_left() == pytest.approx(sum(each.values()) - each["pretraining"] / 2)
    assert line.share == pytest.approx(each["pretraining"] / 2 / sum(each.values()))
    line.finished(1)
    for phase, tasks in (("tuning", ahead.tuning), ("trials", ahead.trials)):
        line.begin(phase, tasks)
        line.finished(len(tasks))
    assert (line.share, line.seconds_left()) == (1, 0)


def test_measured_durations_correct_the_forecast(work: Work) -> None:
    """Everything takes twice as long: after half of it time left is nearly twice what was foreseen."""
    clock, each = _Clock(), _seconds(work)
    line = Progress(work, 1, TIMES, show=False, clock=clock)
    line.begin("pretraining", Ahead.of(work).pretrainings)
    clock.now = 2 * each["pretraining"]
    line.finished(1)
    left, foreseen = line.seconds_left(), each["tuning"] + each["trials"]
    assert left is not None
    assert 1.5 * foreseen < left < 2 * foreseen


def test_without_a_forecast_the_first_durations_count(work: Work) -> None:
    """Unknown at first; then in proportion to the work that is left."""
    clock = _Clock()
    line = Progress(work, 1, None, show=False, clock=clock)
    assert line.seconds_left() is None
    line.begin("pretraining", Ahead.of(work).pretrainings)
    clock.now = 100.0
    line.finished(1)
    assert line.seconds_left() == pytest.approx(100.0 * (1 - line.share) / line.share)


@pytest.mark.case("a comparison was at 100%, and its audit took twenty minutes more")
def test_the_audit_counts(work: Work) -> None:
    """The share is not one before it; its networks move the line as trainings do."""
    work = replace(work, config=replace(work.config, audit=True))
    times = replace(TIMES, audited=0.01)
    ahead, line = Ahead.of(work), Progress(work, 1, times, show=False, clock=_Clock())
    for phase, tasks in (("pretraining", ahead.pretrainings), ("tuning", ahead.tuning), ("trials", ahead.trials)):
        line.begin(phase, tasks)
        line.finished(len(tasks))
    trained = sum(_seconds(work).values())
    assert line.share == pytest.approx(trained / (trained + ahead.audit_seconds(times)))
    line.begin_audit(ahead.audited)
    line.finished(ahead.audited / 2)
    assert line.seconds_left() is not None
    assert line.share == pytest.approx(1 - ahead.audit_seconds(times) / 2 / (trained + ahead.audit_seconds(times)))
    line.finished(ahead.audited)
    assert line.share == 1


def test_tasks_that_follow_within_a_phase_are_counted_once(work: Work) -> None:
    """The share of what is done never falls below what was, and ends at one."""
    ahead = Ahead.of(work)
    line = Progress(work, 1, TIMES, show=False, clock=_Clock())
    first, rest = ahead.trials[:1], ahead.trials[1:]
    shares = []
    for phase, tasks, final in (
        ("pretraining", ahead.pretrainings, True),
        ("tuning", ahead.tuning, True),
        ("trials", first, False),
        ("trials", rest, True),
    ):
        line.begin(phase, tasks, final=final)
        for done in range(len(tasks)):
            line.finished(done + 1)
            shares.append(line.share)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_tasks_that_join_a_phase_are_counted(work: Work) -> None:
    """They are more of it, and the share is one when they are done, too."""
    ahead = Ahead.of(work)
    heard: list[str] = []
    line = Progress(work, 4, TIMES, show=False, listen=heard.append, clock=_Clock())
    for phase, tasks in (("pretraining", ahead.pretrainings), ("trials", ahead.trials)):
        line.begin(phase, tasks)
        line.finished(len(tasks))
    line.begin("tuning", ahead.tuning[:1])
    line.join(ahead.tuning[1:])
    line.finished(1)
    assert heard[-1].startswith(f"{line.share:.0%}: tuning 1 of {len(ahead.tuning)} on 4 workers")
    assert line.share < 1
    line.finished(len(ahead.tuning))
    assert line.share == pytest.approx(1)


class _Place:
    """Does tasks in order, in no time."""

    jobs = 1

    def run(self, tasks: Sequence[Task], _: Dataset) -> Iterator[tuple[int, None]]:
        """Those that are appended, too."""
        for index, _ in enumerate(tasks):
            yield index, None

    def notes(self) -> list[str]:
        """None."""
        return []


@pytest.mark.case(
    "after all of its long pretrainings a comparison was at 5%, and said that nothing but hours were left"
)
def test_a_long_task_is_more_of_the_work_than_a_short_one(work: Work) -> None:
    """Trials that join long pretrainings are neither as much as they nor counted in their own phase again."""
    times = replace(TIMES, pretraining=100.0)
    ahead, heard = Ahead.of(work), list[float]()
    line = Progress(work, 1, times, show=False, listen=lambda _: heard.append(line.share), clock=_Clock())
    waiting = [*ahead.tuning[:-1]]
    joining = iter([waiting])
    run_phase("pretraining", ahead.pretrainings, work.data, _Place(), line, joining=lambda: next(joining, []))
    parts = [sum(seconds_of(task, times, work.data) for task in tasks) for tasks in (ahead.pretrainings, waiting)]
    total = sum(seconds_of(task, times, work.data) for task in [*ahead.pretrainings, *ahead.tuning, *ahead.trials])
    assert line.share == pytest.approx(sum(parts) / total)
    assert heard[1] == pytest.approx(parts[0] / total)
    run_phase("tuning", ahead.tuning[-1:], work.data, _Place(), line)
    run_phase("trials", ahead.trials, work.data, _Place(), line)
    assert line.share == pytest.approx(1)
    assert heard == sorted(heard)


def test_a_terminal_sees_one_line_and_a_file_few(work: Work) -> None:
    """On a terminal the line changes at most twice a second; elsewhere there are about ten of them."""
    tasks = Ahead.of(work).pretrainings
    for stream, lively in ((_Terminal(), True), (StringIO(), False)):
        clock = _Clock()
        line = Progress(work, 1, TIMES, show=True, stream=stream, clock=clock)
        line.begin("pretraining", tasks)
        for step in range(1000):
            clock.now += 0.01
            line.finished(step / 1000)
        line.close()
        said = stream.getvalue()
        states = [state for state in said.replace("\r", "\n").splitlines() if "%" in state]
        assert ("\r" in said) == lively
        assert 3 < len(states) < 25
        assert "pretraining 0 of 1" in states[-1]
        assert "left" in states[-1]


@pytest.mark.slow
@pytest.mark.parametrize("show", [True, False])
def test_a_comparison_shows_only_its_own_line(show: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No bar of a phase beside it; nothing at all where nothing is to be shown."""
    compare(CONFIG, tmp_path / "run", progress=show)
    said = capsys.readouterr().err
    assert "step/s" not in said
    assert "training/s" not in said
    assert ("100%: trials" in said) == show
    assert bool(said) == show


def test_a_note_is_printed_once(work: Work) -> None:
    """When it comes up; not where nothing is shown."""
    stream = StringIO()
    line = Progress(work, 1, TIMES, show=True, stream=stream)
    for notes in ([], ["left out: a"], ["left out: a", "two types"]):
        line.note(notes)
    assert stream.getvalue().splitlines() == ["note: left out: a", "note: two types"]
    silent = StringIO()
    Progress(work, 1, TIMES, show=False, stream=silent).note(["a"])
    assert not silent.getvalue()
