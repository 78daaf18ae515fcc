"""Which images should get the labels? The evidence on one data set: strategies on validation images, then on the test.

strategies: a pretraining with a seed that is reported nowhere; every strategy chooses from halves of the training
images, and a logistic regression on the frozen features shows how good the choice is on validation images. The default
strategy was chosen this way. probe: the default strategy, random labels and balanced ones on test images: each of
several pretrainings with other seeds meets every draw; the strength of the regression is chosen on validation images.
compare: the same fine-tuned and from scratch, `unmask compare --labels random balanced chosen`. All resume where they
were stopped.

Run: python benchmarks/choosing.py strategies fashion-mnist FOLDER [--totals 50 100 300] [--epochs 3]
     python benchmarks/choosing.py probe fashion-mnist FOLDER --runs RUN RUN [--totals 50 100 300] [--draws 8]
     python benchmarks/choosing.py compare fashion-mnist FOLDER [--totals 50 100 300] [--draws 8] [--epochs 3]
Time of compare on Fashion-MNIST by its own forecast, on one shared core: 45 min for one total, two pretrainings
and 8 draws (57 trainings of 300 steps); three totals take three times as long.
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
from unmask.choosing.strategies import DEFAULT, STRATEGIES, choose_rows
from unmask.config import CompareConfig, DataConfig, PretrainConfig
from unmask.config.names import change
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset, load_data
from unmask.data.subsets import half_of, nested_subsets
from unmask.evaluate.probe import linear_probe
from unmask.forward import pooled_features
from unmask.inference.estimate import interval_of
from unmask.inference.hierarchy import estimate_over, paired_differences
from unmask.recipes import Wish, configured
from unmask.runs.files import read_json, write_json
from unmask.runs.layout import ENCODER_FILE
from unmask.weights.network import load_model

APART = 1000
"""Seed of the pretraining by which strategies are chosen; the comparison has seed 0."""
HALVES = 6


def strategies(data: str, folder: Path, wanted: argparse.Namespace) -> None:
    """Print validation accuracy by strategy, form of the features and number of labels: mean (deviation over halves).

    Results are kept in strategies.json and are not measured again.
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
    """Missing results: (form of the features, half, way to find labels, rows of the training images in order)."""
    assert images.train is not None
    forms = {"plain": features, "unit": features / np.linalg.norm(features, axis=1, keepdims=True)}
    deviations, directions = np.linalg.eigh(np.cov(features.T))
    wide = deviations > 1e-6 * deviations.max()
    forms["whitened"] = (features @ directions[:, wide] / np.sqrt(deviations[wide])).astype(np.float32)
    members = images.groups_of(images.train)
    for half in range(HALVES):
        pool = half_of(images.train.labels, APART, members, half).numpy()
        if f"labels balanced {half}" not in known:
            order = balanced(images.train.labels[pool], half, totals)
            yield "labels", half, "balanced", pool[order]
        for form, values in forms.items():
            groups = None if members is None else members[pool]
            for name in STRATEGIES:
                if f"{form} {name} {half}" not in known and (name != "random" or form == "plain"):
                    chosen = choose_rows(values[pool], max(totals), strategy=name, groups=groups, seed=half)
                    yield form, half, name, pool[chosen]


def balanced(labels: Tensor, half: int, totals: list[int]) -> NDArray[np.int64]:
    """Rows in an order in which every prefix is as balanced over classes as possible."""
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
    return float((fitted.outputs.argmax(1) == images.val.labels).float().mean())


def probes(data: str, folder: Path, wanted: argparse.Namespace) -> None:
    """Print test accuracy by way and number of labels, and paired differences with intervals over all that varies.

    Results are kept in probe.json and are not measured again.
    """
    images = load_data(configured(PretrainConfig, None, Wish(data=DataConfig(data=data))).data, labels=True)
    assert images.train is not None
    assert images.val is not None
    file = folder / "probe.json"
    found = read_json(file) if file.exists() else {}
    for number, run in enumerate(wanted.runs):
        if sum(key.startswith(f"{number} ") for key in found) == 3 * wanted.draws:
            continue
        sets = {"train": images.train, "val": images.val, "test": images.tests["test"]}
        train, val, test = (embedded(run, one, folder / f"{number}-{name}.npy") for name, one in sets.items())
        for draw in range(wanted.draws):
            for way, rows in ways(images, train.numpy(), draw, wanted.totals):
                scores = [
                    linear_probe(
                        train[rows[:total]],
                        images.train.labels[rows[:total]],
                        test,
                        classes=len(images.classes),
                        val_features=val,
                        val_labels=images.val.labels,
                    ).outputs.argmax(1)
                    for total in wanted.totals
                ]
                truth = images.tests["test"].labels
                found[f"{number} {draw} {way}"] = [float((one == truth).float().mean()) for one in scores]
                write_json(file, found)
    _print_probes(found, wanted.totals)


def embedded(run: Path, images: ImageSet, file: Path) -> Tensor:
    """Features of a set, kept in a file; not centered, because every set has its own mean."""
    if not file.exists():
        np.save(file, pooled_features(load_model(run).module, images).values.numpy())
    return torch.from_numpy(np.load(file))


def ways(
    images: Dataset, features: NDArray[np.float32], draw: int, totals: list[int]
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Rows of the training images of a draw in order, by each way to find labels."""
    assert images.train is not None
    members = images.groups_of(images.train)
    pool = half_of(images.train.labels, 0, members, draw).numpy()
    groups = None if members is None else members[pool]
    for way in ("random", "chosen"):
        strategy = "random" if way == "random" else DEFAULT
        yield way, pool[choose_rows(features[pool], max(totals), strategy=strategy, groups=groups, seed=draw)]
    yield "balanced", pool[balanced(images.train.labels[pool], draw, totals)]


def _print_probes(found: dict[str, list[float]], totals: list[int]) -> None:
    def column(way: str, at: int) -> dict[tuple[int | None, int], float]:
        keys = [key.split() for key in found if key.endswith(f" {way}")]
        return {(int(number), int(draw)): found[f"{number} {draw} {way}"][at] for number, draw, _ in keys}

    for at, total in enumerate(totals):
        columns = {way: column(way, at) for way in ("random", "balanced", "chosen")}
        for way, values in columns.items():
            numbers = list(values.values())
            print(f"{total} {way:9s} {100 * np.mean(numbers):5.1f} (sd {100 * np.std(numbers, ddof=1):.1f})")
        for other in ("random", "balanced"):
            one = interval_of(estimate_over(paired_differences(columns["chosen"], columns[other])), 0.95)
            ends = "" if one.low is None or one.high is None else f" [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
            print(f"{total} chosen - {other}: {100 * one.mean:+.1f}{ends}, {one.method}")


def compare(data: str, folder: Path, wanted: argparse.Namespace) -> None:
    """Run the comparison; print the path of its page."""
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
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("strategies", "probe", "compare"))
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--totals", type=int, nargs="+", default=[50, 100, 300])
    parser.add_argument("--recipe")
    parser.add_argument("--runs", type=Path, nargs="+", default=[])
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--pretrainings", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=1)
    wanted = parser.parse_args()
    if wanted.what == "strategies":
        strategies(wanted.data, wanted.folder, wanted)
    elif wanted.what == "probe":
        probes(wanted.data, wanted.folder, wanted)
    else:
        compare(wanted.data, wanted.folder, wanted)


if __name__ == "__main__":
    main()
