"""What a comparison will do, how long that takes, and how much memory: from its tasks and a few measured steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from unmask.comparison.cost import foreseen
from unmask.comparison.memory import peak_mib
from unmask.comparison.step_times import StepTimes, measure_steps
from unmask.comparison.tasks import Work
from unmask.comparison.tuning import first_keys, following_keys
from unmask.comparison.workers import Task
from unmask.config import ARMS, ClassifyConfig, CompareConfig, PretrainConfig
from unmask.config.budget import labeled_count
from unmask.data.load import Dataset
from unmask.training.plan import plan_steps
from unmask.wording import in_words

LONG = 2 * 3600
"""Seconds beyond which a comparison is not begun without being asked for twice."""
START = 5.0
"""Seconds in which worker processes come up, about."""


@dataclass(frozen=True, kw_only=True)
class Shorter:
    """A setting that shortens a comparison, and what it takes with that alone."""

    setting: str
    """As a keyword argument: draws=2, pretrain.steps=750."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The plan of a comparison, before it begins: `unmask compare --plan` prints it as JSON."""

    recipe: str | None
    """The recipe that gave the defaults; None for a configuration made by hand."""
    reason: str
    encoder: str
    image_size: tuple[int, int]
    device: str
    jobs: int
    trainings: dict[str, int]
    """How many pretrainings, tuning trials and trials are still to do."""
    step_seconds: dict[str, float]
    """Measured: of a step of pretraining and of training on labels, and of a probe."""
    seconds: float
    """Of everything, about."""
    peak_mib: int
    """Memory at the highest point, of all processes, about."""
    shorter: tuple[Shorter, ...]

    @property
    def is_long(self) -> bool:
        """Whether it is to be asked for twice."""
        return self.seconds > LONG

    def lines(self) -> list[str]:
        """What a user is told before the work begins."""
        counts = ", ".join(f"{count} {name}" for name, count in self.trainings.items() if count)
        steps = ", ".join(f"{name} {seconds:.2g} s" for name, seconds in self.step_seconds.items())
        height, width = self.image_size
        network = f"{self.encoder} at {height}x{width} on {self.device}"
        told = [f"plan: recipe {self.recipe}: {self.reason}"] if self.recipe else []
        told += [
            f"plan: {network}, {self.jobs} at once: {counts or 'nothing is left to train'}",
            f"plan: {in_words(self.seconds)}, up to {self.peak_mib / 1024:.1f} GiB of memory (measured: {steps})",
        ]
        return told + [f"plan: with `{one.setting}` {in_words(one.seconds)}" for one in self.shorter if self.is_long]


@dataclass(frozen=True)
class Ahead:
    """The tasks of a comparison that are not done, as far as they are known before it begins."""

    pretrainings: list[Task]
    early: list[Task]
    """Those of the others that may run beside a pretraining."""
    tuning: list[Task]
    trials: list[Task]

    @classmethod
    def of(cls, work: Work) -> "Ahead":
        """Trials count for the arms of `foreseen`, with the longest of the recipes among which they choose."""
        arms, recipes = foreseen(work.config)
        tuning = work.tuning_trials([*first_keys(work.config), *following_keys(work.config, recipes)])
        reported = replace(work, config=replace(work.config, arms=arms))
        return cls(work.pretrainings(), work.early_trials(), tuning, reported.trials(recipes))

    def pretrains_in_workers(self, jobs: int) -> bool:
        """Whether pretrainings are so many that each has a process, and one thread."""
        return len(self.pretrainings) >= max(jobs, 2)

    def seconds(self, times: StepTimes, data: Dataset, jobs: int) -> float:
        """How long they take together."""
        pretraining = [seconds_of(task, times, data) for task in self.pretrainings]
        others = [seconds_of(task, times, data) for task in (*self.tuning, *self.trials)]
        if self.pretrains_in_workers(jobs):
            return _side_by_side([*pretraining, *others], jobs)
        helpers = jobs // 2 if pretraining and self.early else 0
        beside = min(helpers * sum(pretraining), sum(seconds_of(task, times, data) for task in self.early))
        return sum(pretraining) + max(0.0, _side_by_side(others, jobs) - beside / jobs)


