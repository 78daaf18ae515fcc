"""Claim: the laboratory predicts where pretraining gains most, and small deep networks on pictures follow it, or not.

Pictures are `multiview`, drawn from the laboratory's distribution, with other textures in every draw; the network is
that of RECIPE: `multiview`, the paper's two layers, or `small-cnn`, a narrow ResNet of ten, on smaller pictures. Per
condition and draw: a pretraining, a fine-tuning and a training from scratch on the same labels; conditions that differ
only in what one of them does not see share it. Prediction: the laboratory's own gain under the matching change of its
own six classes. A row changes one thing of the base. 95 % intervals are Student's t over draws.

Run: OMP_NUM_THREADS=1 python benchmarks/theory_bridge.py FOLDER [SECONDS] [RECIPE] > table.md
Finished trainings are stored in FOLDER and are not repeated; after SECONDS no new one is started.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

import unmask
from unmask.theory.checks_learners import LAB
from unmask.theory.jobs import Memo
from unmask.theory.problem import world
from unmask.theory.setting import Setting
from unmask.theory.supervision import error, fine_tune, train_from_scratch
from unmask.theory.sweep_measures import encoders

DRAWS, LAB_SEEDS = 5, 3
KINDS = ("both parts", "part 1 alone", "part 2 alone")
Gains = dict[str, float]
PICTURES = {"images": 1500, "test_images": 900, "classes": 6, "distractor_strength": 0.25}


@dataclass(frozen=True)
class Network:
    """How a recipe is trained here: its pictures and the settings of all trainings, of pretraining, and of others."""

    pictures: dict[str, Any]
    every: dict[str, Any]
    pretraining: dict[str, Any]
    classifying: dict[str, Any]


CHANNELS = {"channels": (16, 24, 32, 48), "stem_width": 4, "stem_type": "deep", "avg_down": False}
NETWORKS = {
    "multiview": Network({"val_images": 150, "step": 4, "noise": 0.4, "clutter": 0.2}, {}, {"steps": 900}, {}),
    # Set on a draw of its own, 100: pictures of 16 pixels with parts in their quarters, which ten layers learn in
    # 20 seconds; neither crops nor flips, which show other textures.
    "small-cnn": Network(
        {"val_images": 60, "size": 16, "step": 8, "noise": 0.3, "clutter": 0.1},
        {"image_size": (16, 16), "crop_scale": (1.0, 1.0), "flip_horizontal": 0.0},
        {"steps": 400, "batch_size": 64, "lr": 4e-3, "encoder_options": CHANNELS},
        {"steps": 200},
    ),
}


@dataclass(frozen=True)
class Condition:
    """One change of the base: in the pictures, in the training, and in the laboratory."""

    name: str
    options: dict[str, Any]
    budget: int = 10
    mask_ratio: float = 0.5
    laboratory: Any = None


def _lab(**changes: Any) -> Setting:
    base = replace(LAB, labels_per_class=10, data=replace(LAB.data, fade=0.6))
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


def predicted(condition: Condition) -> Gains:
    """The laboratory's gains: error of SL on the same few labels minus that of fine-tuned MRP."""
    total = dict.fromkeys(KINDS, 0.0)
    for seed in range(LAB_SEEDS):
        w = world(condition.laboratory, seed)
        few, single = [w.few()], w.test(True)
        sets = w.test(False), single.subset(single.view == 0), single.subset(single.view == 1)
        scratch, tuned = (
            [error(one.weights[0], one.head[0], data, w.setting) for data in sets]
            for one in (train_from_scratch([w], data=few), fine_tune([w], encoders([w], Memo()), few))
        )
        for kind, before, after in zip(KINDS, scratch, tuned, strict=True):
            total[kind] += 100 * (before - after) / LAB_SEEDS
    return total


