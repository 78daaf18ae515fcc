"""Claim: images reach the encoder faster than through torchvision's ImageFolder or per-image v2 transforms.

Two comparisons in one process, CPU seconds of one thread, the rounds of both sides in turn, medians over rounds:

1. JPEG files of 500 x 375, random resized crop to 224 x 224, flip, normalize: streamed batches against ImageFolder + v2
   on PIL images, both bilinear and antialiased. The whole image at 224 x 224 is compared pixel by pixel first.
2. Small images in memory, the same augmentation: cached batches against v2 on one uint8 tensor at a time.

With --large alone: a JPEG of 4000 x 3000 to 224 x 224, decoded at an eighth of its size against decoded whole.

Run: OMP_NUM_THREADS=1 python benchmarks/data_path.py [--images 200] [--rounds 7] [--large]
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode, v2

from unmask.config import AugmentConfig, DataConfig
from unmask.data.decoding.decode import decode
from unmask.data.decoding.image_format import resize
from unmask.data.load import load_data

AUGMENT = AugmentConfig(crop_scale=(0.6, 1.0), flip_horizontal=0.5)
BATCH = 64


def photographs(folder: Path, count: int, seed: int = 0, size: tuple[int, int] = (500, 375)) -> None:
    """JPEG files of quality 90, those of 500 x 375 about 65 kB: smooth random fields and grain."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        rough = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(rough.resize(size, Image.Resampling.BICUBIC)).astype(int)
        pixels = (smooth + rng.integers(-12, 12, smooth.shape)).clip(0, 255).astype(np.uint8)
        path = folder / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)


def v2_pipeline(size: int, *, pil: bool) -> Callable[[object], Tensor]:
    """The usual training transform."""
    bilinear = InterpolationMode.BILINEAR
    crop = v2.RandomResizedCrop(size, scale=AUGMENT.crop_scale, ratio=AUGMENT.crop_ratio, interpolation=bilinear)
    first = [crop, v2.RandomHorizontalFlip(), *([v2.ToImage()] if pil else [])]
    return v2.Compose([*first, v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)])


def compare(ours: Callable[[], int], theirs: Callable[[], int], rounds: int) -> dict[str, float]:
    """Images per CPU second, medians over rounds in turn after one warm-up, and the ratio with its range."""
    times: list[tuple[float, float]] = []
    for i in range(rounds + 1):
        pair = []
        for run in (ours, theirs):
            start = time.process_time()
            count = run()
            pair.append((time.process_time() - start) / count)
        times += [(pair[0], pair[1])] if i else []
    ratios = [b / a for a, b in times]
    return {
        "ours": float(np.median([1 / a for a, _ in times])),
        "theirs": float(np.median([1 / b for _, b in times])),
        "ratio": float(np.median(ratios)),
        "lowest": min(ratios),
        "highest": max(ratios),
        "rounds": rounds,
    }


def files(count: int, rounds: int) -> dict[str, float]:
    """Comparison 1."""
    with tempfile.TemporaryDirectory() as name:
        photographs(Path(name), count)
        config = DataConfig(data=name, image_size=(224, 224), cache_mib=0, workers=0, transductive=True)
        data = load_data(config, labels=True, progress=False)
        order = torch.arange(len(data.pretrain))
        plain = ImageFolder(name, v2.Compose([v2.Resize((224, 224)), v2.ToImage()]))
        whole = {Path(path).name: plain[i][0] for i, (path, _) in enumerate(plain.samples[:20])}
        gaps = [
            (data.pretrain.raw([i])[0] * 255 - whole[Path(file).name]).abs()
            for i, file in enumerate(data.pretrain.names)
            if Path(file).name in whole
        ]
        folder = ImageFolder(name, v2_pipeline(224, pil=True))

        def ours() -> int:
            parts = data.pretrain.batches(order, BATCH, augment=AUGMENT)
            return sum(len(part.ids) for part in parts)

        def theirs() -> int:
            done = [torch.stack([folder[i][0] for i in chunk.tolist()]) for chunk in order.split(BATCH)]
            return sum(map(len, done))

        gap = {"largest pixel difference of 255": float(max(g.max() for g in gaps)),
               "mean pixel difference": float(torch.stack(gaps).mean())}  # fmt: skip
        return compare(ours, theirs, rounds) | gap


def small(size: int, count: int, rounds: int) -> dict[str, float]:
    """Comparison 2."""
    values = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        np.save(Path(name) / "x.npy", values)
        data = load_data(DataConfig(data=str(Path(name) / "x.npy")), labels=False, progress=False)
        order = torch.arange(count)
        one = v2_pipeline(size, pil=False)
        images = torch.from_numpy(values)

        def ours() -> int:
            parts = data.pretrain.batches(order, 256, augment=AUGMENT)
            return sum(len(part.ids) for part in parts)

        def theirs() -> int:
            few = order[: max(256, count // 10)]
            done = [torch.stack([one(images[i]) for i in chunk.tolist()]) for chunk in few.split(256)]
            return sum(map(len, done))

        return compare(ours, theirs, rounds)


def large(count: int, rounds: int) -> dict[str, float]:
    """Large files to 224 x 224, decoded at a part of their size (ours) and whole (theirs)."""
    with tempfile.TemporaryDirectory() as name:
        photographs(Path(name), count, size=(4000, 3000))
        paths = sorted(Path(name).rglob("*.jpg"))

        def read(target: tuple[int, int] | None) -> int:
            for path in paths:
                resize(torch.from_numpy(decode(path, target=target))[None], (224, 224))
            return len(paths)

        return compare(lambda: read((224, 224)), lambda: read(None), rounds)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--large", action="store_true", help="only large files, at a part of their size and whole")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    results = {
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    if wanted.large:
        results["4000x3000 JPEG to 224"] = large(wanted.images, wanted.rounds)
    else:
        results["500x375 JPEG to 224"] = files(wanted.images, wanted.rounds)
        results["32 px in memory"] = small(32, 20000, wanted.rounds)
        results["64 px in memory"] = small(64, 5000, wanted.rounds)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
