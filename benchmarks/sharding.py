"""Measured: what a process holds and how long a step takes, sharded (FSDP2) against data-parallel.

A ViT is pretrained by the processes that a launcher starts, over NCCL on GPUs and over gloo elsewhere: a few steps
data-parallel and sharded in turn. Prints bytes of weights, gradients and AdamW's moments that one process keeps, the
step's time as a ratio in one run, and on GPUs the peak of allocated memory above what is kept.

    OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node 2 benchmarks/sharding.py
    torchrun --standalone --nproc-per-node 8 benchmarks/sharding.py --encoder vit_huge_patch14_224 --size 224
"""

import argparse
import math
import platform
import statistics
import time
from pathlib import Path

import torch

from unmask.config import DataConfig, EncoderConfig, OptimizerConfig, PretrainConfig, PretrainRecipe
from unmask.data.load import load_data
from unmask.stages.pretrain import Pretraining
from unmask.training.engine import build_engine
from unmask.training.sharding import part
from unmask.training.stage import Phase, Setup


def kept(stage: Pretraining) -> int:
    """Bytes of weights, of gradients (the same number), and of moments in this process."""
    weights = [part(p.detach()) for p in stage.run.network.parameters() if p.requires_grad]
    moments = [part(v) for state in stage.run.optimizer.state.values() for v in state.values() if v.ndim > 0]
    return sum(t.numel() * t.element_size() for t in (*weights, *weights, *moments))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="vit_small_patch16_224")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16, help="images per step over all processes")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--precision", default="no")
    given = parser.parse_args()
    data = DataConfig(data="multiview", options={"images": 4 * given.batch, "size": given.size, "part_size": 8})
    engine = build_engine(given.precision, several=True)
    dataset = load_data(data, labels=False, progress=False)
    recipe = PretrainRecipe(optimizer=OptimizerConfig(steps=100, batch_size=given.batch, precision=given.precision))
    config = PretrainConfig(data=data, encoder=EncoderConfig(encoder=given.encoder), recipe=recipe)
    stages, peak = {}, {}
    phase = Phase("pretrain", recipe.optimizer, recipe.augment, seed=0, save_every=math.inf)
    rank, world = engine.process_index, engine.num_processes
    order = torch.arange(rank, given.batch, world)
    batch = next(iter(dataset.pretrain.batches(order, len(order))))
    for way in ("data-parallel", "sharded"):  # nothing is written
        stages[way] = Pretraining(config, Path(way), dataset, Setup(engine, sharded=way == "sharded"))
        stages[way].run.begin(phase, len(dataset.pretrain))
    times: dict[str, list[float]] = {way: [] for way in stages}
    for index in range(given.repeats + 2):
        for way, stage in stages.items():
            if engine.device.type == "cuda":
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
            start = time.perf_counter()
            stage.run.take_step(batch, index, phase, stage)
            if engine.device.type == "cuda":
                torch.cuda.synchronize()
                peak[way] = torch.cuda.max_memory_allocated() - before
            times[way].append(time.perf_counter() - start)
    if engine.is_main_process:
        report(stages, times, peak, given)


def report(
    stages: dict[str, Pretraining], times: dict[str, list[float]], peak: dict[str, int], given: argparse.Namespace
) -> None:
    """Print the table, and the machine."""
    engine = stages["sharded"].run.engine
    ratios = [b / a for a, b in zip(*(values[2:] for values in times.values()), strict=True)]
    weights = sum(p.numel() for p in stages["sharded"].run.network.parameters())
    print(f"{given.encoder}, {weights / 1e6:.1f} million weights, {given.batch} images of {given.size} px per step")
    print("| way | weights, gradients, moments a process | step, median | peak above them |\n|---|---|---|---|")
    for way, stage in stages.items():
        above = f"{peak[way] / 2**20:.0f} MiB" if way in peak else "-"
        median = statistics.median(times[way][2:])
        print(f"| {way} | {kept(stage) / 2**20:.1f} MiB | {median * 1e3:.0f} ms | {above} |")
    print(
        f"step, sharded / data-parallel: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, "
        f"n = {len(ratios)}); {engine.num_processes} processes, {engine.device.type}, precision {given.precision}"
    )
    device = (
        torch.cuda.get_device_name() if engine.device.type == "cuda" else platform.processor() or platform.machine()
    )
    print(f"torch {torch.__version__}, {platform.platform()}, {device}")


if __name__ == "__main__":
    main()
