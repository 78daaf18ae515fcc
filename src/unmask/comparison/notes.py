"""Notes that the reader of a comparison needs besides its numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from unmask.comparison.candidates import arms_of, candidates, compute_steps
from unmask.comparison.chosen_labels import labeled_rows
from unmask.comparison.pretrained_runs import compute_notes, images_seen
from unmask.comparison.tuning import Choice
from unmask.config import ARMS, Arm, CompareConfig
from unmask.config.budget import Budget, is_chosen, labeled_count, labels_in_words
from unmask.config.comparison import EvaluateOn
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset
from unmask.data.subsets import mean_overlap
from unmask.inference.verdict import describe_split, shown_split
from unmask.wording import plural


def notes_of(
    config: CompareConfig, data: Dataset, choice: Choice, out: Path, reported: Sequence[str] = ()
) -> list[str]:
    """Notes on what was chosen, on compute, and on what the draws share; `config` with the arms that were trained, of
    those `reported` that the tuning left."""
    assert data.val is not None
    notes = [f"{len(data.val)} labeled validation images were used to choose recipes and the strength of probes"]
    notes += _choices(config, choice, reported)
    if longer := [arm for arm in arms_of(config) if arm.schedule == "compute"]:
        notes += _compute(config, data, choice, longer)
    notes += overlap_notes(draw_overlaps(config, data, out))
    notes += group_notes(data, config.evaluate_on)
    if config.data.transductive:
        notes.append("transductive: pretraining saw the validation and test images (without labels)")
    if config.evaluate_on == "val":
        notes.append(
            "evaluated on half of the validation images, held out from every choice; the test set was not used"
        )
    return notes


def _choices(config: CompareConfig, choice: Choice, reported: Sequence[str]) -> list[str]:
    """Which candidate every arm took, and which alternatives were tried and dropped."""
    notes = []
    for arm in arms_of(config):
        count = len(candidates(config, arm))
        if count > 1:
            picks = ", ".join(f"{choice.recipes[b, arm.name] + 1} with {labels_in_words(b)}" for b in config.budgets)
            notes.append(f"{arm.name} chose among {count} recipes on validation data: number {picks}")
    tried = {name for correct in choice.correct.values() for name in correct}
    if dropped := ", ".join(arm.name for arm in ARMS.values() if arm.name in tried - {*config.arms, *reported}):
        notes.append(
            f"tried on {plural(config.tuning_draws, 'tuning draw')} and dropped, as other alternatives did better on "
            f"validation images: {dropped}"
        )
    if untrained := ", ".join(name for name in reported if name not in config.arms):
        notes.append(
            f"not trained on the reported draws, though validation cannot tell them from the best: {untrained}; they "
            "could only count against a gain over the best, or equivalence with it, and there is neither"
        )
    return notes


def _compute(config: CompareConfig, data: Dataset, choice: Choice, arms: list[Arm]) -> list[str]:
    primary = config.budgets[0]
    steps, matching, fine = compute_steps(
        config,
        candidates(config, arms[0])[choice.recipes[primary, arms[0].name]],
        seen=images_seen(config, len(data.pretrain)),
        labeled=labeled_count(primary, data.class_sizes),
    )
    trained = (
        f"{', '.join(arm.name for arm in arms)} trained {steps} steps; MRP's whole compute would be {matching} steps "
        f"({matching / fine:.1f} times the fine-tuning), the cap is {config.compute_cap:g} times"
    )
    return [trained, *compute_notes(config)]


def draw_overlaps(config: CompareConfig, data: Dataset, out: Path) -> dict[Budget, float]:
    """The mean share of labeled images that two reported draws have in common, by budget."""
    drawn = [labeled_rows(config, data, out, draw) for draw in range(config.planned_draws)]
    return {budget: mean_overlap([subsets[budget] for subsets in drawn]) for budget in config.budgets}


def group_notes(data: Dataset, evaluate_on: EvaluateOn = "test") -> list[str]:
    """How many groups the test and validation images are of, where some are of several images."""
    named = {shown_split(name, evaluate_on): images for name, images in {**data.tests, "val": data.val}.items()}
    sets = {describe_split(name): images for name, images in named.items() if images}
    alike = [
        f"the {len(images)} {name} are of {plural(groups, 'group')}"
        for name, images in sets.items()
        if (groups := count_groups(data, images)) < len(images)
    ]
    told = f"{' and '.join(alike)}: choices and intervals count groups, as images of one group are alike"
    return [told] if alike else []


def count_groups(data: Dataset, images: ImageSet) -> int:
    """Number of groups that the images of a set are of; without groups every image is its own."""
    groups = data.groups_of(images)
    return len(images) if groups is None else len(np.unique(groups))


def overlap_notes(overlaps: Mapping[Budget, float]) -> list[str]:
    """A note for each budget whose draws share images because there are too few."""
    notes = []
    for budget, share in overlaps.items():
        if share == 1:
            notes.append(
                f"With {labels_in_words(budget)} every draw takes all labeled training images, so the draws are the "
                "same images: those intervals are over training seeds, not over label draws"
            )
        elif share > 0:
            notes.append(
                f"With {labels_in_words(budget)} {_why(budget)}: two label draws share "
                f"{'less than 1%' if share < 0.01 else f'about {share:.0%}'} of their images on average"
            )
    return notes


def _why(budget: Budget) -> str:
    """Why draws share images."""
    if is_chosen(budget):
        return "every draw chooses from another half of the training images, by similar features"
    return "there are too few training images for disjoint draws"
