"""Claim: packed execution of a masked CNN costs what is visible.

One encoder step (forward, sum of squares of the last map, backward) in one process, CPU seconds of this process, one
thread, float32, training mode. Four ways: plain (the timm model on whole images), times (the plain model with every
convolution's output multiplied by the mask, in SparK's manner, written out here), dense (the reference) and packed.
The ways are interleaved, each with a mask of its own per repetition, index building included; medians over n.

    python benchmarks/masked_execution.py --encoders resnet50 convnext_tiny --ratios 0.6 0.75 --n 10
"""

import argparse
import statistics
import time
from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

from unmask.config import EncoderConfig, MaskConfig
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.masking import draw_masks, expand


class TimesMask(nn.Module):
    """A plain model in which every convolution's and norm's output is multiplied by the mask at its resolution."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.hidden: Tensor | None = None
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)):
                module.register_forward_hook(self._times)

    def _times(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        assert self.hidden is not None
        return output * (~expand(self.hidden, *output.shape[2:]))[:, None]

    def forward(self, images: Tensor, hidden: Tensor) -> Tensor:
        self.hidden = hidden
        return self.model.forward_features(images * (~expand(hidden, *images.shape[2:]))[:, None])


def step(run: Callable[[Tensor, Tensor], Tensor], model: nn.Module, images: Tensor, hidden: Tensor) -> float:
    """CPU seconds of one forward and backward pass."""
    model.zero_grad(set_to_none=True)
    start = time.process_time()
    run(images, hidden).square().sum().backward()
    return time.process_time() - start


def measure(
    name: str, size: int, cell: int | None, batch: int, ratio: float, n: int, ways: list[str]
) -> dict[str, list[float]]:
    """Seconds per image of each way, n repetitions after one warm-up."""
    model = build_model(EncoderConfig(encoder=name), channels=3, image_size=(size, size)).train()
    model = model.to(memory_format=torch.channels_last)  # the faster order for every way, as in training
    plain, times = deepcopy(model), TimesMask(deepcopy(model))
    dense = masked_encoder(deepcopy(model), image_size=(size, size), cell=cell, execution="dense")
    packed = masked_encoder(deepcopy(model), image_size=(size, size), cell=cell, execution="packed")
    runs: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "plain": lambda images, hidden: plain.forward_features(images),
        "times": lambda images, hidden: times(images, hidden),
        "dense": lambda images, hidden: dense(images, hidden).maps[-1],
        "packed": lambda images, hidden: packed(images, hidden).maps[-1],
    }
    models = {"plain": plain, "times": times, "dense": dense.model, "packed": packed.model}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    generator = torch.Generator().manual_seed(0)
    for repetition in range(n + 1):
        images = torch.randn(batch, 3, size, size, generator=generator).to(memory_format=torch.channels_last)
        hidden = draw_masks(MaskConfig(mask_ratio=ratio), packed.grid, seed=0, epoch=repetition, ids=range(batch))
        for way in ways:
            seconds = step(runs[way], models[way], images, hidden)
            if repetition:
                taken[way].append(seconds / batch)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", nargs="+", default=["resnet50", "resnet18", "convnext_tiny"])
    parser.add_argument("--ratios", nargs="+", type=float, default=[0.6, 0.75])
    parser.add_argument("--ways", nargs="+", default=["plain", "times", "dense", "packed"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--cell", type=int, default=None)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--n", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| encoder | hidden | "
        + " | ".join(f"{w} ms" for w in options.ways)
        + " | packed vs "
        + " | vs ".join(options.ways[:-1])
        + " |"
    )
    for name in options.encoders:
        for ratio in options.ratios:
            taken = measure(name, options.size, options.cell, options.batch, ratio, options.n, options.ways)
            median = {way: statistics.median(values) for way, values in taken.items()}
            ratios = [
                statistics.median(a / b for a, b in zip(taken[way], taken["packed"], strict=True))
                for way in options.ways[:-1]
            ]
            cells = [f"{1000 * median[way]:.1f}" for way in options.ways] + [f"{r:.2f}" for r in ratios]
            print(f"| {name} | {ratio} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
