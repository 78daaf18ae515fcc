"""Training steps in processes that ask for transparent huge pages against ones that do not, in pairs.

What the worker processes of a comparison do (`unmask.huge_pages`). Each training is a new process with one thread: CPU
time of its steps after four, and its peak memory. The order is reversed from pair to pair. Linux with glibc 2.35 or
newer, else the ratios are about 1.

    OMP_NUM_THREADS=1 python benchmarks/huge_pages.py --n 5
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import islice

import torch
from default_step import take_steps

from unmask.config import ClassifyConfig, DataConfig, PretrainConfig
from unmask.data.load import Dataset, load_data
from unmask.huge_pages import huge_pages
from unmask.recipes.named import RECIPES
from unmask.stages.supervised import Supervised
from unmask.training.stage import Setup
from unmask.training.step import Step

STEPS = {
    ("pretraining", "small-cnn", 32): 40,
    ("from scratch", "small-cnn", 32): 100,
    ("pretraining", "photo-cnn", 96): 12,
    ("from scratch", "photo-cnn", 96): 30,
    ("pretraining", "mae-vit-small", 96): 12,
}
"""Stage, recipe and size in px, with the steps that are timed."""
WARM_UP = 4
MOST = 128
"""Images of a step, at most; of a ViT's, a quarter."""


class EnoughError(Exception):
    """Ends a training."""


def seconds_of(stage: str, name: str, size: int, steps: int) -> float:
    """CPU seconds of so many steps in this process."""
    options = {"images": 1024, "val_images": 32, "test_images": 32, "classes": 4, "size": size, "part_size": size // 4}
    data, recipe = DataConfig(data="multiview", options=options), RECIPES[name]()
    images = load_data(data, labels=stage != "pretraining", progress=False)
    if stage == "pretraining":
        batch = min(recipe.pretrain.optimizer.batch_size, MOST // 4 if "vit" in name else MOST)
        optimizer = replace(recipe.pretrain.optimizer, batch_size=batch)
        pretraining = replace(recipe.pretrain, optimizer=optimizer)
        taken = take_steps(PretrainConfig(data=data, encoder=recipe.encoder, recipe=pretraining), images)
        list(islice(taken, WARM_UP))
        begin = time.process_time()
        list(islice(taken, steps))
        return time.process_time() - begin
    scratch = replace(recipe.finetune, head_steps=0, optimizer=recipe.finetune.optimizer.for_steps(10**6))
    return time_steps(ClassifyConfig(data=data, encoder=recipe.encoder, recipe=scratch), images, steps)


def time_steps(config: ClassifyConfig, images: Dataset, steps: int) -> float:
    """CPU seconds of so many steps of a training on labels."""
    ends: list[float] = []

    def note(step: Step) -> None:
        ends.append(time.process_time())
        if len(ends) > WARM_UP + steps:
            raise EnoughError

    with suppress(EnoughError):
        Supervised(config, images, replace(Setup.alone("no"), on_step=note)).train()
    return ends[-1] - ends[-1 - steps]


def measure(stage: str, name: str, size: int, *, huge: bool) -> tuple[float, float]:
    """CPU seconds of the steps and peak memory in MiB of a training in a new process."""
    command = [sys.executable, __file__, "--only", stage, name, str(size)]
    with huge_pages() if huge else nullcontext():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seconds = float(process.stdout.read())
    return seconds, os.wait4(process.pid, 0)[2].ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=5)
    parser.add_argument("--only", nargs=3, metavar=("STAGE", "RECIPE", "SIZE"), help="one training in this process")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.only:
        stage, name, size = options.only
        print(seconds_of(stage, name, int(size), STEPS[stage, name, int(size)]))
        return
    for stage, name, size in STEPS:
        found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for pair in range(options.n):
            for huge in (False, True) if pair % 2 == 0 else (True, False):
                found[huge].append(measure(stage, name, size, huge=huge))
        pairs = list(zip(found[True], found[False], strict=True))
        low, middle, high = statistics.quantiles([huge[0] / plain[0] for huge, plain in pairs], n=4)
        memory = statistics.median(huge[1] / plain[1] for huge, plain in pairs)
        print(
            f"{stage}, {name}, {size} px: {middle:.2f} ({low:.2f} to {high:.2f}) of the CPU time, "
            f"{memory:.2f} of the peak memory; n = {options.n}",
            flush=True,
        )


if __name__ == "__main__":
    main()
