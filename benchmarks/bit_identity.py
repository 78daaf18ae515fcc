"""Claim: a refactoring changes no number. Small seeded runs of every command, as losses, scores and digests.

Every command runs once on tiny built-in data on the CPU with one thread. For each run the script records every logged
loss and score, exactly (as `float.hex`), and a digest of every tensor it wrote. Two commits agree if their records
are equal; bits depend on the machine and on the versions of torch, so both records must come from one machine.

Run: OMP_NUM_THREADS=1 python benchmarks/bit_identity.py --out before.json
     OMP_NUM_THREADS=1 python benchmarks/bit_identity.py --out after.json --against before.json

Exits 1 if a record differs from the one it is compared with; the differing entries are named.
"""

import argparse
import csv
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

DATA = [
    "--data",
    "multiview",
    "--options",
    '{"images": 60, "val_images": 30, "test_images": 30, "classes": 3, "size": 32, "part_size": 8}',
]
CNN = [
    "--encoder",
    "resnet10t",
    "--encoder-options",
    '{"channels": [8, 8, 8, 8], "stem_width": 4, "stem_type": "deep", "drop_path_rate": 0.2}',
    "--unstrided",
    "2",
    "--image-size",
    "32",
    "32",
]
PACKED = [
    *CNN[:4],
    *("--unstrided", "0", "--image-size", "64", "64", "--cell", "32", "--mask-ratio", "0.5"),
]
VIT = [
    *("--encoder", "vit_tiny_patch16_224"),
    *("--encoder-options", '{"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}'),
    *("--unstrided", "0", "--image-size", "32", "32", "--cell", "8"),
]
SHORT = ["--steps", "8", "--batch-size", "16"]
QUIET = ["--quiet"]
RUNS: dict[str, list[str]] = {
    "pretrain-cnn": ["pretrain", *DATA, *CNN, *SHORT, "--cell", "8", "--ema", "0.9", "--out", "pretrain-cnn"],
    "pretrain-packed": ["pretrain", *DATA, *PACKED, *SHORT, "--accumulate", "2", "--out", "pretrain-packed"],
    "pretrain-vit": ["pretrain", *DATA, *VIT, *SHORT, "--target", "ema_teacher", "--out", "pretrain-vit"],
    "finetune": [
        *("finetune", *DATA, "--init", "pretrain-cnn", "--budget", "5", *SHORT, "--head-steps", "4"),
        *("--layer-decay", "0.8", "--ema", "0.9", "--out", "finetune"),
    ],
    "finetune-vit": ["finetune", *DATA, "--init", "pretrain-vit", *SHORT, "--out", "finetune-vit"],
    "scratch": [
        *("scratch", *DATA, *CNN, *SHORT, "--hide-cells", "0.5", "--mixup", "0.2", "--evaluations", "4"),
        *("--patience", "2", "--out", "scratch"),
    ],
    "compare": [
        *("compare", *DATA, *CNN, "--budgets", "2", "5", "--draws", "2", "--pretrainings", "2", "--jobs", "2"),
        *("--pretrain.cell", "8", "--pretrain.steps", "8", "--pretrain.batch-size", "16"),
        *("--finetune.steps", "6", "--finetune.batch-size", "8", "--finetune.head-steps", "3", "--out", "compare"),
    ],
    "predict": ["predict", "finetune", "--split", "test", "--out", "predictions.csv"],
    "embed": ["embed", "pretrain-cnn", "--out", "features.npz"],
    "export": ["export", "finetune", "--to", "safetensors", "--out", "exported"],
    "audit": ["audit", "finetune", "scratch", "--out", "audit"],
    "theory-verify": ["theory", "verify", "--seeds", "1", "--json"],
    "theory-sweep": ["theory", "sweep", "--over", "mask_ratio=0:0.9:3", "--out", "sweep.csv"],
}
_LOGGED = ("loss", "baseline", "grad_norm", "val_accuracy", "effective_rank", "feature_std")


def record(folder: Path, name: str, printed: str) -> dict[str, Any]:
    """Return what one run wrote, as exact numbers and digests."""
    if name == "predict":
        return {"rows": _digest(sorted("|".join(row) for row in csv.reader((folder / "predictions.csv").open())))}
    if name == "embed":
        return {"features": _digest([np.load(folder / "features.npz")["features"].tobytes().hex()])}
    if name == "theory-sweep":
        return {"rows": _digest((folder / "sweep.csv").read_text().splitlines())}
    if name == "theory-verify":
        return {"numbers": sorted(_fractions(json.loads(printed)))}
    if name == "audit":
        files = (json.loads(file.read_text()) for file in (folder / "audit").glob("*.json"))
        return {"numbers": _digest(sorted(number for file in files for number in _fractions(file)))}
    run = folder / ("exported" if name == "export" else name)
    return {
        "logged": [row for file in sorted(run.rglob("metrics.jsonl")) for row in _logged(file)],
        "scores": sorted(_scores(file) for file in run.rglob("*.json") if _scores(file)),
        "tensors": sorted(_tensors(file) for file in run.rglob("*.safetensors")),
    }


def _logged(file: Path) -> list[dict[str, str]]:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [{key: float(row[key]).hex() for key in _LOGGED if row.get(key) is not None} for row in rows]


def _scores(file: Path) -> list[str]:
    """The numbers under "metrics" in the JSON file of a training, in order."""
    value = json.loads(file.read_text())
    return list(_fractions(value["metrics"])) if isinstance(value, dict) and "metrics" in value else []


def _fractions(value: Any) -> Iterator[str]:
    """Every float within JSON values, exactly; names and times are left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            if "seconds" not in key:
                yield from _fractions(item)
    elif isinstance(value, list):
        for item in value:
            yield from _fractions(item)
    elif isinstance(value, float):
        yield value.hex()


def _tensors(file: Path) -> str:
    """One digest of all tensors of a file: names, types, shapes, bits; the header is left out."""
    digest = hashlib.sha256()
    with safe_open(file, framework="pt") as stored:
        for key in sorted(stored.keys()):
            tensor = stored.get_tensor(key).contiguous()
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()[:16]


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Where two records differ, as paths."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = dict.fromkeys([*before, *after])
        return [d for n in names for d in differences(before.get(n), after.get(n), f"{path}/{n}")]
    return [] if before == after else [path]


def main() -> int:
    """Run everything, write the record, compare it with another."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", nargs="*", default=list(RUNS), help="runs, with those they start from")
    options = parser.parse_args()
    records: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for run in options.only:
            words = RUNS[run] + ([] if RUNS[run][0] in ("export", "theory") else QUIET)
            done = subprocess.run(
                [sys.executable, "-m", "unmask", *words], cwd=folder, capture_output=True, text=True, check=False
            )
            if done.returncode:
                print(f"{run}: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
                return 1
            records[run] = record(folder, run, done.stdout)
            print(f"{run}: {_digest([json.dumps(records[run], sort_keys=True)])}", flush=True)
    options.out.write_text(json.dumps(records, indent=1) + "\n")
    if options.against is None:
        return 0
    before = json.loads(options.against.read_text())
    found = differences({run: before[run] for run in options.only}, records)
    print("equal" if not found else f"{len(found)} differ: {', '.join(found[:20])}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
