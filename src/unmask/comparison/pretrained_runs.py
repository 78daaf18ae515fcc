"""The pretraining runs given to a comparison: their recipe, the images they saw, and notes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from unmask.config import CompareConfig, PretrainConfig
from unmask.config.arms import Start
from unmask.data.load import Dataset
from unmask.inference.verdict import describe_evaluated
from unmask.runs.layout import METRICS_FILE
from unmask.runs.metrics import read_metrics
from unmask.runs.read import is_run, read_config, read_environment
from unmask.stages.pretraining_quality import quality_notes
from unmask.stages.provenance import origin_notes
from unmask.training.plan import plan_steps


def as_pretrained(config: CompareConfig, data: Dataset) -> tuple[CompareConfig, list[str]]:
    """The comparison with the recipe of the given runs, from the first that has one, and notes."""
    notes = []
    recipes = {}
    for run in config.pretrained:
        config_of_run = read_config(run) if is_run(run) else None
        if isinstance(config_of_run, PretrainConfig):
            recipes[run] = config_of_run.recipe
        else:
            notes.append(f"{run} is not the folder of a pretraining: its recipe is taken to be that of this comparison")
        notes += origin_notes(run, data, describe_evaluated(config.evaluate_on))
    if not recipes:
        return config, notes
    first, recipe = next(iter(recipes.items()))
    others = [str(run) for run in recipes if recipes[run] != recipe]
    if others:
        notes.append(
            f"the recipe of {', '.join(others)} is not that of {first}: mask cells, and pretraining continued from "
            "given weights, follow the latter"
        )
    if config.pretrain not in recipes.values():
        notes.append(
            "the pretraining recipe given here has no effect: the encoders are given (`pretrained`); theirs is "
            f"that of {first}"
        )
    return replace(config, pretrain=recipe), notes


def images_seen(config: CompareConfig, pretrain_images: int) -> int:
    """Images that one pretraining processes, at its last size and once for each of their masks; the largest number of
    several given runs.

    A given run counts with its recorded steps and batch; one without them, and a pretraining here, with those that the
    recipe gives for `pretrain_images`.
    """
    steps, _, batch = plan_steps(config.pretrain.optimizer, pretrain_images)
    planned = round(steps * batch * config.pretrain.passes)
    return max((_recorded(run) or planned for run in config.pretrained), default=planned)


def compute_notes(config: CompareConfig) -> list[str]:
    """What a reader must know about the compute of the given runs."""
    seen = {run: _recorded(run) for run in config.pretrained}
    notes = [
        f"{run} does not record its steps: its compute is taken to be that of the recipe on this comparison's images"
        for run, images in seen.items()
        if images is None
    ]
    known = sorted({images for images in seen.values() if images is not None})
    if len(known) > 1:
        notes.append(f"the given runs saw {known[0]} to {known[-1]} images: MRP's compute is that of the longest one")
    return notes


def _recorded(run: Path) -> int | None:
    """Steps times batch of a run from its environment.json, times the encoder's work per image; None if it lacks
    them."""
    facts = read_environment(run)
    if facts is None or facts.steps is None or facts.batch_size is None:
        return None
    config = read_config(run) if is_run(run) else None
    passes = config.recipe.passes if isinstance(config, PretrainConfig) else 1
    return round(facts.steps * facts.batch_size * passes)


def learning_notes(encoders: Mapping[Start, Sequence[Path]]) -> list[str]:
    """Notes on how well the finished pretrainings learned, each named by its folder."""
    runs = [run for folders in encoders.values() for run in folders if (run / METRICS_FILE).exists()]
    return [f"{run.parent.name}/{run.name}: {note}" for run in runs for note in quality_notes(read_metrics(run))]
