"""What the stages of a run say to the one training loop: where, on what schedule, and what to learn and to look at."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from accelerate import Accelerator

from unmask.config import AugmentConfig, OptimiserConfig
from unmask.data.imageset import Batch
from unmask.runs.metrics import TrainingRow
from unmask.training.step import OnStep, Terms

LOGGED = 50
"""At least every so many steps the numbers of the steps are read back from the device."""


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
    """Show notes and progress bars."""
    on_step: OnStep | None = None


@dataclass(frozen=True)
class Phase:
    """A schedule for some or all parameters of a network."""

    name: str
    optimizer: OptimiserConfig
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


class TrainingStage(Protocol):
    """What a stage adds to a network in training."""

    def loss(self, network: Any, batch: Batch, at: Moment) -> Terms:
        """The terms of a (micro-)batch on the device; `network` is the one in training, as the engine calls it."""
        ...

    def follow(self, done: int, total: int) -> None:
        """Called after every step, before it is saved: what follows the network, such as a teacher, moves here."""
        ...

    def report(self, reached: Reached) -> bool:
        """Log, and look where that is due. Returns False to end the phase early."""
        ...

    def facts(self) -> dict[str, Any]:
        """Plain JSON for checkpoints, which `TrainingRun.resume` gives back."""
        ...
