"""What the stages of a run say to the one training loop: where, on what schedule, and what to learn and to look at."""

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
"""Steps after which their numbers are read back from the device, if not before."""


@dataclass(frozen=True)
class Setup:
    """Where a network is trained, and who follows it."""

    engine: Accelerator
    folder: Path | None = None
    """Run folder for checkpoints and metrics.jsonl; without one nothing is kept."""
    keep: int = 1
    """Checkpoints kept: the newest ones."""
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
        """The processes that were started, which keep their checkpoints in a run folder.

        Raises:
            UserError: the tracker is not installed, the processes do not meet, or networks cannot be sharded.
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
    """Of the order of the images, their augmentation and the noise of stochastic layers."""
    save_every: float
    """Steps between checkpoints; may be fractional."""
    look_every: float = math.inf
    """Steps between looks; may be fractional."""
    scale_of: Callable[[str], float] | None = None
    """Factor of a parameter's learning rate by its name; 0 freezes it. None trains whatever is trainable."""
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
    """Of the phase."""


@dataclass(frozen=True)
class Reached:
    """How far a phase has come, when its stage may log and look."""

    phase: Phase
    step: int
    """Steps taken in this phase."""
    last: bool
    """Whether these are all of them."""
    look: bool
    """Whether a look is due by `Phase.look_every`."""
    rows: list[TrainingRow]
    """Numbers of the steps since the last report."""

    @property
    def log(self) -> bool:
        """Whether a stage that does not log every step logs this one; reports before a checkpoint may come between."""
        return self.last or self.look or self.step % LOG_EVERY == 0


class TrainingStage(Protocol):
    """What a stage adds to a network in training."""

    def losses(self, network: Any, batch: Batch, at: Moment) -> Sequence[Forward]:
        """The losses of a (micro-)batch on the device, whose terms are summed; `network` is the one in training, as the
        engine calls it. Each is called when the gradient of the one before it has been taken."""
        ...

    def follow(self, done: int, total: int) -> None:
        """Called after every step, before it is saved: what follows the network, such as a teacher, moves here."""
        ...

    def report(self, reached: Reached) -> bool:
        """Log, and look where that is due. Returns False to end the phase early."""
        ...

    def facts(self) -> dict[str, Any]:
        """Fields of a checkpoint's header that are the stage's, which `TrainingRun.resume` gives back."""
        ...
