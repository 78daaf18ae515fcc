"""CPU seconds of whole pretrainings in pairs: steps, and with them reading, validation and writing.

A way of `same_accuracy.py` against another: Fashion-MNIST at 32 px, the same seed in both, one right after the other
and the order reversed from pair to pair. A dense way has the decoder as it was then, layer by layer, and a teacher's
pass in masked code, as in `default_step.py`. CPU seconds are those of this process, on one thread; a few steps of each
way come first, so that no pair pays for imports. Ends with the median ratio and its quartiles.

    OMP_NUM_THREADS=1 python benchmarks/whole_pretraining.py DIR dense-64 width-32-smaller-first --n 10
"""

import argparse
import statistics
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from default_step import decode_as_before, teacher_as_before
from same_accuracy import WAYS, pretrained

from unmask.stages import pretrain

BUILD = pretrain.build_reconstructor
WARM_UP = 4
"""Steps of each way before the first pair: of every image size of a schedule."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("ways", nargs=2, choices=WAYS)
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    first, second = options.ways
    for way in options.ways:
        seconds_of(options.folder, way, 0, WARM_UP)
    pairs: list[tuple[float, float]] = []
    for pair in range(options.n):
        order = options.ways if pair % 2 == 0 else reversed(options.ways)
        seconds = {way: seconds_of(options.folder, way, pair, options.steps) for way in order}
        pairs.append((seconds[first], seconds[second]))
        print(f"pair {pair}: {seconds[first]:.1f} and {seconds[second]:.1f} CPU s", flush=True)
    tell(first, second, pairs)


def seconds_of(folder: Path, way: str, seed: int, steps: int) -> float:
    """CPU seconds of a pretraining; with decoder and teacher as they were, if the way is dense."""
    if WAYS[way].get("execution") != "dense":
        return pretrained(folder / way, way, seed, steps)
    with mock.patch.object(pretrain, "build_reconstructor", built_as_before), teacher_as_before():
        return pretrained(folder / way, way, seed, steps)


def built_as_before(*arguments: Any, **options: Any) -> Any:
    """Network and target, whose decoder runs layer by layer."""
    network, target = BUILD(*arguments, **options)
    decoder: Any = network.decoder
    decoder.forward = partial(decode_as_before, decoder)
    return network, target


def tell(first: str, second: str, pairs: list[tuple[float, float]]) -> None:
    """Print the median of the ratios, its quartiles and the median seconds of each way."""
    ratios = [one / other for one, other in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    costs = " and ".join(f"{statistics.median(column):.0f}" for column in zip(*pairs, strict=True))
    print(f"{first} / {second}: {middle:.2f} ({low:.2f} to {high:.2f}), {costs} CPU s, n = {len(pairs)}")


if __name__ == "__main__":
    main()