def time_steps(work: Work, jobs: int) -> StepTimes:
    """Take a few steps of each kind that is ahead, with the threads that it will have."""
    ahead = Ahead.of(work)
    pretraining = [one for one in map(_config_of, ahead.pretrainings) if isinstance(one, PretrainConfig)]
    on_labels = [*ahead.tuning, *ahead.trials]
    any_trial = [one for one in map(_config_of, on_labels) if isinstance(one, ClassifyConfig)]
    training = [one for one, task in zip(any_trial, on_labels, strict=True) if not _is_probe(task)]
    return measure_steps(
        work.data,
        pretraining=next(iter(pretraining), None),
        training=max(training, key=lambda one: one.recipe.head_steps, default=None),
        probe=next(iter(any_trial), None),
        threads=1 if ahead.pretrains_in_workers(jobs) else max(1, torch.get_num_threads() - jobs // 2),
    )


def forecast(work: Work, jobs: int, times: StepTimes) -> Forecast:
    """Foresee a comparison from the time of its steps.

    Args:
        work: of the comparison.
        jobs: trainings at once.
        times: measured by `time_steps`.
    """
    config, data, ahead = work.config, work.data, Ahead.of(work)
    seconds = ahead.seconds(times, data, jobs)
    return Forecast(
        recipe=config.chosen.recipe_name if config.chosen else None,
        reason=config.chosen.because if config.chosen else "",
        encoder=config.encoder.encoder,
        image_size=data.format.size,
        device=_device(),
        jobs=jobs,
        trainings={
            "pretrainings": len(ahead.pretrainings),
            "tuning trials": len(ahead.tuning),
            "trials": len(ahead.trials),
        },
        step_seconds=_step_seconds(config, data, times),
        seconds=round(seconds, 1),
        peak_mib=_peak_mib(ahead, times, jobs),
        shorter=tuple(_shorter(work, times, jobs, seconds)),
    )


def seconds_of(task: Task, times: StepTimes, data: Dataset) -> float:
    """How long a task takes, alone."""
    config = _config_of(task)
    if isinstance(config, PretrainConfig):
        total, _, batch = plan_steps(config.recipe.optimizer, len(data.pretrain))
        return total * batch * times.pretraining
    labeled = _labeled(config, data)
    looked_at = sum(len(images) for images in (data.val, *data.tests.values()) if images is not None)
    if _is_probe(task):
        return (labeled + looked_at + min(2048, len(data.pretrain))) * times.inference + labeled * times.probe
    total, _, batch = plan_steps(config.recipe.optimizer, labeled)
    return batch * (total * times.training + config.recipe.head_steps * times.head) + looked_at * times.inference


def _config_of(task: Task) -> PretrainConfig | ClassifyConfig:
    return next(one for one in task[1] if isinstance(one, PretrainConfig | ClassifyConfig))


def _is_probe(task: Task) -> bool:
    """Whether a task fits a linear probe: the key of its trial says so."""
    return any(ARMS[arm].frozen for arm in (getattr(one, "arm", None) for one in task[1]) if arm is not None)


def _labeled(config: ClassifyConfig, data: Dataset) -> int:
    """Labeled images of a training."""
    everything = len(data.train) if data.train is not None else 0
    return everything if config.budget is None else min(everything, labeled_count(config.budget, data.class_sizes))


def _side_by_side(seconds: Sequence[float], jobs: int) -> float:
    """How long tasks take in so many processes: the mean share of each, and never less than the longest one."""
    if jobs == 1 or not seconds:
        return sum(seconds)
    return START + max(sum(seconds) / jobs, *seconds)


def _step_seconds(config: CompareConfig, data: Dataset, times: StepTimes) -> dict[str, float]:
    labeled = labeled_count(config.budgets[0], data.class_sizes)
    batches = {
        "pretraining step": times.pretraining * plan_steps(config.pretrain.optimizer, len(data.pretrain)).batch_size,
        "fine-tuning step": times.training * plan_steps(config.finetune.optimizer, labeled).batch_size,
        "evaluation of an image": times.inference,
    }
    return {name: float(f"{seconds:.3g}") for name, seconds in batches.items() if seconds}


def _peak_mib(ahead: Ahead, times: StepTimes, jobs: int) -> int:
    """Of this process and its workers together."""
    if jobs == 1:
        return round(max(peak_mib(), times.held_mib + max(times.pretraining_mib, times.training_mib)))
    training = times.worker_mib + times.training_mib
    beside = times.pretraining_mib + jobs // 2 * training
    if ahead.pretrains_in_workers(jobs):
        beside = jobs * (times.worker_mib + max(times.pretraining_mib, times.training_mib))
    return round(max(peak_mib(), times.held_mib + max(beside, jobs * training)))


def _shorter(work: Work, times: StepTimes, jobs: int, seconds: float) -> Iterator[Shorter]:
    """What a user may change, each alone, where it saves a tenth or more."""
    config = work.config
    fine, pre = config.finetune.optimizer, plan_steps(config.pretrain.optimizer, len(work.data.pretrain)).total
    fewer = max(2, config.draws // 2)
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


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "an XPU" if torch.xpu.is_available() else "the CPU"
