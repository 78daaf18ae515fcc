"""Which images should get the labels? The evidence on one data set: strategies on validation images, then a comparison.

strategies: a pretraining of a seed that is reported nowhere; every strategy chooses from halves of the training
images, and a logistic regression on the frozen features says how good the choice is on validation images. This is what
the default strategy was chosen by. compare: labels at random, balanced by class and chosen, at equal totals, fine-tuned
and from scratch, on test images: `unmask compare --labels random balanced chosen`. Both go on where they were stopped.

Run: python benchmarks/choosing.py strategies fashion-mnist FOLDER [--totals 50 100 300] [--epochs 3]
     python benchmarks/choosing.py compare fashion-mnist FOLDER [--totals 50 100 300] [--draws 8] [--epochs 3]
Time on one core, Fashion-MNIST: a pretraining takes 1 min per epoch, a training of 300 steps 15 s; 2 pretrainings of 3
epochs, 3 ways, 3 totals, 2 arms and 8 draws are 144 trainings and 45 min.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import unmask
from unmask.choosing.features import features_of
from unmask.choosing.strategies import STRATEGIES, choose_rows
from unmask.config import CompareConfig, DataConfig, PretrainConfig
from unmask.config.names import change
from unmask.data.load import Dataset, load_data
from unmask.data.subsets import half_of, nested_subsets
from unmask.evaluate.probe import linear_probe
from unmask.recipes import Wish, configured
from unmask.runs.files import read_json, write_json
from unmask.runs.layout import ENCODER_FILE
from unmask.weights.network import load_model

APART = 1000
"""Seed of what strategies are chosen by; the comparison has seed 0."""
HALVES = 6


def strategies(data: str, folder: Path, wanted: argparse.Namespace) -> None:
    """Print validation accuracy by strategy, form of the features and number of labels: mean (deviation over halves).

    What is measured stands in strategies.json and is not measured again.
    """
    run = folder / "pretrained"
    config = configured(PretrainConfig, None, Wish(name=wanted.recipe, data=DataConfig(data=data)))
    config = change(config, {"epochs": wanted.epochs, "seed": APART})
    if not (run / ENCODER_FILE).exists():
        unmask.pretrain(config, run, resume=run.exists(), progress=False)
    images = load_data(config.data, labels=True, progress=False)
    assert images.train is not None
    assert images.val is not None
    model = load_model(run)
    train, val = (features_of(model.module, one).values for one in (images.train, images.val))
    file = folder / "strategies.json"
    found = read_json(file) if file.exists() else {}
    for form, half, name, rows in choices(images, train, found, wanted.totals):
        scores = [probe(train, images.train.labels, rows[:count], val, images) for count in wanted.totals]
        found[f"{form} {name} {half}"] = scores
        write_json(file, found)
    for way in dict.fromkeys(key.rpartition(" ")[0] for key in found):
        table = np.asarray([found[f"{way} {half}"] for half in range(HALVES)])
        cells = (f"{100 * m:5.1f} ({100 * s:.1f})" for m, s in zip(table.mean(0), table.std(0, ddof=1), strict=True))
        print(f"{way:28s} " + "  ".join(cells))


def choices(
    images: Dataset, features: NDArray[np.float32], known: dict[str, list[float]], totals: list[int]
) -> Iterator[tuple[str, int, str, NDArray[np.int64]]]:
    """(form of the features, half, way to find labels, rows of the training images in order) of what is not known."""
    assert images.train is not None
    forms = {"plain": features, "unit": features / np.linalg.norm(features, axis=1, keepdims=True)}
    deviations, directions = np.linalg.eigh(np.cov(features.T))
    wide = deviations > 1e-6 * deviations.max()
    forms["whitened"] = (features @ directions[:, wide] / np.sqrt(deviations[wide])).astype(np.float32)
    for half in range(HALVES):
        pool = half_of(images.train.labels, APART, images.groups, half).numpy()
        if f"labels balanced {half}" not in known:
            order = balanced(images.train.labels[pool], half, totals)
            yield "labels", half, "balanced", pool[order]
        for form, values in forms.items():
            groups = None if images.groups is None else images.groups[pool].numpy()
            for name in STRATEGIES:
                if f"{form} {name} {half}" not in known and (name != "random" or form == "plain"):
                    chosen = choose_rows(values[pool], max(totals), strategy=name, groups=groups, seed=half)
                    yield form, half, name, pool[chosen]


def balanced(labels: Tensor, half: int, totals: list[int]) -> NDArray[np.int64]:
    """Rows in an order of which every beginning has as many of each class as can be."""
    drawn = nested_subsets(labels, [f"balanced:{count}" for count in totals], APART + half)
    order: dict[int, None] = {}
    for count in sorted(totals):
        order.update(dict.fromkeys(drawn[f"balanced:{count}"].tolist()))
    return np.asarray(list(order))


def probe(
    features: NDArray[np.float32], labels: Tensor, rows: NDArray[np.int64], val: NDArray[np.float32], images: Dataset
) -> float:
    """Validation accuracy of a logistic regression of fixed strength on these rows."""
    assert images.val is not None
    fitted = linear_probe(
        torch.from_numpy(features[rows]),
        labels[rows],
        torch.from_numpy(val),
        classes=len(images.classes),
    )
    return float((fitted.logits.argmax(1) == images.val.labels).float().mean())


def compare(data: str, folder: Path, wanted: argparse.Namespace) -> None:
    """The comparison; prints the path of its page."""
    config = change(
        configured(CompareConfig, None, Wish(name=wanted.recipe, data=DataConfig(data=data))),
        {
            "budgets": tuple(f"total:{total}" for total in wanted.totals),
            "labels": ("random", "balanced", "chosen"),
            "arms": ("mrp", "scratch_same"),
            "pretrainings": wanted.pretrainings,
            "draws": wanted.draws,
            "tuning_draws": 1,
            "keep": "none",
            "given": None,
            "scratch_schedules": (),
            "jobs": wanted.jobs,
            "pretrain": {"epochs": wanted.epochs},
            "finetune": {"steps": wanted.steps},
        },
    )
    out = folder / "compare"
    print(unmask.compare(config, out, resume=out.exists()).report)


def main() -> None:
    """One of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("strategies", "compare"))
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--totals", type=int, nargs="+", default=[50, 100, 300])
    parser.add_argument("--recipe")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--pretrainings", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=1)
    wanted = parser.parse_args()
    if wanted.what == "strategies":
        strategies(wanted.data, wanted.folder, wanted)
    else:
        compare(wanted.data, wanted.folder, wanted)


if __name__ == "__main__":
    main()
