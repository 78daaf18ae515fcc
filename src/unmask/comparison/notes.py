"""What the reader of a comparison must know besides its numbers."""

from collections.abc import Sequence

from torch import Tensor

from unmask.comparison.plan import arms_of, candidates, compute_steps
from unmask.comparison.pretrained_runs import compute_notes, images_seen
from unmask.config import CompareConfig
from unmask.data.load import Dataset

SHARED = 0.5
"""Share of a class's training images beyond which a label draw is said to take them."""


def notes_of(config: CompareConfig, data: Dataset, chosen: dict[int, int]) -> list[str]:
    """Notes on what was chosen, on compute, and on what the draws share."""
    assert data.val is not None
    assert data.train is not None
    notes = [f"{len(data.val)} labeled validation images were used to choose recipes and probes' strength"]
    arms = arms_of(config)
    tuned = ", ".join(arm.name for arm in arms if arm.schedule == "best")
    if tuned and len(candidates(config)) > 1:
        picks = ", ".join(f"{b} per class: candidate {c + 1}" for b, c in chosen.items())
        notes.append(f"{tuned} chose among {len(candidates(config))} recipes on validation data: {picks}")
    if longer := ", ".join(arm.name for arm in arms if arm.schedule == "compute"):
        notes += _compute(config, data, chosen, longer)
    if config.draws > 1:
        notes += shared_draws(config.budgets, data.train.labels, data.classes)
    if config.data.transductive:
        notes.append("transductive: pretraining saw the validation and test images (without labels)")
    if config.evaluate_on == "val":
        notes.append("evaluated on half of the validation images; the test was not looked at")
    return notes


def _compute(config: CompareConfig, data: Dataset, chosen: dict[int, int], arms: str) -> list[str]:
    primary = config.budgets[0]
    steps, matching, fine = compute_steps(
        config,
        candidates(config)[chosen[primary]],
        seen=images_seen(config, len(data.pretrain)),
        labeled=primary * len(data.classes),
    )
    trained = (
        f"{arms} trained {steps} steps; MRP's whole compute would be {matching} steps "
        f"({matching / fine:.1f} times the fine-tuning), the cap is {config.compute_cap:g} times"
    )
    return [trained, *compute_notes(config)]


def shared_draws(budgets: Sequence[int], labels: Tensor, classes: Sequence[str]) -> list[str]:
    """A note for each budget that takes more than half of the training images of a class.

    Two draws of b of a class's n images have b² / n in common in the mean, the share b / n of each.
    """
    sizes = {name: int((labels == index).sum()) for index, name in enumerate(classes)}
    sizes = {name: size for name, size in sizes.items() if size > 0}
    smallest = min(sizes, key=lambda name: sizes[name])
    notes = []
    for budget in budgets:
        if budget == max(sizes.values()):
            notes.append(
                f"With {budget} labels per class every draw takes all labeled training images, so the draws are the "
                "same images: those intervals are over training seeds, not over label draws"
            )
        elif budget > SHARED * sizes[smallest]:
            overall = sum(budget / size for size in sizes.values()) / len(sizes)
            notes.append(
                f"With {budget} labels per class two label draws share about {overall:.0%} of their images "
                f"({budget / sizes[smallest]:.0%} in class {smallest}, which has {sizes[smallest]}): those intervals "
                "say less about other labeled images"
            )
    return notes
