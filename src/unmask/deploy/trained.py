"""A finished run as something to use: its network with the trained weights, and how its images were read."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from unmask.config import DataConfig
from unmask.errors import UserError
from unmask.runs.contents import TrainingRun, read_training
from unmask.weights.card import Card
from unmask.weights.network import load_model


@dataclass(frozen=True)
class Trained:
    """A run of pretrain, finetune or scratch."""

    run: TrainingRun
    model: nn.Module
    """In evaluation mode; with a classifier if `card.classes` is not empty, else it gives pooled features."""
    card: Card
    data: DataConfig
    """The data it was trained on."""
    precision: str
    """Mixed precision of its training and evaluation."""


def read_trained(folder: Path) -> Trained:
    """Read a run folder and rebuild its network.

    Raises:
        UserError: no such folder, a comparison, an unfinished run, or weights that do not fit their own card.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a finished run")
    run = read_training(folder)
    found = load_model(folder)
    precision = run.config.recipe.optimizer.precision
    return Trained(run=run, model=found.module, card=found.card, data=run.config.data, precision=precision)
