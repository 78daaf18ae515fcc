"""Does a cheaper pretraining of `small-cnn` keep the accuracy? Equivalence within a point, and CPU seconds.

Fashion-MNIST at 32 px: each variant pretrains for the same steps from the same seeds (those named by their steps for
their own), each encoder is fine-tuned on the same draws of 50 labels per class, with the same training seeds. `scratch`
is no pretraining and 1,200 steps on the same draws. Only validation images are used: this is how defaults are chosen.
The difference of a variant from the first one is paired by pretraining and draw; its 90 % interval, over new
pretrainings and draws, within a point either way is equivalence at 5 % (two one-sided tests). CPU seconds are those of
this process for the whole pretraining. Every finished training is a line of DIR/trials.jsonl, so an interrupted run
continues; `--minutes` ends it after the current training.

    OMP_NUM_THREADS=1 python benchmarks/same_accuracy.py DIR --ways width-64 width-32
"""

import argparse
import itertools
import json
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import unmask
from unmask.inference.estimate import interval_of
from unmask.inference.hierarchy import estimate_over, paired_differences

WAYS: dict[str, dict[str, Any]] = {
    "dense-64": {"decoder_width": 64, "execution": "dense"},
    "width-64": {"decoder_width": 64},
    "width-32": {"decoder_width": 32},
    "linear": {"decoder": "linear"},
    "half": {"predict": 0.5},
    "small-first": {"size_schedule": "24:0.5,32:0.5"},
    "width-32-small-first": {"decoder_width": 32, "size_schedule": "24:0.6,32:0.4"},
    "width-32-smaller-first": {"decoder_width": 32, "size_schedule": "16:0.5,32:0.5"},
    "batch-64": {"decoder_width": 32, "batch_size": 64},
    "ratio-75": {"decoder_width": 32, "mask_ratio": 0.75},
    "steps-400": {"decoder_width": 32, "steps": 400},
    "steps-715": {"decoder_width": 32, "steps": 715},
    "steps-3990": {"decoder_width": 32, "steps": 3990},
    "smaller-first-3990": {"decoder_width": 32, "size_schedule": "16:0.5,32:0.5", "steps": 3990},
    "teacher-dense-64": {"target": "ema_teacher", "decoder_width": 64, "execution": "dense"},
    "teacher-four": {"target": "ema_teacher", "decoder_width": 32, "masks": 4, "batch_size": 32},
    "teacher-smaller-first": {"target": "ema_teacher", "decoder_width": 32, "size_schedule": "16:0.5,32:0.5"},
    "teacher-four-64": {"target": "ema_teacher", "decoder_width": 32, "masks": 4, "batch_size": 64, "steps": 500},
}
"""What differs from the recipe."""
SCRATCH, SCRATCH_STEPS = "scratch", 1200
LABELS, MARGIN = 50, 1.0
"""Labels per class; points within which two ways count as equally good."""


def known_trials(file: Path) -> list[dict[str, Any]]:
    """Trials that are done."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def pretrained(folder: Path, way: str, seed: int, steps: int) -> float:
    """CPU seconds of a pretraining, whose run is left in the folder."""
    start = time.process_time()
    settings = {"seed": seed, "steps": steps, "decoder_width": 64} | WAYS[way]
    unmask.pretrain("fashion-mnist", folder, overwrite=True, progress=False, **settings)
    return time.process_time() - start


def accuracy(folder: Path, run: Path | None, draw: int) -> float:
    """Accuracy of the network, fine-tuned or without a run from scratch, on validation images, in percent."""
    settings: dict[str, Any] = {"budget": LABELS, "seed": draw, "subset_seed": 7, "subset_index": draw}
    if run is None:
        train, settings = unmask.scratch, settings | {"steps": SCRATCH_STEPS}
    else:
        train, settings = unmask.finetune, settings | {"init": str(run)}
    done = train("fashion-mnist", folder, overwrite=True, progress=False, **settings)
    return 100 * done.scores["val"].accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ways", nargs="+", default=["width-64", "width-32"])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--pretrainings", type=int, default=3)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    until, file = time.monotonic() + 60 * options.minutes, options.folder / "trials.jsonl"
    trainings: list[tuple[str, int | None]] = [(SCRATCH, None)] if SCRATCH in options.ways else []
    pretrained_ways = [way for way in options.ways if way != SCRATCH]
    trainings += [(way, seed) for seed, way in itertools.product(range(options.pretrainings), pretrained_ways)]
    for way, seed in trainings:
        done = {trial["draw"] for trial in known_trials(file) if (trial["way"], trial["pretraining"]) == (way, seed)}
        if time.monotonic() < until and set(range(options.draws)) - done:
            train(options, file, way, seed, done, until)
    tell(known_trials(file), options.ways)


def train(options: argparse.Namespace, file: Path, way: str, seed: int | None, done: set[int], until: float) -> None:
    """Run a pretraining, unless there is none or its run exists, and the missing draws."""
    run, seconds = options.folder / f"{way}-{seed}", options.folder / f"{way}-{seed}.seconds"
    if seed is None:
        seconds.write_text("0")
    elif not seconds.exists():
        seconds.write_text(str(pretrained(run, way, seed, options.steps)))
    for draw in sorted(set(range(options.draws)) - done):
        if time.monotonic() > until:
            return
        trained = options.folder / f"{way}-{seed}-{draw}"
        score = accuracy(trained, None if seed is None else run, draw)
        shutil.rmtree(trained)
        line = {"way": way, "pretraining": seed, "draw": draw, "accuracy": score, "seconds": float(seconds.read_text())}
        with file.open("a") as table:
            table.write(json.dumps(line) + "\n")
        print(line, flush=True)


def tell(trials: list[dict[str, Any]], ways: list[str]) -> None:
    """Print a line per variant, and for all but the first its difference."""
    scores = {way: {(t["pretraining"], t["draw"]): t["accuracy"] for t in trials if t["way"] == way} for way in ways}
    for way in ways:
        seconds = {t["pretraining"]: t["seconds"] for t in trials if t["way"] == way}
        if len(scores[way]) > 1:
            mean, cost = statistics.mean(scores[way].values()), statistics.median(seconds.values())
            print(
                f"{way}: {mean:.2f} % (n = {len(scores[way])}), {cost:.0f} CPU s per pretraining (n = {len(seconds)})"
            )
    for way in ways[1:]:
        differences = paired_differences(scores[way], scores[ways[0]])
        if len(differences) > 3:
            found = estimate_over(differences)
            interval = interval_of(found, 0.9)
            low, high = interval.low, interval.high
            if low is None or high is None:
                continue
            equal = "equivalent" if max(-low, high) < MARGIN else "not shown to be equivalent"
            told = f"{found.mean:+.2f} points (90 % interval {low:+.2f} to {high:+.2f}, n = {len(differences)})"
            print(f"{way} - {ways[0]}: {told}: {equal} within {MARGIN:g} point")


if __name__ == "__main__":
    main()
