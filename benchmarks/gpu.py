"""Claim: on a GPU, too, a masked step costs what is visible. Also: where its time goes, and whether small images wait.

1. One training step of pretraining (masks drawn, forward, loss over hidden cells, backward, AdamW) against one
   supervised step of the same model on whole images, for a few encoders, precisions and mask ratios. The variants of
   one encoder are interleaved in one process: medians over rounds of a few steps, and medians of the ratios of each
   round with the lowest and highest. Memory: what a step adds at its peak to weights and moments, and these themselves.
2. The operations of a packed ResNet-50 step in bf16, and the share of the time in which the GPU is busy.
3. Small images: steps of the recipe small-cnn on images of 32 pixels through the package's own batches, against the
   same steps on one batch, and the share of the time that this process spends in preparing images.

TF32 as in torch's defaults: on in convolutions, off in matrix products. What fails is printed and left out.

Run: python benchmarks/gpu.py [--batch 128] [--seconds 8]; python benchmarks/gpu.py --quick --device cpu to try it
"""

import argparse
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unmask.config import DataConfig, EncoderConfig, MaskConfig, OptimizerConfig, PretrainConfig, PretrainRecipe
from unmask.config.model import TargetConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.load import load_data
from unmask.encoders.build import build_model
from unmask.masking import draw_masks
from unmask.recipes import small_cnn
from unmask.stages.reconstructor import build_reconstructor
from unmask.targets.pixels import hidden_loss
from unmask.training.engine import fast_layout
from unmask.training.optimizer import build_optimizer, parameter_groups

CNN_TARGET = TargetConfig(decoder_width=256, decoder_depth=2)
VIT_TARGET = TargetConfig(decoder="transformer", decoder_width=256, decoder_depth=4)
ENCODERS = {  # name: (executions, target)
    "resnet50": (("dense", "packed"), CNN_TARGET),
    "convnext_tiny": (("dense", "packed"), CNN_TARGET),
    "vit_base_patch16_224": (("auto",), VIT_TARGET),
    "swin_tiny_patch4_window7_224": (("filled",), CNN_TARGET),
}
RATIOS = (0.6, 0.75)
Step = Callable[[Tensor], None]


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def training_step(network: nn.Module, device: torch.device, bf16: bool) -> Callable[[Callable[[], Tensor]], None]:
    """One optimizer step on what a loss gives, with the package's optimizer."""
    config = OptimizerConfig(lr=1e-4)
    optimizer = build_optimizer(config, parameter_groups(network, weight_decay=config.weight_decay))

    def step(loss: Callable[[], Tensor]) -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def pretraining(name: str, execution: Any) -> PretrainConfig:
    """The pretraining of an encoder."""
    recipe = PretrainRecipe(target=ENCODERS[name][1])
    return PretrainConfig(encoder=EncoderConfig(encoder=name), recipe=recipe, execution=execution)


def masked(config: PretrainConfig, side: int, channels: int, device: torch.device, bf16: bool) -> dict[str, "Way"]:
    """The steps of a pretraining at every ratio: its own network, target and loss, each step with new masks."""
    network, target = build_reconstructor(config, ImageFormat.plain((side, side), channels, "uint8"))
    network = fast_layout(network).to(device).train()  # type: ignore[assignment]
    step, epochs = training_step(network, device, bf16), count()

    def loss(images: Tensor, mask: MaskConfig) -> Tensor:
        hidden = draw_masks(mask, network.encoder.grid, seed=0, epoch=next(epochs), ids=range(len(images))).to(device)
        prediction, wanted = network(images, hidden), target(images)
        found = hidden_loss(prediction, wanted, target.flat(wanted), hidden)
        return found.total / found.number

    def at(ratio: float) -> Step:
        mask = replace(config.recipe.mask, mask_ratio=ratio)
        return lambda images: step(lambda: loss(images, mask))

    return {f"{network.encoder.execution} | {ratio}": Way(network, at(ratio)) for ratio in RATIOS}


def plain(name: str, side: int, device: torch.device, bf16: bool) -> dict[str, "Way"]:
    """The supervised step on whole images: 1000 classes, cross-entropy."""
    model = build_model(EncoderConfig(encoder=name), in_chans=3, image_size=(side, side), num_classes=1000)
    model = fast_layout(model).to(device).train()
    step = training_step(model, device, bf16)

    def loss(images: Tensor) -> Tensor:
        return F.cross_entropy(model(images).float(), torch.arange(len(images), device=device))

    return {"plain | ": Way(model, lambda images: step(lambda: loss(images)))}


