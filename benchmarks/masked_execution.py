"""Claim: packed execution of a masked CNN costs what is visible.

One encoder step (forward, sum of squares of the last map, backward) in one process, CPU seconds of this process, one
thread, float32, training mode. Four variants: plain (the timm model on whole images), times (convolutions times the
mask, BatchNorm on gathered visible rows, as in SparK, written out here), dense (the reference) and packed.
They are interleaved, each with its own mask per repetition, index building included; medians over n.

    python benchmarks/masked_execution.py --encoders resnet50 convnext_tiny --ratios 0.6 0.75 --n 10
"""

import argparse
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unmask.config import EncoderConfig, MaskConfig
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.masking import draw_masks, expand


class TimesMask(nn.Module):
    """A plain model masked as in SparK: convolutions and pools times the mask, BatchNorm on gathered visible rows."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.hidden: Tensor | None = None
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.MaxPool2d)):
                module.register_forward_hook(self._times)
            elif isinstance(module, nn.BatchNorm2d):
                module.forward = partial(self._gathered, module)

    def _times(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        assert self.hidden is not None
        return output * (~expand(self.hidden, *output.shape[2:]))[:, None]

    def _gathered(self, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        assert self.hidden is not None
        visible = ~expand(self.hidden, *x.shape[2:])
        rows = x.permute(0, 2, 3, 1)[visible]
        rows = F.batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, True, 0.1, norm.eps)
        result = x.new_zeros(x.permute(0, 2, 3, 1).shape)
        result[visible] = rows
        return result.permute(0, 3, 1, 2)

    def forward(self, images: Tensor, hidden: Tensor) -> Tensor:
        self.hidden = hidden
        return self.model.forward_features(images * (~expand(hidden, *images.shape[2:]))[:, None])


def step(run: Callable[[Tensor, Tensor], Tensor], model: nn.Module, images: Tensor, hidden: Tensor) -> float:
    """CPU seconds of one forward and backward pass."""
    model.zero_grad(set_to_none=True)
    start = time.process_time()
    run(images, hidden).square().sum().backward()
    return time.process_time() - start


def stored(run: Callable[[Tensor, Tensor], Tensor], model: nn.Module, images: Tensor, hidden: Tensor) -> float:
    """MiB per image that the forward pass keeps for the backward pass, without parameters."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        result = run(images, hidden)
    del result
    return sum(kept.values()) / len(images) / 2**20


def measure(
    name: str, size: int, cell: int | None, batch: int, ratio: float, n: int, ways: list[str]
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds per image of each variant, n repetitions after a warm-up; MiB per image stored for the backward pass."""
    model = build_model(EncoderConfig(encoder=name), in_chans=3, image_size=(size, size)).train()
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
        if not repetition:
            memory = {way: stored(runs[way], models[way], images, hidden) for way in ways}
        for way in ways:
            seconds = step(runs[way], models[way], images, hidden)
            if repetition:
                taken[way].append(seconds / batch)
    return taken, memory


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
    print(f"torch {torch.__version__}, timm {timm.__version__}, {options}")
    print(header(options.ways))
    for name in options.encoders:
        for ratio in options.ratios:
            taken, memory = measure(name, options.size, options.cell, options.batch, ratio, options.n, options.ways)
            print(row(f"{name} | {ratio}", taken, memory), flush=True)


def header(ways: list[str]) -> str:
    """Column names: milliseconds, ratios to packed, MiB."""
    ratios = [f"vs {way}" for way in ways if way != "packed"]
    columns = ["encoder", "hidden", *(f"{way} ms" for way in ways), *ratios, *(f"{way} MiB" for way in ways)]
    return "| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|"


def row(label: str, taken: dict[str, list[float]], memory: dict[str, float]) -> str:
    """Medians, medians of the ratios of each repetition with their quartiles, stored memory."""
    cells = [f"{1000 * statistics.median(seconds):.0f}" for seconds in taken.values()]
    for way in taken:
        if way != "packed":
            ratios = [a / b for a, b in zip(taken[way], taken["packed"], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            cells.append(f"{middle:.2f} ({low:.2f}-{high:.2f})")
    cells += [f"{memory[way]:.0f}" for way in taken]
    return f"| {label} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
