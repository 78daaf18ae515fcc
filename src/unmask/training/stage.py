"""What the stages of a run tell the one training loop: where, on what schedule, what to learn and what to evaluate."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from accelerate import Accelerator

from unmask.config import AugmentConfig, ClassifyConfig, OptimizerConfig, PretrainConfig
from unmask.data.imageset import Batch
from unmask.distributed import fail_together, is_main
from unmask.runs.metrics import TrainingRow
from unmask.training.engine import build_engine
from unmask.training.launch import peers_may_end
from unmask.training.sharding import wants_sharding
from unmask.training.step import Forward, OnStep

Config = PretrainConfig | ClassifyConfig
LOG_EVERY = 50
"""Metrics are read back from the device after so many steps at the latest."""


@dataclass(frozen=True)
class Setup:
    """Where a network is trained, and its callbacks."""

    engine: Accelerator
    folder: Path | None = None
    """Run folder for checkpoints and metrics.jsonl; without one nothing is kept."""
    keep: int = 1
    """Number of newest checkpoints to keep."""
    sharded: bool = False
    """Shard the network over the processes (see `unmask.training.sharding`)."""
    show: bool = False
    """Show progress bars."""
    on_step: OnStep | None = None

    @classmethod
    def alone(cls, precision: str) -> "Setup":
        """One process that keeps nothing."""
        return cls(build_engine(precision))

    @classmethod
    def of_run(cls, config: Config, out: Path, *, progress: bool, on_step: OnStep | None) -> "Setup":
        """The started processes, which keep their checkpoints in a run folder.

        Raises:
            UserError: the tracker is not installed, the processes cannot connect, or networks cannot be sharded.
        """
        precision = config.recipe.optimizer.precision
        engine = build_engine(precision, tracker=config.tracker, folder=out, several=True)
        with peers_may_end(), fail_together():
            sharded = wants_sharding(config.shard, precision)
        return cls(engine, out, config.keep, sharded, progress and is_main(), on_step)


@dataclass(frozen=True)
class Phase:
    """A schedule for some or all parameters of a network."""

    name: str
    optimizer: OptimizerConfig
    augment: AugmentConfig
    seed: int
    """Seed of the order of the images, their augmentation and the noise of stochastic layers."""
    save_every: float
    """Steps between checkpoints; may be fractional."""
    look_every: float = math.inf
    """Steps between evaluations; may be fractional."""
    scale_of: Callable[[str], float] | None = None
    """Learning-rate factors of parameters by name; 0 freezes. None trains whatever is trainable."""
    averaged: bool = True
    """Whether the average of the weights follows this phase."""
    before: int = 0
    """Steps of earlier phases."""
    final: bool = True
    """Whether no phase follows."""


class Moment(NamedTuple):
    """What the randomness of a step may depend on."""

    step: int
    """Steps taken before it, in this phase."""
    epoch: int
    seed: int
    """Steps of the phase."""


@dataclass(frozen=True)
class Reached:
    """Progress of a phase when its stage may log and evaluate."""

    phase: Phase
    step: int
    """Steps taken in this phase."""
    last: bool
    """Whether these are all steps."""
    look: bool
    """Whether an evaluation is due by `Phase.look_every`."""
    rows: list[TrainingRow]
    """Metrics of the steps since the last report."""

    @property
    def log(self) -> bool:
        """Whether a stage that does not log every step logs this one; reports before checkpoints may come between."""
        return self.last or self.look or self.step % LOG_EVERY == 0


class TrainingStage(Protocol):
    """The interface of a stage to a network in training."""

    def losses(self, network: Any, batch: Batch, at: Moment) -> Sequence[Forward]:
        """The losses of a (micro-)batch on the device, whose terms are summed; `network` is the trained one, wrapped
        by the engine. Each is called after the gradient of the previous one has been computed."""
        ...

    def follow(self, done: int, total: int) -> None:
        """Called after every step, before it is saved: what follows the network, such as a teacher, is updated here."""
        ...

    def report(self, reached: Reached) -> bool:
        """Log, and evaluate if due. Returns False to end the phase early."""
        ...

    def facts(self) -> dict[str, Any]:
        """The stage's fields of a checkpoint's header, which `TrainingRun.resume` returns."""
        ...
