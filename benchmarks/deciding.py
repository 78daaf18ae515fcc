"""How often does a comparison that stops when decided decide, and at what price? Ten repetitions on real images.

Five encoders are pretrained as `compare` does by default. Each repetition takes another three of them (there are ten
such triples) and label draws of its own, and asks `compare --until decided` the question at one budget; it chooses the
recipes of both arms on its own tuning draws. Repetitions share encoders, so they are not fully independent. Beside the
seconds of its trainings stand those of the fixed design of nine draws: tuning as it was, and draws at their mean price.

    OMP_NUM_THREADS=1 python benchmarks/deciding.py DATA FOLDER [--budget 10] [--image-size 16] [--repetitions 10]

Small images make it affordable. What is finished in FOLDER is not repeated; after --minutes no repetition is begun. The
table is printed at the end.
"""

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import torch
from same_accuracy import known_trials

import unmask
from unmask.config import CompareConfig
from unmask.runs.work import read_work

ENCODERS = 5
ARMS = ("mrp", "scratch_best")
FIXED = CompareConfig().planned_draws
"""Label draws of the fixed design."""


def encoder(data: str, folder: Path, seed: int, settings: dict[str, Any]) -> Path:
    """The run of a pretraining by the recipe of the data and `settings`, which is made unless it is there."""
    out, done = folder / f"encoder-{seed}", folder / f"encoder-{seed}.seconds"
    if not done.exists():
        start = time.process_time()
        unmask.pretrain(data, out, seed=seed, resume=out.exists(), progress=False, **settings)
        done.write_text(f"{time.process_time() - start:.0f}")
    return out


def repetition(data: str, folder: Path, number: int, budget: int, settings: dict[str, Any]) -> dict[str, Any]:
    """What one comparison says, and the seconds of its trainings with and without stopping."""
    three = list(itertools.combinations(range(ENCODERS), 3))[number]
    encoders = [encoder(data, folder, seed, settings) for seed in three]
    out = folder / f"repetition-{number}"
    found = unmask.compare(
        data,
        out,
        resume=out.exists(),
        progress=False,
        pretrained=[str(path) for path in encoders],
        budgets=(budget,),
        arms=ARMS,
        until="decided",
        seed=100 + number,
        jobs=1,
        **settings,
    )
    look = found.summary.looks[-1]
    (contest,) = [
        row for row in found.summary.differences if row.baseline == "best scratch arm" and row.metric == "accuracy"
    ]
    spent = {kind: trained_seconds(out, kind) for kind in ("tuning", "trial")}
    return {
        "repetition": number,
        "encoders": three,
        "word": look.word,
        "draws": look.draws,
        "gain": 100 * contest.mean,
        "low": None if contest.low is None else 100 * contest.low,
        "high": None if contest.high is None else 100 * contest.high,
        "seconds": sum(spent.values()),
        "fixed": spent["tuning"] + spent["trial"] * FIXED / look.draws,
    }


def trained_seconds(out: Path, kind: str) -> float:
    """Seconds of all trainings of a kind, whenever they ran."""
    return sum(row.seconds for row in read_work(out) if row.kind == kind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=int, default=10)
    parser.add_argument("--image-size", type=int, help="side in pixels (default: the recipe's)")
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    side = options.image_size
    settings = {} if side is None else {"image_size": (side, side)}
    until, file = time.monotonic() + 60 * options.minutes, options.folder / "repetitions.jsonl"
    rows = known_trials(file)
    for number in range(len(rows), options.repetitions):
        if time.monotonic() < until:
            rows.append(repetition(options.data, options.folder, number, options.budget, settings))
            with file.open("a") as table:
                table.write(json.dumps(rows[-1]) + "\n")
            print(rows[-1], flush=True)
    tell(rows)


def tell(rows: list[dict[str, Any]]) -> None:
    """The table, and its sum in a line."""
    print("| repetition | encoders | draws | gain, points [95 % interval] | word | s of training | s of nine draws |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        interval = "" if row["low"] is None else f" [{row['low']:+.1f}, {row['high']:+.1f}]"
        told = f"{row['gain']:+.1f}{interval} | {row['word']} | {row['seconds']:.0f} | {row['fixed']:.0f} |"
        print(f"| {row['repetition']} | {', '.join(map(str, row['encoders']))} | {row['draws']} | {told}")
    decided = sum(row["word"] in ("gain", "loss", "equivalent") for row in rows)
    spent, fixed = (sum(row[name] for row in rows) for name in ("seconds", "fixed"))
    print(
        f"decided: {decided} of {len(rows)}; trainings took {spent / max(fixed, 1e-9):.2f} of the fixed design's time"
    )


if __name__ == "__main__":
    main()
