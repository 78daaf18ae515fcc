"""Claim: on networks whose answer is known, the audit finds which parts were captured (≥ 95 % of all (class, part)
pairs), and its sufficient views separate networks that know one view per class from networks that know two (AUROC ≥
0.95).

What is known by construction: matched filters of the parts' textures with some filters left out; and networks trained
on images from which some parts were left out altogether, at the same strength for all parts. `one`: one part of each
class is known, `two`: both, `mixed`: drawn for each class. Textures, weights and images differ from seed to seed. The
threshold of `unmask.audit.measures.part_units` was chosen on the seeds 100 to 103; the reported seeds start at 300.

Every network is written to its own file in --out, so a run can be stopped and continued; existing results are not
computed again. Exits 1 if a claim falls short, or while there are fewer than 20 networks to separate.

Run: python benchmarks/audit_calibration.py [--out FOLDER] [--kinds detectors patchnet resnet10t] [--seeds 4]
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unmask.audit.measures.auroc import auroc_matrix
from unmask.audit.measures.known_parts import alternate, contrasts, single_part_accuracy
from unmask.audit.measures.occlusion import asking, choose_grid, fill_images
from unmask.audit.measures.part_units import THRESHOLD, captured_parts
from unmask.audit.measures.stage_features import pooled_stages
from unmask.audit.measures.sufficient_views import sufficient_views
from unmask.config import EncoderConfig
from unmask.data.known_parts import KnownParts
from unmask.data.sources.multiview import MultiViewConfig, draw_multiview, textures
from unmask.data.sources.multiview_source import true_parts
from unmask.encoders.build import build_model
from unmask.encoders.patchnet import PatchNet
from unmask.runs.files import read_json, write_json

KINDS, VIEWS, CLASSES = ("detectors", "patchnet", "resnet10t"), ("one", "two", "mixed"), 4
ENCODERS = {
    "patchnet": EncoderConfig(encoder="patchnet", encoder_options={"width": 32, "stride": 4}),
    "resnet10t": EncoderConfig(
        encoder="resnet10t",
        encoder_options={"channels": (8, 16, 16, 32), "stem_width": 4, "stem_type": "deep", "avg_down": False},
        unstrided=1,
    ),
}
STEPS, RATES = {"patchnet": 400, "resnet10t": 250}, {"patchnet": 5e-3, "resnet10t": 3e-3}


@dataclass(frozen=True)
class Images:
    """Images as a network receives them, with their truth."""

    pixels: Tensor
    parts: KnownParts


def setting(seed: int) -> MultiViewConfig:
    """Images of 24 pixels, four classes of two equally strong parts, with faint parts of other classes around them."""
    return MultiViewConfig(
        classes=CLASSES, size=24, step=4, weak_strength=1.0, noise=0.4, clutter=0.2, distractor_strength=0.25, seed=seed
    )


def known_by_construction(views: str, seed: int) -> np.ndarray:
    """Which part of which class the network may know, bool (k, L)."""
    choice = np.random.default_rng(seed).integers(0, 3 if views == "mixed" else 2, CLASSES)
    if views == "two":
        choice[:] = 2
    return np.stack([choice != 1, choice != 0], 1)


def images_of(config: MultiViewConfig, split: str, shows: np.ndarray) -> Images:
    """Images that show all parts (0) or part l alone."""
    drawn = draw_multiview(config, split, shows)
    names = tuple(str(i) for i in range(config.classes))
    truth = true_parts(config, split, np.arange(len(shows)), drawn.labels, drawn.parts_present, names)
    return Images(normalized(torch.from_numpy(drawn.images).float() / 255), truth)


def normalized(pixels: Tensor) -> Tensor:
    """Parts have zero mean and unit variance."""
    return (pixels - 0.5) / 0.15


def training_images(config: MultiViewConfig, known: np.ndarray, count: int, seed: int) -> Images:
    """Images without any unknown part, not even a faint one; of two known parts, one, the other or both."""
    bare = replace(config, distractors=0)
    labels = draw_multiview(bare, "train", np.zeros(count, np.int64)).labels
    any_of = np.random.default_rng(seed).integers(0, 3, count)
    return images_of(bare, "train", np.where(known[labels].all(1), any_of, 1 + known[labels].argmax(1)))


def detectors(config: MultiViewConfig, known: np.ndarray) -> nn.Module:
    """A PatchNet whose kernels are matched filters of the known parts, and whose head adds those of a class."""
    patterns = torch.from_numpy(textures(config))[torch.from_numpy(known)]
    owner = torch.from_numpy(np.nonzero(known)[0])
    model = PatchNet(in_chans=1, width=len(owner), patch=config.part_size, stride=1, num_classes=config.classes)
    with torch.no_grad():
        model.kernels.weight.copy_(0.01 * patterns[:, None])
        assert isinstance(model.head, nn.Linear)
        model.head.weight.copy_(30 * F.one_hot(owner, config.classes).T.float())
        model.head.bias.zero_()
    return model.eval()


def trained(kind: str, config: MultiViewConfig, known: np.ndarray, seed: int, steps: int | None = None) -> nn.Module:
    """A network trained on images without the unknown parts."""
    model = build_model(ENCODERS[kind], in_chans=1, image_size=(24, 24), num_classes=CLASSES, seed=seed).train()
    images = training_images(config, known, 2000, seed)
    labels = torch.from_numpy(images.parts.labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATES[kind], weight_decay=0.0)
    total = steps if steps is not None else STEPS[kind]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATES[kind], total)
    order = torch.Generator().manual_seed(seed)
    for _ in range(total):
        batch = torch.randint(len(labels), (64,), generator=order)
        loss = F.cross_entropy(model(images.pixels[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def look_at(model: nn.Module, config: MultiViewConfig, seed: int, count: int = 600, whole: int = 24) -> dict[str, Any]:
    """Audit a network: captured parts on `count` images, sufficient views on `whole` multi-view ones.

    Also returned are two simpler measures: the best unit against other classes only, and accuracy on single parts.
    """
    images = images_of(config, "test", np.arange(count) % 3)
    which = contrasts(images.parts)
    bare = draw_multiview(config, "test", np.full(count, config.parts + 1)).images
    absent = normalized(torch.from_numpy(bare).float() / 255)
    values, gone = (pooled_stages(model, x.split(200))[-1].mean.numpy() for x in (images.pixels, absent))
    found = captured_parts(values, gone, which, alternate(images.parts))
    predicted = torch.cat([model(chunk) for chunk in images.pixels.split(200)]).argmax(1).numpy()
    return {
        "score": found.score.reshape(CLASSES, -1).tolist(),
        "against_classes": auroc_matrix(values, which.positive, which.negative).max(0).reshape(CLASSES, -1).tolist(),
        "captured": found.captured.reshape(CLASSES, -1).tolist(),
        "alone": single_part_accuracy(predicted, images.parts).tolist(),
        **views_of(model, config, seed, whole),
    }


def views_of(model: nn.Module, config: MultiViewConfig, seed: int, count: int) -> dict[str, Any]:
    """Mean number of sufficient views over multi-view images; cells of 4 pixels, four of them a part."""
    drawn = draw_multiview(config, "test", np.zeros(count, np.int64))
    pixels = torch.from_numpy(drawn.images).float() / 255
    grid = choose_grid((config.size, config.size), 4)
    filled = fill_images(pixels, torch.arange(count), "mean", mean=(0.5,), std=(0.15,), side=grid.side, seed=seed)
    ask = asking(model, normalized(pixels), normalized(filled), torch.from_numpy(drawn.labels), grid)
    counts = [v.count for v in sufficient_views(ask, count, grid, margin=0.2, evaluations=256) if v.status == "kept"]
    return {"views": float(np.mean(counts)) if counts else None, "kept": len(counts)}


def network(kind: str, views: str, seed: int) -> dict[str, Any]:
    """Build one network and audit it."""
    started, known, config = time.process_time(), known_by_construction(views, seed), setting(seed)
    model = detectors(config, known) if kind == "detectors" else trained(kind, config, known, seed)
    made = time.process_time()
    row = {"kind": kind, "views_known": views, "seed": seed, "known": known.tolist(), **look_at(model, config, seed)}
    return {**row, "cpu_seconds": [round(made - started, 1), round(time.process_time() - made, 1)]}


def summary(rows: list[dict[str, Any]], threshold: float = THRESHOLD) -> dict[str, Any]:
    """Confusion of captured parts, in all and by kind of network, and how well sufficient views separate."""
    by_kind = {kind: _confusion([row for row in rows if row["kind"] == kind], threshold) for kind in KINDS}
    counted = [row for row in rows if row["views"] is not None and row["views_known"] != "mixed"]
    two = np.array([row["views_known"] == "two" for row in counted], bool)
    means = np.array([row["views"] for row in counted])
    separated = None
    if two.any() and not two.all():
        separated = float(auroc_matrix(means[:, None], two[:, None], ~two[:, None])[0, 0])
    return {
        "threshold": threshold,
        "captured": _confusion(rows, threshold),
        "by_kind": {kind: table for kind, table in by_kind.items() if table["pairs"]},
        "views_auroc": separated,
        "views_networks": len(counted),
        "views_mean": {
            name: _mean([r["views"] for r in counted if r["views_known"] == name]) for name in ("one", "two")
        },
    }


def _confusion(rows: list[dict[str, Any]], threshold: float) -> dict[str, Any]:
    known = np.array([row["known"] for row in rows], bool).reshape(-1)
    score = np.array([row["score"] for row in rows]).reshape(-1)
    alone = np.array([row["alone"] for row in rows]).reshape(-1)
    said = score >= threshold
    return {
        "pairs": len(known),
        "right": _mean(known == said),
        "known and captured": int((known & said).sum()),
        "known, not captured": int((known & ~said).sum()),
        "unknown, captured": int((~known & said).sum()),
        "unknown, not captured": int((~known & ~said).sum()),
        "lowest score of a known part": float(score[known].min()) if known.any() else None,
        "highest score of an unknown part": float(score[~known].max()) if (~known).any() else None,
        "accuracy on known parts alone": _mean(alone[known]),
        "accuracy on unknown parts alone": _mean(alone[~known]),
    }


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None


def main() -> int:
    """Compute missing results; print a line per network, the confusion, and last the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/audit_calibration"))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--first-seed", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=4)
    wanted = parser.parse_args()
    rows = []
    for seed in range(wanted.first_seed, wanted.first_seed + wanted.seeds):
        for views in VIEWS:
            for kind in wanted.kinds:
                file = wanted.out / f"{kind}_{views}_{seed}.json"
                if not file.exists():
                    file.parent.mkdir(parents=True, exist_ok=True)
                    write_json(file, network(kind, views, seed))
                rows.append(read_json(file))
                print(
                    json.dumps({k: rows[-1][k] for k in ("kind", "views_known", "seed", "views", "cpu_seconds")}),
                    flush=True,
                )
    found = summary(rows)
    print(json.dumps(found, indent=1))
    right, apart, networks = found["captured"]["right"], found["views_auroc"], found["views_networks"]
    separation = "not measured" if apart is None else f"{apart:.3f}"
    print(
        f"captured parts right for {100 * right:.1f} % of {found['captured']['pairs']} (class, part) pairs; sufficient "
        f"views tell one-view from two-view networks with AUROC {separation} (n = {networks})"
    )
    return 0 if right >= 0.95 and apart is not None and apart >= 0.95 and networks >= 20 else 1


if __name__ == "__main__":
    sys.exit(main())