@dataclass(frozen=True)
class Trainings:
    """The trainings of one condition and draw; each is stored under the settings it depends on."""

    condition: Condition
    draw: int
    folder: Path
    recipe: str

    def accuracies(self, pretrained: bool) -> Gains:
        """Accuracy in % for each kind of test images, fine-tuned or from scratch."""
        c, network = self.condition, NETWORKS[self.recipe]
        few = {"budget": c.budget, "subset_seed": self.draw, **network.classifying, **self._same()}
        if pretrained:
            done = unmask.finetune("multiview", self.folder / "tuned", init=str(self._pretraining()), **few)
        else:
            start = {name: network.pretraining[name] for name in ("encoder_options",) if name in network.pretraining}
            done = unmask.scratch("multiview", self.folder / "scratch", **few, **start)
        ends = zip(KINDS, ("multi", "single_1", "single_2"), strict=True)
        return {
            kind: 100 * next(one.accuracy for name, one in done.scores.items() if name.endswith(end))
            for kind, end in ends
        }

    def key(self, pretrained: bool) -> str:
        """What the accuracies depend on."""
        ratio = f" {self.condition.mask_ratio}" if pretrained else ""
        return f"{self.recipe} {self.draw} {self.condition.options} {self.condition.budget}{ratio}"

    def _pretraining(self) -> Path:
        out = self.folder / "-".join(map(str, (self.recipe, self.draw, self.condition.mask_ratio, *self._changes())))
        if not (out / "encoder.safetensors").exists():
            more = {**NETWORKS[self.recipe].pretraining, **self._same()}
            unmask.pretrain("multiview", out, mask_ratio=self.condition.mask_ratio, **more)
        return out

    def _changes(self) -> list[object]:
        return [part for item in self.condition.options.items() for part in item]

    def _same(self) -> dict[str, Any]:
        network = NETWORKS[self.recipe]
        options = {**PICTURES, **network.pictures, **self.condition.options, "seed": self.draw}
        same = {"options": options, "progress": False, "overwrite": True, "recipe": self.recipe, "seed": self.draw}
        return {**same, **network.every}


def measured(one: Trainings, store: Path, until: float) -> Gains | None:
    """Accuracy of the fine-tuned network minus that from scratch, in points; None if time was up before."""
    found = [kept(store, one.key(kind), partial(one.accuracies, kind), until) for kind in (False, True)]
    scratch, tuned = found
    return {kind: tuned[kind] - scratch[kind] for kind in KINDS} if scratch and tuned else None


def kept(path: Path, key: str, make: partial[Gains], until: float) -> Gains | None:
    """The stored gains, else new ones, which are stored; None after the given time."""
    store: dict[str, Gains] = json.loads(path.read_text()) if path.exists() else {}
    if key not in store:
        if time.monotonic() > until:
            return None
        store = {**store, key: make()}
        path.write_text(json.dumps(store, indent=1))
    return store[key]


def interval(values: np.ndarray) -> str:
    """Mean and 95 % interval over draws."""
    if not len(values):
        return "not measured"
    if len(values) < 2:
        return f"{values.mean():+.0f} (n = {len(values)})"
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():+.0f} [{values.mean() - half:+.0f}, {values.mean() + half:+.0f}]"


def changes(gains: Sequence[Gains], base: Sequence[Gains], kind: str) -> np.ndarray:
    """Gain minus that of the base, for the draws that both have."""
    return np.array([one[kind] - other[kind] for one, other in zip(gains, base, strict=False)])


def main(folder: Path, seconds: float, recipe: str) -> None:
    """Train what is missing, draw by draw, and print the tables."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    until, store = time.monotonic() + seconds, folder / "results.json"
    gains: list[list[Gains]] = [[] for _ in CONDITIONS]
    for draw in range(DRAWS):
        for gain, c in zip(gains, CONDITIONS, strict=True):
            found = measured(Trainings(c, draw, folder, recipe), store, until)
            gain += [found] if found else []
    lab = [kept(store, f"lab {c.name}", partial(predicted, c), until) for c in CONDITIONS]
    print(f"{time.strftime('%Y-%m-%d')}, torch {torch.__version__}, recipe {recipe}; points of accuracy.\n")
    print("Gain, fine-tuned - scratch:\n")
    print("| condition | n | " + " | ".join(f"{kind}: laboratory | pictures" for kind in KINDS) + " |")
    print("|---|---|" + "---|---|" * len(KINDS))
    for condition, law, gain in zip(CONDITIONS, lab, gains, strict=True):
        cells = [
            f"{law[kind]:+.0f} | {interval(np.array([one[kind] for one in gain]))}" if law else "not run | not run"
            for kind in KINDS
        ]
        print(f"| {condition.name} | {len(gain)} | " + " | ".join(cells) + " |")
    print("\nChange of the gain against the base, the same draws:\n")
    print("| condition | n | " + " | ".join(f"{kind}: laboratory | pictures" for kind in KINDS) + " |")
    print("|---|---|" + "---|---|" * len(KINDS))
    for condition, law, gain in list(zip(CONDITIONS, lab, gains, strict=True))[1:]:
        if law and lab[0]:
            pairs = [(law[kind] - lab[0][kind], changes(gain, gains[0], kind)) for kind in KINDS]
            cells = " | ".join(f"{by_law:+.0f} | {interval(found)}" for by_law, found in pairs)
            print(f"| {condition.name} | {min(len(gain), len(gains[0]))} | {cells} |")


if __name__ == "__main__":
    given = sys.argv[2:]
    main(Path(sys.argv[1]), float(given[0]) if given else 1e9, given[1] if len(given) > 1 else "multiview")