@dataclass
class Way:
    """A network, its step, and what was measured: seconds per step of every round, bytes at the peak."""

    network: nn.Module
    step: Step
    seconds: list[float] = field(default_factory=list)
    peak: float = float("nan")

    def warm_up(self, images: Tensor, steps: int) -> None:
        """A few steps that are not timed; the last one's memory."""
        device = images.device
        for index in range(steps):
            if device.type == "cuda" and index == steps - 1:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
            self.step(images)
        synchronize(device)
        if device.type == "cuda":
            own = sum(3 * p.numel() * p.element_size() for p in self.network.parameters() if p.requires_grad)
            self.peak = (torch.cuda.max_memory_allocated() - before + own) / 2**30

    def time(self, images: Tensor, steps: int) -> None:
        """Time one round."""
        synchronize(images.device)
        start = time.perf_counter()
        for _ in range(steps):
            self.step(images)
        synchronize(images.device)
        self.seconds.append((time.perf_counter() - start) / steps)


def measure(name: str, bf16: bool, images: Tensor, options: argparse.Namespace) -> None:
    """Measure all variants of one encoder in one precision: print a row each."""
    device, side = images.device, images.shape[-1]
    made: dict[str, Way] = {}
    for execution in ("plain", *ENCODERS[name][0]):
        try:
            if execution == "plain":
                ways = plain(name, side, device, bf16)
            else:
                ways = masked(pretraining(name, execution), side, 3, device, bf16)
            for label, way in ways.items():
                way.warm_up(images, options.warm)
                made[label] = way
        except Exception as error:
            say(f"{name}, {execution}: {type(error).__name__}: {str(error).splitlines()[0][:300]}")
    end = time.monotonic() + options.seconds
    while made and (len(way.seconds) < 3 or time.monotonic() < end) and len(way.seconds) < 12:
        for way in made.values():
            way.time(images, options.steps)
    for label, way in made.items():
        rate, quotients = len(images) / statistics.median(way.seconds), []
        for other in ("plain | ", "dense |" + label.partition("|")[2]):
            quotients.append(quotient(made[other].seconds, way.seconds) if other in made and other != label else "")
        precision = "bf16" if bf16 else "float32"
        print(f"| {name} | {precision} | {label} | {rate:.0f} | {way.peak:.1f} | {' | '.join(quotients)} |", flush=True)


