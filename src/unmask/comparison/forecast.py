"""What a comparison will do, its duration and its memory: from its tasks and a few measured steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from unmask.comparison.cost import foreseen
from unmask.comparison.pieces import Task, config_of
from unmask.comparison.tasks import Work
from unmask.comparison.timed_draws import HOUR, LEAST
from unmask.comparison.tuning import first_keys, following_keys
from unmask.config import ARMS, AuditConfig, CompareConfig, PretrainConfig
from unmask.config.budget import labeled_count
from unmask.config.cluster import LOCAL
from unmask.data.load import Dataset
from unmask.profiling.forecast import (
    Forecast,
    Shorter,
    device_name,
    evaluated_images,
    labeled_images,
    rounded,
    seconds_of_training,
)
from unmask.profiling.memory import peak_mib
from unmask.profiling.step_times import StepTimes, fitted_images
from unmask.training.plan import plan_steps

START = 5.0
"""Approximate seconds to start worker processes."""


@dataclass(frozen=True)
class Ahead:
    """The unfinished tasks of a comparison, as far as they are known before it starts."""

    pretrainings: list[Task]
    early: list[Task]
    """Those of the other tasks that may run beside a pretraining."""
    first: list[Task]
    """Tuning trials by which arms choose their recipes."""
    following: list[Task]
    """Tuning trials that wait until another arm has chosen its recipe."""
    trials: list[Task]
    audited: int
    """Networks to audit, including its random one; 0 without an audit, or if it is done."""
    answers: int
    """Images times forward passes for each of them."""
    apart: bool
    """Whether every pretraining is a piece for a worker."""
    processes: int = 1
    """Processes per pretraining."""

    @classmethod
    def of(cls, work: Work, *, rivals: bool = False) -> "Ahead":
        """Trials count for the arms of `foreseen`, with the longest of the recipes from which they choose."""
        arms, recipes = foreseen(work.config, rivals=rivals)
        reported = replace(work, config=replace(work.config, arms=arms))
        trials = reported.trials(recipes)
        audited = sum(map(len, reported.audited())) + 1 if reported.needs_audit(again=bool(trials)) else 0
        return cls(
            pretrainings=work.pretrainings(),
            early=work.sure_trials(pretrained=False),
            first=work.tuning_trials(first_keys(work.config)),
            following=work.tuning_trials(following_keys(work.config, recipes)),
            trials=trials,
            audited=audited,
            answers=answers_of(work.data),
            apart=work.pretrains_in_workers,
            processes=work.config.pretrain_processes,
        )

    @property
    def tuning(self) -> list[Task]:
        """All of it."""
        return [*self.first, *self.following]

    def pretrains_in_workers(self, jobs: int) -> bool:
        """Whether each pretraining has its own process with one thread: there are many, or trainings run elsewhere."""
        return self.apart or len(self.pretrainings) >= max(jobs, 2)

    def audit_seconds(self, times: StepTimes) -> float:
        """How long the audit takes."""
        return self.audited * self.answers * times.audited

    def seconds(self, times: StepTimes, data: Dataset, jobs: int) -> float:
        """How long everything takes together."""
        return self._training_seconds(times, data, jobs) + self.audit_seconds(times)

    def _training_seconds(self, times: StepTimes, data: Dataset, jobs: int) -> float:
        pretraining = [seconds_of(task, times, data) for task in self.pretrainings]
        others = [seconds_of(task, times, data) for task in (*self.tuning, *self.trials)]
        if self.pretrains_in_workers(jobs):
            return _side_by_side([*pretraining, *others], jobs, self._longest_chain(times, data))
        helpers = jobs // 2 if pretraining and self.early else 0
        beside = min(helpers * sum(pretraining), sum(seconds_of(task, times, data) for task in self.early))
        return sum(pretraining) + max(0.0, _side_by_side(others, jobs) - beside / jobs)

    def _longest_chain(self, times: StepTimes, data: Dataset) -> float:
        """A pretraining, the tuning that waits for it, the tuning that waits for its recipe, and a trial: one after
        another, whatever the number of workers. The processes of a pretraining share its work."""
        rounds = [
            max((seconds_of(task, times, data) for task in tasks), default=0.0)
            for tasks in (self.pretrainings, self.first, self.following, self.trials)
        ]
        return sum(rounds) - rounds[0] * (1 - 1 / self.processes)


def forecast(work: Work, jobs: int, times: StepTimes) -> Forecast:
    """Forecast a comparison from the time of its steps."""
    config, data, ahead = work.config, work.data, Ahead.of(work)
    seconds, longest = (_in_an_hour(work, times, jobs, rivals=rivals) for rivals in (False, True))
    return Forecast(
        recipe=config.chosen.recipe_name if config.chosen else None,
        reason=config.chosen.because if config.chosen else "",
        encoder=config.encoder.encoder,
        image_size=data.format.size,
        device=_device(config, times),
        jobs=jobs,
        trainings={
            "pretrainings": len(ahead.pretrainings),
            "tuning trials": len(ahead.tuning),
            "trials": len(ahead.trials),
            "networks to audit": ahead.audited,
        },
        step_seconds=_step_seconds(config, data, times),
        seconds=round(seconds, 1),
        seconds_with_rivals=round(longest, 1),
        peak_mib=_peak_mib(ahead, times, jobs),
        shorter=tuple(_shorter(work, times, jobs, seconds)),
    )


def _device(config: CompareConfig, times: StepTimes) -> str:
    """The hardware on which times were measured; other workers may differ."""
    if config.cluster.on == LOCAL:
        return device_name()
    where = f"on one of them, {times.on}" if times.on else f"here, on {device_name()}"
    return f"the workers of {config.cluster.on} (times measured {where})"


def _in_an_hour(work: Work, times: StepTimes, jobs: int, *, rivals: bool) -> float:
    """Seconds of a comparison without a given number of draws, which ends with the draw in which an hour is over."""

    def seconds(draws: int | None) -> float:
        asked = replace(work, config=replace(work.config, draws=draws))
        return Ahead.of(asked, rivals=rivals).seconds(times, work.data, jobs)

    whole = seconds(work.config.draws)
    if not work.config.in_an_hour or whole <= HOUR:
        return whole
    return min(whole, max(HOUR, seconds(LEAST)))


def seconds_of(task: Task, times: StepTimes, data: Dataset) -> float:
    """How long a task takes on its own."""
    config = config_of(task)
    assert config is not None
    if isinstance(config, PretrainConfig) or not is_probe(task):
        return seconds_of_training(config, data, times)
    labeled = labeled_images(config, data)
    seen = labeled + evaluated_images(data) + min(2048, len(data.pretrain))
    return seen * times.inference + fitted_images(labeled, data) * times.probe


def answers_of(data: Dataset) -> int:
    """Approximate number of single-image forward passes of an audit per network.

    The search for sufficient views may use this many per image, and uses about half of them; the other measures use
    about the other half.
    """
    look = AuditConfig()
    return min(look.images, len(data.tests.get(look.split, ()))) * look.evaluations


def is_probe(task: Task) -> bool:
    """Whether a task fits a linear probe: the key of its trial says so."""
    return any(ARMS[arm].frozen for arm in (getattr(one, "arm", None) for one in task[1]) if arm is not None)


def _side_by_side(seconds: Sequence[float], jobs: int, chain: float = 0.0) -> float:
    """How long tasks take in this many processes: the mean share of each, and never less than the longest task or chain
    of tasks that wait for each other."""
    if jobs == 1 or not seconds:
        return sum(seconds)
    return START + max(sum(seconds) / jobs, chain or max(seconds))


def _step_seconds(config: CompareConfig, data: Dataset, times: StepTimes) -> dict[str, float]:
    labeled = labeled_count(config.budgets[0], data.class_sizes)
    batches = {
        "pretraining step": times.pretraining * plan_steps(config.pretrain.optimizer, len(data.pretrain)).batch_size,
        "fine-tuning step": times.training * plan_steps(config.finetune.optimizer, labeled).batch_size,
        "evaluation of an image": times.inference,
    }
    return rounded(batches)


def _peak_mib(ahead: Ahead, times: StepTimes, jobs: int) -> int:
    """Memory of this process and its workers together."""
    if jobs == 1:
        return round(max(peak_mib(), times.held_mib + max(times.pretraining_mib, times.training_mib)))
    training = times.worker_mib + times.training_mib
    beside = times.pretraining_mib + jobs // 2 * training
    if ahead.pretrains_in_workers(jobs):
        beside = jobs * (times.worker_mib + max(times.pretraining_mib, times.training_mib))
    return round(max(peak_mib(), times.held_mib + max(beside, jobs * training)))


def _shorter(work: Work, times: StepTimes, jobs: int, seconds: float) -> Iterator[Shorter]:
    """Settings that a user may change, each alone, if it saves at least a tenth."""
    config = work.config
    fine, pre = config.finetune.optimizer, plan_steps(config.pretrain.optimizer, len(work.data.pretrain)).total
    fewer = max(2, config.planned_draws // 2)
    changes = {
        f"budgets=({config.budgets[0]},)": replace(config, budgets=config.budgets[:1]),
        f"draws={fewer}": replace(config, draws=fewer),
        f"pretrain.steps={max(1, pre // 2)}": replace(
            config, pretrain=replace(config.pretrain, optimizer=config.pretrain.optimizer.for_steps(pre // 2 or 1))
        ),
    }
    if fine.steps is not None and fine.steps > 1:
        half = fine.steps // 2
        changes[f"finetune.steps={half}"] = replace(
            config, finetune=replace(config.finetune, optimizer=fine.for_steps(half))
        )
    for setting, other in changes.items():
        found = Ahead.of(replace(work, config=other)).seconds(times, work.data, jobs)
        if found < 0.9 * seconds:
            yield Shorter(setting=setting, seconds=round(found, 1))
