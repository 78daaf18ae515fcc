"""Claim: the laboratory says where pretraining gains most, and small deep networks on pictures follow it, or not.

Pictures are `multiview`, the laboratory's distribution drawn, with other textures in every draw; the network is
that of the recipe `multiview`. Per condition and draw: a pretraining, a fine-tuning and a training from scratch on
the same labels. Prediction: the laboratory's own gain under the matching change of `paper-small`. A row changes one
thing of the base; its gain is compared with the base's, draw by draw, with a 95 % interval (Student's t over draws).

Run: OMP_NUM_THREADS=1 python benchmarks/theory_bridge.py FOLDER [SECONDS] > table.md
Finished trainings lie in FOLDER and are not repeated; after SECONDS no new one is begun.
"""

import json
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

import unmask
from unmask.theory.jobs import Memo
from unmask.theory.presets import paper_small
from unmask.theory.problem import world
from unmask.theory.setting import Setting
from unmask.theory.supervision import error, fine_tune, train_from_scratch
from unmask.theory.sweep_measures import encoder

DRAWS, LAB_SEEDS = 5, 3
PICTURES = {
    "images": 1500, "val_images": 150, "test_images": 900, "classes": 6, "step": 4, "noise": 0.4, "clutter": 0.2,
    "distractor_strength": 0.25,
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """One change of the base: in the pictures, in the training, and in the laboratory."""

    name: str
    options: dict[str, Any]
    budget: int = 10
    mask_ratio: float = 0.5
    laboratory: Any = None


def _lab(**changes: Any) -> Setting:
    base = replace(paper_small(), labels_per_class=10, data=replace(paper_small().data, fade=0.6))
    data = changes.pop("data", {})
    return replace(base, data=replace(base.data, **data), **changes)


CONDITIONS = (
    Condition("base: no single-view image, second part at 0.6, 10 labels per class", {}, laboratory=_lab()),
    Condition("30 % single-view images, labeled ones too", {"single_view_share": 0.3},
              laboratory=_lab(data={"single_share": 0.3}, labeled_single_share=0.3)),
    Condition("second part as strong as the first", {"weak_strength": 1.0}, laboratory=_lab(data={"fade": 1.0})),
    Condition("100 labels per class", {}, budget=100, laboratory=_lab(labels_per_class=100)),
    Condition("nearly everything hidden (0.9; in the laboratory 0.7)", {}, mask_ratio=0.9,
              laboratory=_lab(mask_ratio=0.7)),
)  # fmt: skip


def predicted(condition: Condition) -> float:
    """Gain of the laboratory: error of SL on the same few labels minus that of fine-tuned MRP, the kinds mixed."""
    gains = []
    for seed in range(LAB_SEEDS):
        w = world(condition.laboratory, seed)
        few = [w.few()]
        learners = train_from_scratch([w], data=few), fine_tune([w], encoder(w, Memo()), few)
        wrong = [
            sum(
                error(one.weights[0], one.head[0], w.test(single), w.setting) * (1 + single) / 3
                for single in (False, True)
            )
            for one in learners
        ]
        gains.append(wrong[0] - wrong[1])
    return 100 * float(np.mean(gains))


def measured(condition: Condition, draw: int, folder: Path) -> float:
    """Accuracy of the fine-tuned network minus that from scratch, in points, over all test images."""
    options = {**PICTURES, **condition.options, "seed": draw}
    same = {"options": options, "progress": False, "overwrite": True, "recipe": "multiview"}
    start = unmask.pretrain("multiview", folder / "pretrained", seed=draw, steps=900, mask_ratio=condition.mask_ratio,
                            **same)  # fmt: skip
    few = {"budget": condition.budget, "seed": draw, "subset_seed": draw}
    tuned = unmask.finetune("multiview", folder / "tuned", init=str(start), **few, **same)
    scratch = unmask.scratch("multiview", folder / "scratch", **few, **same)
    return 100 * (accuracy(tuned) - accuracy(scratch))


def accuracy(run: Any) -> float:
    """Mean over the test sets."""
    scores = [one.accuracy for name, one in run.scores.items() if name != "val"]
    return float(np.mean(scores))


def kept(path: Path, key: str, make: partial[float], until: float) -> float | None:
    """The stored number, else a new one, stored; None after the time given."""
    store = json.loads(path.read_text()) if path.exists() else {}
    if key not in store:
        if time.monotonic() > until:
            return None
        store = {**store, key: make()}
        path.write_text(json.dumps(store, indent=1))
    return float(store[key])


def interval(values: np.ndarray) -> str:
    """Mean and 95 % interval over draws."""
    mean = values.mean()
    if len(values) < 2:
        return f"{mean:+.1f} (n = {len(values)})"
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]"


def main(folder: Path, seconds: float) -> None:
    """Train what is missing, draw by draw, and print the table."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    until, store = time.monotonic() + seconds, folder / "results.json"
    lab = [kept(store, f"lab {c.name}", partial(predicted, c), until) for c in CONDITIONS]
    gains: list[list[float]] = [[] for _ in CONDITIONS]
    for draw in range(DRAWS):
        row = [kept(store, f"{draw} {c.name}", partial(measured, c, draw, folder), until) for c in CONDITIONS]
        if None in row:
            break
        for gain, value in zip(gains, row, strict=True):
            gain.append(float(value or 0.0))
    print(f"{time.strftime('%Y-%m-%d')}, torch {torch.__version__}, n = {len(gains[0])} draws, points of accuracy.\n")
    print("| condition | laboratory: gain | pictures: gain | change against the base: laboratory | pictures |")
    print("|---|---|---|---|---|")
    for condition, law, gain in zip(CONDITIONS, lab, gains, strict=True):
        if law is None or lab[0] is None or not gain:
            continue
        found, base = np.array(gain), np.array(gains[0])
        change = "" if condition is CONDITIONS[0] else interval(found - base)
        print(f"| {condition.name} | {law:+.1f} | {interval(found)} | {law - lab[0]:+.1f} | {change} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1e9)
