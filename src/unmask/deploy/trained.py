"""A finished run to be used: its network with the trained weights, and how its images were read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from unmask.config import ARMS, DataConfig, to_json
from unmask.errors import UserError
from unmask.runs.contents import ClassificationRun, PretrainingRun, read_training
from unmask.runs.kept import choose_network, is_comparison
from unmask.runs.read import read_environment
from unmask.runs.records import Environment
from unmask.runs.scores import Scores
from unmask.weights.card import Card
from unmask.weights.network import load_model

_SETTINGS = ("encoder", "recipe", "budget", "seed", "subset_seed")
"""Fields of a training's configuration that make up its recipe."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The network of a pretraining, a fine-tuning, a training from scratch, or one that a comparison has kept."""

    folder: Path
    """Of the run."""
    model: nn.Module
    """In evaluation mode; with a head if the card has a task, else it gives pooled features."""
    card: Card
    data: DataConfig
    """The data it was trained on."""
    precision: str
    """Mixed precision of training and evaluation."""
    origin: str
    """What it started from, or how a comparison trained it."""
    settings: Mapping[str, Any]
    """How it was trained, in plain values."""
    environment: Environment | None = None
    scores: Mapping[str, Scores] = field(default_factory=dict)
    """Scores of a classifier, by split."""
    halved_validation: bool = False
    """Whether the splits test and val of the scores are the halves of the validation images (`evaluate_on` = val)."""
    labeled_images: int | None = None
    """Training images of a classifier."""
    pretraining: PretrainingRun | None = None
    """The run, if it is a pretraining."""
    network: str = ""
    """Which network of a comparison it is, for the user; empty if there is no choice."""


def read_trained(folder: Path, arm: str | None = None) -> Trained:
    """Read a run folder and rebuild its network.

    Args:
        arm: for a comparison: the arm whose network is read. Default: the best one on validation images.

    Raises:
        UserError: no such folder, an unfinished run, weights that do not fit their own card; for a comparison: no
            such network was kept; for another run: an arm was given.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a finished run")
    if is_comparison(folder):
        return _kept(folder, arm)
    if arm is not None:
        raise UserError(f"arm = {arm!r}: {folder} has one network only; `arm` chooses among those of a comparison")
    run = read_training(folder)
    found, config = load_model(folder), to_json(run.config)
    result = run.result if isinstance(run, ClassificationRun) else None
    return Trained(
        folder=folder,
        model=found.module,
        card=found.card,
        data=run.config.data,
        precision=run.config.recipe.optimizer.precision,
        origin=f"started from {bare_name(run.config.init)}" if run.config.init else "started from random weights",
        settings={name: config[name] for name in _SETTINGS if name in config},
        environment=run.environment,
        scores=result.metrics if result is not None else {},
        labeled_images=result.labeled_images if result is not None else None,
        pretraining=run if isinstance(run, PretrainingRun) else None,
    )


def told(network: str) -> str:
    """A line that says which network of a comparison was used; empty if there was no choice."""
    return f"\n{network}" if network else ""


def bare_name(path: str) -> str:
    """The last part of a path; the folders above are private."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def require_classifier(trained: Trained) -> None:
    """Raise `UserError` for a network without a head; the message says where to find one."""
    if trained.card.task is not None:
        return
    above = trained.folder.resolve().parent.parent
    fix = f"the classifiers are those of its comparison, {above}" if is_comparison(above) else "fine-tune it first"
    raise UserError(f"{trained.folder}: is a pretraining and has no classifier; {fix}, or use embed")


def _kept(folder: Path, arm: str | None) -> Trained:
    """A network of a comparison."""
    chosen = choose_network(folder, arm)
    found, config, trial = load_model(chosen.file), chosen.config, chosen.trial
    settings = {"encoder": config.encoder, "recipe": trial.recipe, "arm": trial.arm, "budget": trial.budget}
    return Trained(
        folder=folder,
        model=found.module,
        card=found.card,
        data=config.data,
        precision="no" if trial.recipe is None else trial.recipe.optimizer.precision,
        origin=f"{ARMS[trial.arm].meaning} (arm {trial.arm} of a comparison)",
        settings=to_json({**settings, "seed": config.seed, "draw": trial.draw}),
        environment=read_environment(folder),
        scores=trial.metrics,
        halved_validation=config.evaluate_on == "val",
        labeled_images=trial.labeled_images,
        network=str(chosen),
    )
