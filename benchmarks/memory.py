"""Claim: pretraining streams. A million images in shards are listed and trained on in a bounded resident set.

Procedural 16 x 16 PNG images are written into tar shards in a temporary folder (about 1 GB per million; removed at the
end), listed, and a tiny encoder is pretrained on them with worker processes that decode. Printed over time: the
resident set of this process, and the memory that it and its workers hold together: anonymous and shared pages in
proportion to who maps them (Pss_Anon + Pss_Shmem), so that pages which workers share with their parent count once, and
the code of libraries, which other programs share, does not count.

Two bounds, exit code 1 beyond:

- listing keeps at most 400 bytes per image (and 16 MiB, for what is imported meanwhile): names, places, labels, splits
  and digests in arrays take less, a few Python objects per image more;
- from a quarter of the training to its end all processes together grow by at most 64 MiB. Anything kept for every
  image seen, even 100 bytes, or pages of a parent's objects copied into workers as they are counted, adds up to
  more over half a million images.

Run: OMP_NUM_THREADS=1 python benchmarks/memory.py [--images 1000000] [--steps 2500] [--batch 400] [--workers 2]
"""

import argparse
import json
import os
import platform
import struct
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from unmask import pretrain
from unmask.config import DataConfig, EncoderConfig, OptimizerConfig, PretrainConfig, PretrainRecipe
from unmask.data.load import load_data

MIB = 2**20
LISTING = 400
"""Bytes per image that listing may keep, besides `IMPORTS` MiB."""
IMPORTS = 16
GROWTH = 64
"""MiB by which training may grow after its first quarter."""


def png(pixels: np.ndarray) -> bytes:
    """A gray 8-bit PNG, not compressed."""
    height, width = pixels.shape
    lines = np.zeros((height, width + 1), np.uint8)
    lines[:, 1:] = pixels
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(lines, 0))]
    chunks = [
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in [*parts, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def member(name: str, content: bytes) -> bytes:
    """A file as stored in a tar."""
    head = bytearray(512)
    head[:100] = name.encode().ljust(100, b"\0")
    head[100:157] = b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % len(content) + b"0" * 11 + b"\0" + b" " * 8 + b"0"
    head[257:265] = b"ustar\x0000"
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + content + bytes(-len(content) % 512)


def write_shards(folder: Path, images: int, side: int, each: int) -> None:
    """Write images of smooth random fields and a few of noise, `each` per shard."""
    rng = np.random.default_rng(0)
    for shard in range(-(-images // each)):
        count = min(each, images - shard * each)
        rough = rng.integers(0, 256, (count, side // 4, side // 4), dtype=np.uint8)
        pixels = rough.repeat(4, 1).repeat(4, 2) ^ rng.integers(0, 16, (count, side, side), dtype=np.uint8)
        with (folder / f"train-{shard:06}.tar").open("wb") as file:
            for i, image in enumerate(pixels):
                file.write(member(f"{shard * each + i:08}.png", png(image)))
            file.write(bytes(1024))


@dataclass
class Watch(threading.Thread):
    """Sample the memory of this process and its children every `seconds` seconds."""

    seconds: float
    rows: list[tuple[float, str, float, float, float]] = field(default_factory=list)
    """Time, stage, memory held and RSS of this process, memory held by all; MiB."""
    stage: str = "start"
    done: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.began = time.monotonic()

    __hash__ = threading.Thread.__hash__

    def look(self) -> tuple[float, str, float, float, float]:
        """Take one sample; keep and return it."""
        own = memory(os.getpid())
        children = sum(memory(int(pid))["held"] for pid in descendants(os.getpid()))
        row = (time.monotonic() - self.began, self.stage, own["held"], own["resident"], own["held"] + children)
        self.rows.append(row)
        return row

    def run(self) -> None:
        """Sample until `done`."""
        while not self.done.wait(self.seconds):
            self.look()


def memory(pid: int) -> dict[str, float]:
    """Memory held and resident set of a process in MiB, 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        lines = []
    found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.endswith(" kB")}
    held = found.get("Pss_Anon", 0.0) + found.get("Pss_Shmem", 0.0)
    return {"held": held, "resident": found.get("Rss", 0.0)}


def descendants(pid: int) -> list[str]:
    """Process ids of all descendants."""
    try:
        own = [
            child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return own + [deeper for child in own for deeper in descendants(int(child))]


def measure(folder: Path, wanted: argparse.Namespace) -> dict[str, object]:
    """List, train, and sample."""
    data = DataConfig(data=str(folder), cache_mib=0, workers=wanted.workers)
    encoder = EncoderConfig(encoder="patchnet", encoder_options={"width": 8, "patch": 4})
    optimizer = OptimizerConfig(steps=wanted.steps, batch_size=wanted.batch, lr=1e-3)
    config = PretrainConfig(
        data=data, encoder=encoder, recipe=PretrainRecipe(optimizer=optimizer), save_every=1e4, picture_every=1e4
    )
    small = folder.parent / "few"
    small.mkdir()
    write_shards(small, 64, wanted.side, 64)
    load_data(DataConfig(data=str(small), cache_mib=0), labels=False, progress=False)  # what imports take
    watch = Watch(wanted.seconds)
    start = watch.look()
    watch.stage = "listing"
    watch.start()
    loaded = load_data(data, labels=False, progress=False)
    listed = watch.look()
    watch.stage = "training"
    began = time.monotonic() - watch.began
    pretrain(config, folder.parent / "run", progress=False, dataset=loaded)
    watch.done.set()
    watch.join()
    training = [row for row in watch.rows if row[1] == "training"][1:-1]
    quarter = [row for row in training if row[0] >= began + 0.25 * (training[-1][0] - began)]
    tenth = max(1, len(quarter) // 10)
    grown = float(np.median([row[4] for row in quarter[-tenth:]]) - np.median([row[4] for row in quarter[:tenth]]))
    steps = np.linspace(0, len(training) - 1, min(9, len(training))).round().astype(int)
    return {
        "listing: bytes per image, kept": round((listed[2] - start[2]) * MIB / wanted.images, 1),
        "listing: bytes per image, at most": round(
            (max(row[2] for row in watch.rows if row[1] == "listing") - start[2]) * MIB / wanted.images, 1
        ),
        "training: MiB grown after a quarter": round(grown, 1),
        "seconds, stage, held and RSS of the main process, held by all (MiB)": [
            (round(t), stage, *(round(v, 1) for v in values))
            for t, stage, *values in [start, listed, *(training[i] for i in steps)]
        ],
        "looks": len(watch.rows),
    }


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--shard", type=int, default=10_000, help="images per shard")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="between samples")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shards"
        folder.mkdir()
        began = time.monotonic()
        write_shards(folder, wanted.images, wanted.side, wanted.shard)
        size = sum(file.stat().st_size for file in folder.iterdir())
        setting = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores", "torch": torch.__version__,
            "date": time.strftime("%Y-%m-%d"), **vars(wanted), "MiB on disk": round(size / MIB),
            "seconds to write": round(time.monotonic() - began),
        }  # fmt: skip
        result = measure(folder, wanted)
    print(json.dumps(setting | result, indent=1))
    kept, grown = result["listing: bytes per image, kept"], result["training: MiB grown after a quarter"]
    bounded = kept <= LISTING + IMPORTS * MIB / wanted.images and grown <= GROWTH  # type: ignore[operator]
    print(f"{'bounded' if bounded else 'NOT BOUNDED'}: at most {LISTING} bytes per image and {GROWTH} MiB")
    return 0 if bounded else 1


if __name__ == "__main__":
    sys.exit(main())
