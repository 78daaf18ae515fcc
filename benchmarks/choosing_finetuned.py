"""Does choosing which images get the labels pay after fine-tuning? On test images, in slices of some minutes.

Every pretraining meets every draw. A draw has a pool, half of the training images, from which labels are found in three
ways: at random (if images have groups, these take turns, as for chosen ones), at random with the same number per class,
and chosen by the pretraining's features. On each, one network is trained from the pretraining and one from scratch;
what does not depend on the pretraining is trained once. Random numbers of a training are those of its draw. The
networks are `unmask`'s own, trained and scored by its own `fit`; this is cheaper than `unmask compare` because features
are computed once, a network is scored once, on test images spread evenly, and steps are few: as many as are enough on
validation images, on draws that are not reported. Each trial is a file, so a stopped table resumes.

Run: python benchmarks/choosing_finetuned.py run DATA FOLDER [--totals 50 100 300] [--epochs 3] [--minutes 13]
     again until it says that nothing is left: it pretrains, chooses the steps, then trains
     python benchmarks/choosing_finetuned.py table DATA FOLDER [--totals 50 100 300]
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import unmask
from choosing import embedded, ways
from unmask.config import ClassifyConfig, CompareConfig, DataConfig, PretrainConfig
from unmask.config.names import change
from unmask.data.load import Dataset, load_data
from unmask.inference.estimate import interval_of
from unmask.inference.hierarchy import Key, estimate_over, paired_differences
from unmask.inference.image_groups import per_group
from unmask.inference.verdict import Contest
from unmask.recipes import Wish, configured
from unmask.runs.files import read_json, write_json
from unmask.runs.layout import ENCODER_FILE
from unmask.stages.supervised import fit

WAYS = ("random", "balanced", "chosen")
Arm = Literal["pretrained", "scratch"]
ARMS: tuple[Arm, ...] = ("pretrained", "scratch")
TUNING = 100
"""The first draw on which steps are chosen; reported ones are 0, 1, ..."""
STEPS = (75, 150, 300)


@dataclass(frozen=True)
class Trial:
    """One training; `pretraining` is None if it does not depend on one."""

    total: int
    draw: int
    way: str
    arm: Arm
    pretraining: int | None

    @property
    def file(self) -> str:
        """Name of its file, which holds which test images were right: bool (n,)."""
        return f"{self.total}-{self.way}-{self.arm}-p{self.pretraining}-d{self.draw}.npy"


def trials(totals: list[int], draws: range, pretrainings: int) -> Iterator[Trial]:
    """The pretrained ones first, then those from scratch, draw by draw: an interrupted table is balanced."""
    for arm in ARMS:
        for draw in draws:
            for total in totals:
                for way in WAYS:
                    once = arm == "scratch" and way != "chosen"
                    numbers = [None] if once else list(range(pretrainings))
                    yield from (Trial(total, draw, way, arm, number) for number in numbers)


class Bench:
    """The images, the pretrainings' features of the training images, and the recipe of all trainings."""

    def __init__(self, wanted: argparse.Namespace) -> None:
        named = Wish(name=wanted.recipe, data=DataConfig(data=wanted.data))
        self.config = configured(CompareConfig, None, named)
        self.images: Dataset = load_data(self.config.data, labels=True, progress=False)
        self.runs = runs_of(wanted)
        self.judged = wanted.judged
        self.totals = sorted(wanted.totals)
        assert self.images.train is not None
        places = [wanted.folder / f"train-{number}.npy" for number in range(len(self.runs))]
        pairs = zip((run / ENCODER_FILE for run in self.runs), places, strict=True)
        self.features = [embedded(run, self.images.train, place).numpy() for run, place in pairs]
        self._rows: dict[tuple[int, int], dict[str, NDArray[np.int64]]] = {}

    def rows(self, trial: Trial) -> NDArray[np.int64]:
        """The labeled training images of a trial: the first ones of its draw's order."""
        key = (trial.pretraining or 0, trial.draw)
        if key not in self._rows:
            largest = [50, 100, 300] if self.possible(300) else [50, 100]
            self._rows[key] = dict(ways(self.images, self.features[key[0]], trial.draw, largest))
        return self._rows[key][trial.way][: trial.total]

    def possible(self, total: int) -> bool:
        """Whether a pool is at least twice as large."""
        assert self.images.train is not None
        return len(self.images.train) >= 4 * total

    def train(self, trial: Trial, steps: int, *, validation: bool = False) -> NDArray[np.bool_]:
        """Which of the evenly spread test images, or validation images, a trained network gets right."""
        data = self.images
        assert data.train is not None
        assert data.val is not None
        seen = data.val if validation else data.tests["test"]
        judged = seen.select(seen.evenly(self.judged))
        few = replace(data, train=data.train.select(self.rows(trial).tolist()), val=None, tests={"judged": judged})
        recipe = self.config.finetune
        recipe = replace(recipe, optimizer=recipe.optimizer.for_steps(steps))
        pretrained = trial.arm == "pretrained"
        config = ClassifyConfig(
            data=self.config.data,
            encoder=self.config.encoder,
            recipe=recipe if pretrained else replace(recipe, head_steps=0),
            init=str(self.runs[trial.pretraining or 0] / ENCODER_FILE) if pretrained else None,
            seed=trial.draw,
        )
        outcome = fit(config, few)
        return (outcome.outputs["judged"].argmax(1) == judged.labels).numpy()


def runs_of(wanted: argparse.Namespace) -> list[Path]:
    """The named pretrainings, else those of `pretrain`."""
    return wanted.runs or [wanted.folder / f"pretrained-{seed}" for seed in range(wanted.pretrainings)]