def quotient(slower: list[float], faster: list[float]) -> str:
    """Median of the ratios of each round, lowest and highest."""
    ratios = [a / b for a, b in zip(slower, faster, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def profile(images: Tensor, options: argparse.Namespace) -> None:
    """Operations of packed ResNet-50 steps in bf16 by their time on the device."""
    device = images.device
    way = masked(pretraining("resnet50", "packed"), images.shape[-1], 3, device, True)["packed | 0.6"]
    way.warm_up(images, options.warm)
    way.time(images, 5)
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if device.type == "cuda" else []
    with torch.profiler.profile(activities=kinds) as profiler:
        for _ in range(3):
            way.step(images)
        synchronize(device)
    rows, gpu = profiler.key_averages(), device.type == "cuda"
    apart = [row for row in rows if row.device_type != torch.autograd.DeviceType.CPU]
    kernels = [row for row in apart if not getattr(row, "is_user_annotation", False)]
    busy = sum(row.self_device_time_total for row in kernels) / 3e6
    launches = sum(row.count for row in rows if "LaunchKernel" in row.key) / 3
    wall = way.seconds[0]
    print(
        f"\nPacked resnet50, bf16, mask ratio 0.6: a step takes {1e3 * wall:.1f} ms; kernels take {1e3 * busy:.1f} ms"
    )
    print(f"of it ({busy / wall:.0%}; in the rest the GPU waits for the CPU); {launches:.0f} launches a step")
    print("\n| operation | calls per step | ms per step | share |\n|---|---|---|---|")
    spent = {row.key: row.self_device_time_total if gpu else row.self_cpu_time_total for row in rows}
    own = [row for row in rows if row.device_type == torch.autograd.DeviceType.CPU]
    total = sum(spent[row.key] for row in own) or 1
    for row in sorted(own, key=lambda row: -spent[row.key])[:12]:
        share = spent[row.key] / total
        print(f"| {row.key[:60]} | {row.count / 3:.0f} | {spent[row.key] / 3e3:.2f} | {share:.1%} |")
    print("\n| kernel | ms per step |\n|---|---|")
    for row in sorted(kernels, key=lambda row: -row.self_device_time_total)[:12]:
        print(f"| {row.key[:100]} | {row.self_device_time_total / 3e3:.2f} |")


def small(device: torch.device, options: argparse.Namespace) -> None:
    """Steps of small-cnn with images from the loader, and with one batch repeated."""
    recipe, size = small_cnn(), 16 if options.quick else 256
    chosen: dict[str, float | int | str | bool] = {
        "images": 4 * size if options.quick else 40 * size,
        "val_images": 30,
        "test_images": 30,
        "size": 32,
    }
    data = load_data(DataConfig(data="multiview", options=chosen), labels=False, progress=False)
    print("\n| small-cnn, 32 px, batch | precision | images/s | from one batch | time in preparing images |")
    print("|---|---|---|---|---|")
    for bf16 in (False, True):
        config = PretrainConfig(encoder=recipe.encoder, recipe=recipe.pretrain)
        way = next(iter(masked(config, 32, data.format.channels, device, bf16).values()))
        for epoch in range(2):  # the first one warms up
            synchronize(device)
            waited, taken, start = 0.0, 0, time.perf_counter()
            stream = data.pretrain.batches(torch.arange(len(data.pretrain)), size,
                             augment=recipe.pretrain.augment, epoch=epoch)  # fmt: skip
            while True:
                asked = time.perf_counter()
                batch = next(stream, None)
                waited += time.perf_counter() - asked
                if batch is None:
                    break
                taken += len(batch.ids)
                last = batch.images.to(device, memory_format=torch.channels_last)
                way.step(last)
        synchronize(device)
        seconds = time.perf_counter() - start
        way.time(last, 20 if not options.quick else 2)
        rates = f"{taken / seconds:.0f} | {len(last) / way.seconds[0]:.0f} | {waited / seconds:.0%}"
        print(f"| {size} | {'bf16' if bf16 else 'float32'} | {rates} |", flush=True)


def say(line: str) -> None:
    """Print progress and errors, beside the tables."""
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


def attempt(label: str, work: Callable[[], None]) -> None:
    """Run a part; if it fails, say so and continue."""
    say(label)
    try:
        work()
    except Exception as error:
        say(f"{label}: {type(error).__name__}: {str(error)[:500]}")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=list(ENCODERS))
    parser.add_argument("--precisions", nargs="+", default=["bf16", "float32"], choices=["bf16", "float32"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--steps", type=int, default=2, help="steps per round")
    parser.add_argument("--warm", type=int, default=3, help="warm-up steps that are not timed")
    parser.add_argument("--seconds", type=float, default=8, help="total of the rounds for each encoder and precision")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    options = parser.parse_args()
    if options.quick:
        options.batch, options.side, options.steps, options.warm, options.seconds = 4, 64, 1, 1, 0.0
    device = torch.device(options.device)
    warnings.simplefilter("ignore")
    where = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    print(f"{where}, torch {torch.__version__}, timm {timm.__version__}, {time.strftime('%Y-%m-%d')}, "
          f"batch {options.batch}, {options.side} px, rounds of {options.steps} steps")  # fmt: skip
    images = torch.randn(options.batch, 3, options.side, options.side, generator=torch.Generator().manual_seed(0))
    images = images.to(device, memory_format=torch.channels_last)
    for bf16 in (precision == "bf16" for precision in options.precisions):
        print(f"\n| encoder | precision | way | hidden | images/s | GiB | speed to plain | to dense |\n{'|---' * 8}|")
        for name in options.encoders:
            attempt(f"{name}, {'bf16' if bf16 else 'float32'}", partial(measure, name, bf16, images, options))
        if bf16:
            attempt("small images", partial(small, device, options))
            attempt("profile", partial(profile, images, options))
    say("done")


if __name__ == "__main__":
    main()
