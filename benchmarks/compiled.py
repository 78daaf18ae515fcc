"""Does `torch.compile` pay for the plain networks of `finetune`, `scratch` and `predict`, at the default lengths?

`small-cnn` with a head of ten classes at 32 px, float32, channels-last, one thread: a training step on 32 images (600
of them by default) and a forward pass without gradients on 256 (10,000 images by default), eager and compiled in turn;
CPU seconds of this process and its children. Compilation time is what the first calls take beyond later ones. Prints
after how many steps or images it would have paid.

    OMP_NUM_THREADS=1 TORCHINDUCTOR_COMPILE_THREADS=1 python benchmarks/compiled.py --n 20
"""

import argparse
import os
import statistics
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unmask.encoders.build import build_model
from unmask.recipes.named import RECIPES

STEPS, IMAGES, BATCH, AT_ONCE = 600, 10_000, 32, 256
"""Steps of a default fine-tuning, images of a typical test set, images per step and per pass."""


def seconds(run: Callable[[], object]) -> float:
    """CPU seconds of one call, including compilers that it starts."""
    before = os.times()
    run()
    return sum(os.times()[:4]) - sum(before[:4])


def training(network: Any, images: Tensor, labels: Tensor) -> None:
    """Forward and backward pass."""
    network.zero_grad(set_to_none=True)
    F.cross_entropy(network(images), labels).backward()


@torch.no_grad()
def looking(network: Any, images: Tensor) -> None:
    """Forward pass."""
    network(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = build_model(RECIPES["small-cnn"]().encoder, in_chans=1, image_size=(32, 32), num_classes=10)
    model = model.to(memory_format=torch.channels_last)
    print(f"torch {torch.__version__}, {options}")
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (BATCH,), generator=generator)

    def both(network: nn.Module, images: Tensor, run: Callable[[Any], None]) -> tuple[float, list[float], list[float]]:
        eager, compiled = deepcopy(network), torch.compile(deepcopy(network))
        first = sum(seconds(lambda: run(compiled)) for _ in range(2))
        run(eager)
        pairs = [(seconds(lambda: run(eager)), seconds(lambda: run(compiled))) for _ in range(options.n)]
        return first, [one for one, _ in pairs], [other for _, other in pairs]

    some = torch.randn(BATCH, 1, 32, 32, generator=generator).to(memory_format=torch.channels_last)
    tell("training step", STEPS, *both(model.train(), some, lambda network: training(network, some, labels)))
    many = torch.randn(AT_ONCE, 1, 32, 32, generator=generator).to(memory_format=torch.channels_last)
    tell(
        f"pass of {AT_ONCE} images",
        IMAGES // AT_ONCE,
        *both(model.eval(), many, lambda network: looking(network, many)),
    )


def tell(what: str, usual: int, first: float, eager: list[float], compiled: list[float]) -> None:
    """Print what compiling took and saves."""
    low, middle, high = statistics.quantiles([a / b for a, b in zip(eager, compiled, strict=True)], n=4)
    saved = statistics.median(a - b for a, b in zip(eager, compiled, strict=True))
    cost = first - 2 * statistics.median(compiled)
    pays = f"pays after {cost / saved:.0f}" if saved > 0 else "never pays"
    print(
        f"{what}: eager / compiled {middle:.2f} (quartiles {low:.2f} to {high:.2f}, n = {len(eager)}); eager "
        f"{1000 * statistics.median(eager):.1f} ms; compiling {cost:.1f} CPU s; {pays}, usual are {usual}",
        flush=True,
    )


if __name__ == "__main__":
    main()
