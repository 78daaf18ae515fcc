"""`unmask compare`: pretrain, tune the baseline, fill the table, judge, report. Every finished piece is kept."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from unmask.audit.audit_runs import audit_draws
from unmask.comparison.arm_gallery import show_work
from unmask.comparison.budgets import fitting_budgets
from unmask.comparison.checks import check_before_reading, check_data, check_networks, refuse_fewer_draws
from unmask.comparison.chosen_labels import write_choices
from unmask.comparison.cost import with_pretrainings
from unmask.comparison.earlier_answers import answered_notes, earlier_answers
from unmask.comparison.earlier_defaults import as_kept, with_earlier_defaults
from unmask.comparison.forecast import forecast
from unmask.comparison.given_weights import with_given_weights
from unmask.comparison.half_split import halve_validation
from unmask.comparison.live_page import live_page
from unmask.comparison.looks import look_notes, refuse_too_little_time, take_looks
from unmask.comparison.notes import notes_of
from unmask.comparison.phases import pretrain_all, run_phase
from unmask.comparison.place import Place, foreseen_place, open_place
from unmask.comparison.pretrained_runs import as_pretrained, learning_notes
from unmask.comparison.progress import Progress
from unmask.comparison.rivals import with_rivals_of_claims, without_rivals
from unmask.comparison.starting_weights import require_same_weights
from unmask.comparison.step_timing import time_steps
from unmask.comparison.table import build_summary
from unmask.comparison.tasks import Work, newly_decided
from unmask.comparison.timed_draws import HOUR, Timer, hour_notes, train_for_an_hour
from unmask.comparison.tuning import Choice, choose_recipes, first_keys, following_keys, read_correct
from unmask.config import AuditConfig, CompareConfig
from unmask.config.cluster import LOCAL
from unmask.data.load import Dataset, load_data, name_given
from unmask.data.sources.torch_dataset import Given
from unmask.inference.verdict import shown_split
from unmask.profiling.forecast import Approve, Forecast, evaluated_images
from unmask.report.page import write_report
from unmask.runs.environment import describe_environment
from unmask.runs.files import write_json
from unmask.runs.layout import AUDIT_FOLDER, ENVIRONMENT_FILE, REPORT_FILE, SUMMARY_FILE, WALL_FILE
from unmask.runs.lock import remove_cut_off
from unmask.runs.look_records import LookRow
from unmask.runs.read import read_config, read_optional, write_config
from unmask.runs.records import DataFacts
from unmask.runs.trial_records import WallTime
from unmask.training.launch import require_one_process
from unmask.training.open_run import decided, open_run


def compare(
    config: CompareConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | Given | None = None,
    approve: Approve | None = None,
    watch: bool = False,
) -> Path:
    """Run the comparison and return its folder, with summary.json and report.html in it; see `unmask.compare`."""
    require_one_process("compare")
    started = time.monotonic()
    config, found = with_given_weights(config, out, resume=resume)
    check_before_reading(config)
    out = out if config.cluster.on == LOCAL else out.absolute()
    config = with_earlier_defaults(config, out, resume=resume)
    how = {"resume": resume, "overwrite": overwrite, "progress": progress}
    where = open_place(config.cluster, out, config.jobs, config.pretrain_processes)
    with where as place, open_run(config, out, dataset, labels=True, **how) as opened:
        fitting, shrunk = fitting_budgets(opened.config, opened.data)
        work, of_runs = _prepare(fitting, opened.data, out, place.pretrains_in_workers)
        of_runs = [*found, *shrunk, *of_runs]
        config = work.config
        opened = replace(opened, config=as_kept(fitting, config, out, resume=resume))
        refuse_fewer_draws(config, out, resume=resume)
        times = None if approve is None else time_steps(work, place.jobs, place.try_out)
        if approve is not None and times is not None:
            refuse_too_little_time(work, place.jobs, times)
            approve(forecast(work, place.jobs, times))
        if opened.claim() and isinstance(before := read_config(out), CompareConfig) and before.draws != config.draws:
            write_config(out, replace(before, draws=config.draws))  # it continues with more draws than it started with
        require_same_weights(config, out)
        opened.tell([*of_runs, *[f"open {out / REPORT_FILE} in a browser to watch"] * watch])
        with (
            live_page(out, wanted=watch) as listen,
            _clock(out, started) as spent,
            closing(Progress(work, place.jobs, times, show=progress, listen=listen)) as line,
        ):
            _work_through(work, place, of_runs, line, spent, started)
        remove_cut_off(out)  # of workers that were killed
    write_report([out])
    return out


def _work_through(
    work: Work, place: Place, of_runs: list[str], line: Progress, spent: Callable[[], float], started: float
) -> None:
    """Everything from the first pretraining to the summary and the gallery."""
    asked = work.config
    work, choice, notes = _tuned(work, place, of_runs, line)
    reported = work.config.arms
    work, looks = _fill(work, choice, choice.needed(asked), place, line, started)
    if place.notes():
        _describe(work, choice, notes, place)  # workers may have joined since
    notes += [*place.notes(), *notes_of(work.config, work.data, choice, work.out, reported)]
    notes += hour_notes(asked, work.config)
    draws = work.config.planned_draws
    answered = earlier_answers(work.out, draws)
    notes += answered_notes(answered, draws, looks, asked.confidence)
    if looks:
        notes += look_notes(looks, asked.confidence)
        work = replace(work, config=replace(work.config, confidence=1 - looks[-1].level))
    summary = build_summary(work.config, work.out, work.data, choice, notes=notes, jobs=place.jobs)
    write_json(work.out / SUMMARY_FILE, replace(summary, looks=looks, answered=answered, wall_seconds=spent()))
    show_work(work, summary)


def forecast_comparison(config: CompareConfig, out: Path, *, dataset: Dataset | Given | None = None) -> Forecast:
    """What `compare` would do with these arguments, with its duration and memory. Nothing is written.

    Raises:
        UserError: bad input.
    """
    require_one_process("compare")
    config, _ = with_given_weights(config, out, resume=False)
    config = replace(config, data=name_given(config.data, dataset))
    data = load_data(config.data, labels=True, progress=False, given=dataset)
    config = decided(config, data)
    with foreseen_place(config, out) as (jobs, apart, try_out):
        work, _ = _prepare(fitting_budgets(config, data)[0], data, out, apart)
        return forecast(work, jobs, time_steps(work, jobs, try_out))


def _prepare(config: CompareConfig, data: Dataset, out: Path, apart: bool) -> tuple[Work, list[str]]:
    """The checked work of a comparison, and notes on its given weights."""
    if config.evaluate_on == "val":
        data = halve_validation(data, config.seed)
    config, notes = as_pretrained(config, data)
    check_data(config, data)
    config = with_pretrainings(
        config, pretrain_images=len(data.pretrain), sizes=data.class_sizes, evaluated=evaluated_images(data)
    )
    notes += check_networks(config, data)
    config = config if config.cluster.on == LOCAL else _absolute(config)
    return Work(config, out, data, apart), notes


def _absolute(config: CompareConfig) -> CompareConfig:
    """The same with absolute paths of weights and runs, for workers in other folders and on other machines."""
    given = config.given
    if given is not None and Path(given).exists():
        given = str(Path(given).absolute())
    return replace(config, given=given, pretrained=tuple(run.absolute() for run in config.pretrained))


@contextmanager
def _clock(out: Path, started: float) -> Iterator[Callable[[], float]]:
    """Give a function that returns the seconds since `started` plus those of earlier sessions, kept in wall.json.

    An interrupted or failed session counts; one ended by SIGKILL does not.
    """
    written = read_optional(WallTime, out / WALL_FILE)
    before = 0.0 if written is None else written.wall_seconds

    def spent() -> float:
        return before + time.monotonic() - started

    try:
        yield spent
    finally:
        write_json(out / WALL_FILE, WallTime(wall_seconds=spent()))


def _tuned(work: Work, place: Place, of_runs: list[str], line: Progress) -> tuple[Work, Choice, list[str]]:
    """Pretrain and tune, as far as not yet done.

    Returns the work on the reported arms, the choices, and notes on data and pretrainings.
    """
    pretrain_all(work, place, line)
    write_choices(work)
    choice = _tune(work, place, line)
    work = replace(work, config=replace(work.config, arms=choice.reported(work.config)))
    notes = [*work.data.notes, *of_runs, *learning_notes(work.encoders)]
    _describe(work, choice, notes, place)
    return work, choice, notes


def _describe(work: Work, choice: Choice, notes: list[str], place: Place) -> None:
    """environment.json."""
    facts = describe_environment(
        jobs=place.jobs,
        data=DataFacts(fingerprint=work.data.fingerprint),
        notes=(*notes, *place.notes(), *notes_of(work.config, work.data, choice, work.out)),
        bad_files=work.data.bad_files,
    )
    write_json(work.out / ENVIRONMENT_FILE, facts)


def _fill(
    work: Work, choice: Choice, needed: tuple[str, ...], place: Place, line: Progress, started: float
) -> tuple[Work, tuple[LookRow, ...]]:
    """Train every trial, all together or in looks, and audit; returns the work on what was trained, and the looks."""
    config, trained = work.config, 0

    def train(ahead: Work) -> None:
        """Train the trials of so much work; its phase is the last one if no look or draw may follow."""
        nonlocal trained
        write_choices(ahead)
        trials = ahead.trials(choice.recipes)
        trained += len(trials)
        final = ahead.config.arms == config.arms and not (config.in_looks or config.in_an_hour)
        run_phase("trials", trials, work.data, place, line, final=final)

    looks: tuple[LookRow, ...] = ()
    if config.in_looks:
        seconds = config.seconds_within
        timer = None if seconds is None else Timer(seconds, time.monotonic, started)
        work, looks = take_looks(work, choice, needed, train, place.jobs, timer)
    else:
        if config.in_an_hour:
            work = train_for_an_hour(work, needed, train, place.jobs, Timer(HOUR, time.monotonic, started))
        else:
            train(without_rivals(work, needed))
        work = with_rivals_of_claims(work, choice, needed, 1 - config.confidence, train)
    if work.needs_audit(again=trained > 0):
        _audit(work, line)
    return work, looks


def _tune(work: Work, place: Place, line: Progress) -> Choice:
    """Try every alternative on the tuning draws, and choose on validation images."""
    config, out, data = work.config, work.out, work.data
    assert data.val is not None
    assert data.task is not None
    first = work.tuning_trials(first_keys(config))
    run_phase("tuning", first, data, place, line, final=False, joining=newly_decided(work))
    recipes = choose_recipes(config, out)
    run_phase("tuning", work.tuning_trials(following_keys(config, recipes)), data, place, line)
    correct = read_correct(config, out, recipes, data.task, data.val.labels, data.groups_of(data.val))
    return Choice(recipes, correct)


def _audit(work: Work, line: Progress) -> None:
    """Audit the kept networks."""
    draws = [{key.arm: file for key, file in draw.items()} for draw in work.audited()]
    look, networks = AuditConfig(seed=work.config.seed), sum(map(len, draws)) + 1
    line.begin_audit(networks)
    out = work.out / AUDIT_FOLDER
    shown = shown_split(look.split, work.config.evaluate_on)
    audit_draws(draws, work.data, work.config.data, out, look, lambda share: line.finished(share * networks), shown)
