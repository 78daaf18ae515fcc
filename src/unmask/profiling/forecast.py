"""Tell the user before work starts what will run, how long it takes and how much memory, from measured steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from unmask.config import ClassifyConfig, PretrainConfig
from unmask.config.budget import labeled_count
from unmask.data.load import Dataset
from unmask.profiling.memory import peak_mib
from unmask.profiling.step_times import StepTimes, measure_steps
from unmask.training.checkpoint import newest_step
from unmask.training.plan import Plan, plan_steps
from unmask.wording import in_words

LONG = 2 * 3600
"""Work that takes longer than so many seconds is started only after a second confirmation."""


@dataclass(frozen=True, kw_only=True)
class Shorter:
    """A setting that shortens the work, and the time with only this change."""

    setting: str
    """As a keyword argument: draws=2, steps=750."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The plan of a command before it starts: `--plan` prints it as JSON."""

    recipe: str | None
    """The recipe that gave the defaults; None for a handwritten configuration."""
    reason: str
    encoder: str
    image_size: tuple[int, int]
    device: str
    jobs: int = 1
    """Trainings at once."""
    trainings: dict[str, int]
    """Number of each kind still to do; for a single training, its phases with their steps."""
    step_seconds: dict[str, float]
    """Measured, for a step of each kind and for the evaluation of an image."""
    seconds: float
    """Total, approximately."""
    seconds_with_rivals: float | None = None
    """The same if there is a gain, and validation images cannot decide which baseline is best: it must hold against
    all, so all are trained. None if there is no choice among baselines."""
    peak_mib: int
    """Peak memory of all processes, approximately."""
    shorter: tuple[Shorter, ...]

    @property
    def is_long(self) -> bool:
        """Whether it needs a second confirmation."""
        return self.seconds > LONG

    def lines(self) -> list[str]:
        """What the user is told before the work starts."""
        counts = ", ".join(f"{count} {name}" for name, count in self.trainings.items() if count)
        steps = ", ".join(f"{name} {seconds:.2g} s" for name, seconds in self.step_seconds.items())
        height, width = self.image_size
        at_once = f", {self.jobs} at once" if self.jobs > 1 else ""
        network = f"{self.encoder} at {height}x{width} on {self.device}{at_once}"
        told = [f"plan: recipe {self.recipe}: {self.reason}"] if self.recipe else []
        how_long, memory = in_words(self.seconds) + self._with_rivals(), f"{self.peak_mib / 1024:.1f} GiB of memory"
        told += [
            f"plan: {network}: {counts or 'nothing is left to train'}",
            f"plan: {how_long}, up to {memory} (measured: {steps})",
        ]
        return told + [f"plan: with `{one.setting}` {in_words(one.seconds)}" for one in self.shorter if self.is_long]

    def _with_rivals(self) -> str:
        if self.seconds_with_rivals is None or self.seconds_with_rivals < 1.1 * self.seconds:
            return ""
        return f" ({in_words(self.seconds_with_rivals)} if a gain must be confirmed against several baselines)"


T = TypeVar("T", PretrainConfig, ClassifyConfig)
Approve = Callable[[Forecast], None]
"""Called with the plan before a folder is touched; an exception it raises ends the command."""


def forecast_training(config: T, data: Dataset, begun: Path | None = None) -> Forecast:
    """Forecast one training in this process from a few steps of it; a resumed run folder has steps done already.
    Nothing is written."""
    labeled = None if isinstance(config, PretrainConfig) else config
    times = measure_steps(
        data,
        pretraining=config if isinstance(config, PretrainConfig) else None,
        training=labeled,
        probe=labeled,
        threads=torch.get_num_threads(),
        threads_on_labels=torch.get_num_threads(),
    )
    plan = _plan(config, data)
    head = 0 if labeled is None else labeled.recipe.head_steps
    done = 0 if begun is None else min(newest_step(begun), head + plan.total)
    left, seconds = 1 - done / (head + plan.total), seconds_of_training(config, data, times)
    half = max(1, plan.total // 2)
    halved = replace(config, recipe=replace(config.recipe, optimizer=config.recipe.optimizer.for_steps(half)))
    each = plan.batch_size * (times.training or times.pretraining)
    return Forecast(
        recipe=config.chosen.recipe_name if config.chosen else None,
        reason=config.chosen.because if config.chosen else "",
        encoder=config.encoder.encoder,
        image_size=data.format.size,
        device=device_name(),
        trainings={"head steps": head, "steps": plan.total, "of them done": done},
        step_seconds=rounded({"step": each, "evaluation of an image": times.inference}),
        seconds=round(left * seconds, 1),
        peak_mib=round(max(peak_mib(), times.held_mib + times.pretraining_mib + times.training_mib)),
        shorter=(Shorter(setting=f"steps={half}", seconds=round(left * seconds_of_training(halved, data, times), 1)),),
    )


def seconds_of_training(config: PretrainConfig | ClassifyConfig, data: Dataset, times: StepTimes) -> float:
    """How long a single training takes: its steps, and its evaluations on validation and test images."""
    plan = _plan(config, data)
    if isinstance(config, PretrainConfig):
        return plan.total * plan.batch_size * times.pretraining
    looks = (config.recipe.evaluations - 1) * (0 if data.val is None else len(data.val))
    steps = plan.batch_size * (plan.total * times.training + config.recipe.head_steps * times.head)
    return steps + (looks + evaluated_images(data)) * times.inference


def evaluated_images(data: Dataset) -> int:
    """Images on which a finished training is evaluated: validation and all test sets."""
    return sum(len(images) for images in (data.val, *data.tests.values()) if images is not None)


def labeled_images(config: ClassifyConfig, data: Dataset) -> int:
    """Labeled images of a training."""
    everything = len(data.train) if data.train is not None else 0
    return everything if config.budget is None else min(everything, labeled_count(config.budget, data.class_sizes))


def _plan(config: PretrainConfig | ClassifyConfig, data: Dataset) -> Plan:
    images = len(data.pretrain) if isinstance(config, PretrainConfig) else labeled_images(config, data)
    return plan_steps(config.recipe.optimizer, images)


def rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    """Measurements at three significant digits."""
    return {name: float(f"{value:.3g}") for name, value in seconds.items() if value}


def device_name() -> str:
    """Name of the device that trains."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "an XPU" if torch.xpu.is_available() else "the CPU"