def pretrain(wanted: argparse.Namespace) -> None:
    """Pretrain with seeds 0, 1, ..., resuming where it was stopped."""
    config = configured(PretrainConfig, None, Wish(name=wanted.recipe, data=DataConfig(data=wanted.data)))
    for seed, run in enumerate(runs_of(wanted)):
        if not (run / ENCODER_FILE).exists():
            one = change(config, {"epochs": wanted.epochs, "seed": seed})
            unmask.pretrain(one, run, resume=run.exists(), progress=False)


def steps_of(bench: Bench, file: Path, total: int = 100) -> int:
    """The fewest steps whose validation accuracy is within a point of the best: random labels, from a pretraining.

    Results are kept in the file and are not measured again.
    """
    found: dict[str, list[float]] = read_json(file) if file.exists() else {}
    for steps in STEPS:
        if str(steps) not in found:
            started, scores = time.process_time(), []
            for draw in range(TUNING, TUNING + 2):
                trial = Trial(total, draw, "random", "pretrained", draw % len(bench.runs))
                scores.append(float(bench.train(trial, steps, validation=True).mean()))
            found[str(steps)] = scores
            write_json(file, found)
            seconds = (time.process_time() - started) / 2
            print(f"{steps} steps: {100 * np.mean(scores):.1f} on validation, {seconds:.1f} s of CPU each", flush=True)
    means = {steps: np.mean(found[str(steps)]) for steps in STEPS}
    return min(steps for steps, mean in means.items() if mean >= max(means.values()) - 0.01)


def run(wanted: argparse.Namespace) -> None:
    """Run missing trials, until all are done or time is up."""
    started, count = time.monotonic(), 0
    pretrain(wanted)
    bench, folder = Bench(wanted), wanted.folder / "trials"
    steps = wanted.steps or steps_of(bench, wanted.folder / "steps.json")
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [
        trial
        for trial in trials(bench.totals, range(wanted.draws), len(bench.runs))
        if bench.possible(trial.total) and not (folder / trial.file).exists()
    ]
    began = time.process_time()
    for trial in waiting:
        if time.monotonic() - started > 60 * wanted.minutes:
            break
        right = bench.train(trial, steps)
        temporary = folder / "unfinished.npy"
        np.save(temporary, right)
        temporary.replace(folder / trial.file)
        count += 1
    seconds = (time.process_time() - began) / max(count, 1)
    print(f"{count} trained of {steps} steps, {seconds:.1f} s of CPU each; {len(waiting) - count} left", flush=True)


Column = dict[Key, NDArray[np.float64]]
"""By (pretraining, draw): 1 for each correctly classified test image, else 0."""


def table(wanted: argparse.Namespace) -> None:
    """Print accuracy by way, and paired differences with 95 % intervals over pretrainings, draws and test images, or
    groups of them if the images have groups."""
    groups = judged_groups(wanted)
    for total in wanted.totals:
        found: dict[str, Column] = {}
        for trial in trials([total], range(wanted.draws), len(runs_of(wanted))):
            file = wanted.folder / "trials" / trial.file
            if file.exists():
                right = np.load(file).astype(np.float64)
                found.setdefault(f"{trial.arm} {trial.way}", {})[trial.pretraining, trial.draw] = right
        print(f"\n{total} labels in all")
        for name, column in found.items():
            scores = 100 * np.asarray([right.mean() for right in column.values()])
            print(f"{name:19s} {scores.mean():5.1f} (sd {scores.std(ddof=1):.1f}), {len(scores)} trainings")
        pairs = [(f"{arm} chosen", f"{arm} {other}") for arm in ARMS for other in ("random", "balanced")]
        pairs += [(f"pretrained {way}", f"scratch {way}") for way in WAYS]
        for one, other in (*pairs, ("pretrained chosen", "scratch random")):
            if one in found and other in found:
                print(f"{one} - {other}: {difference(found[one], found[other], groups)}")


def judged_groups(wanted: argparse.Namespace) -> NDArray[np.int64] | None:
    """The group of each test image that trials are judged on; None if the images have none."""
    named = Wish(name=wanted.recipe, data=DataConfig(data=wanted.data))
    data = load_data(configured(CompareConfig, None, named).data, labels=True, progress=False)
    test = data.tests["test"]
    return data.groups_of(test.select(test.evenly(wanted.judged)))


def difference(one: Column, other: Column, groups: NDArray[np.int64] | None) -> str:
    """The mean difference with its interval."""
    images = {key: per_group(values, groups) for key, values in paired_differences(one, other).items()}
    scores, others = ({key: float(right.mean()) for key, right in images.items()} for images in (one, other))
    found = estimate_over(paired_differences(scores, others), images, grouped=groups is not None)
    interval = interval_of(found, 0.95)
    low, high = interval.low, interval.high
    ends = "" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{100 * found.mean:+.1f}{ends}, p = {Contest(found).p_zero:.3f}, n = {len(images)}, {found.method}"


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="small-cnn")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--pretrainings", type=int, default=2)
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="existing pretrainings")
    parser.add_argument("--totals", type=int, nargs="+", default=[50, 100, 300])
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--steps", type=int, help="default: chosen on validation images")
    parser.add_argument("--judged", type=int, default=4000, help="test images, evenly spread")
    parser.add_argument("--minutes", type=float, default=13)
    wanted = parser.parse_args()
    if wanted.what == "run":
        run(wanted)
    else:
        table(wanted)


if __name__ == "__main__":
    main()
