"""A campaign of faults: N tiny runs are killed, told to end, starved of disk or given bad files, and then resumed.

Survived means: the resumed run ends with exactly the weights of a run that met no fault, and did no more steps again
than lie between two checkpoints (between three, where the newest checkpoint itself was cut). Prints survived / N and
the work lost against the interval of checkpoints; exit code 1 if one run did not survive.

    python benchmarks/faults.py --number 200
"""

import argparse
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from unmask.cli import main as unmask
from unmask.training import loop
from unmask.training.checkpoint import load_tensors

FAULTS = ("SIGKILL", "SIGTERM", "truncated checkpoint", "full disk", "bad file")
STEPS, INTERVAL = 24, 3


@dataclass(frozen=True)
class Job:
    """A command without its --out, and the weights it leads to when nothing happens."""

    words: tuple[str, ...]
    weights: dict[str, torch.Tensor]
    seconds: float


@dataclass(frozen=True)
class Result:
    """What became of one run."""

    fault: str
    survived: bool
    hit: bool
    """The fault came while the run was at work."""
    lost: int
    """Steps done again."""
    message: str


class Steps:
    """The last step that a child process began, and the first, in memory shared with it."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 16)
        self.reset()

    def reset(self) -> None:
        """Nothing begun."""
        self.memory[:] = struct.pack("qq", -1, -1)

    def begin(self, step: int) -> None:
        """Called in the child."""
        first, _ = self.read()
        self.memory[:] = struct.pack("qq", step if first < 0 else first, step)

    def read(self) -> tuple[int, int]:
        """(first, last); -1 where none was begun."""
        first, last = struct.unpack("qq", self.memory[:])
        return first, last


def start(words: tuple[str, ...], steps: Steps, log: Path) -> int:
    """The command in a child process; returns its id."""
    steps.reset()
    child = os.fork()
    if child:
        return child
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    take = loop._one_step

    def counted(batch: Any, step: int, *rest: Any) -> Any:
        steps.begin(step)
        return take(batch, step, *rest)

    loop._one_step = counted
    code = 70
    try:
        unmask(list(words))
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        os._exit(code)


def end(child: int) -> int:
    """Wait for a child; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def draw_images(folder: Path) -> None:
    """Two classes of 16 small pictures."""
    generator = np.random.default_rng(0)
    for name, shade in (("dark", 60), ("light", 190)):
        (folder / name).mkdir(parents=True)
        for index in range(16):
            pixels = generator.normal(shade, 30, (16, 16)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def jobs(place: Path, data: Path, steps: Steps) -> list[Job]:
    """Pretraining from memory and from files, and training from scratch, each run once without a fault."""
    small = ("--data", str(data), "--batch-size", "8", "--steps", str(STEPS), "--quiet", "--workers", "0")
    encoder = ("--encoder", "patchnet", "--encoder-options", '{"width": 8, "patch": 4}')
    epochs = str(INTERVAL / 3)  # 20 training images or so: 3 steps an epoch
    commands = [
        ("pretrain", *small, *encoder, "--save-every", epochs),
        ("pretrain", *small, *encoder, "--save-every", epochs, "--cache-mib", "0"),
        # without a head phase, whose steps are counted anew
        ("scratch", *small, *encoder, "--save-steps", str(INTERVAL), "--head-steps", "0"),
    ]
    found = []
    for number, words in enumerate(commands):
        out = place / f"reference-{number}"
        begun = time.monotonic()
        code = end(start((*words, "--out", str(out)), steps, place / "log"))
        if code != 0:
            raise SystemExit((place / "log").read_text())
        weights = load_tensors(out / "encoder.safetensors")[0]
        found.append(Job(words, weights, time.monotonic() - begun))
    return found


def one(job: Job, fault: str, place: Path, data: Path, steps: Steps, chance: random.Random) -> Result:
    """One run, one fault at a random moment, one --resume."""
    out, log = place / "run", place / "log"
    shutil.rmtree(out, ignore_errors=True)
    words = (*job.words, "--out", str(out))
    child = start(words, steps, log)
    time.sleep(chance.uniform(0, 1.1) * job.seconds)
    victim = chance.choice(sorted(data.rglob("*.png")))
    whole = victim.read_bytes()
    if fault == "full disk":
        resource.prlimit(child, resource.RLIMIT_FSIZE, (chance.randrange(4096), -1))
    elif fault == "bad file":
        victim.write_bytes(whole[: len(whole) // 2])
    else:
        os.kill(child, signal.SIGTERM if fault == "SIGTERM" else signal.SIGKILL)
    code = end(child)
    victim.write_bytes(whole)
    told = log.read_text()
    _, last = steps.read()
    if fault == "truncated checkpoint" and (saved := sorted((out / "checkpoints").glob("step_*"))):
        os.truncate(saved[-1], chance.randrange(saved[-1].stat().st_size))
    again = end(start((*words, "--resume"), steps, log))
    first, _ = steps.read()
    equal = again == 0 and _equal(load_tensors(out / "encoder.safetensors")[0], job.weights)
    clean = code in (0, 2, 143, -signal.SIGKILL) and "Traceback" not in told
    lost = max(0, last + 1 - first) if first >= 0 and last >= 0 else 0
    bound = 2 * INTERVAL if fault == "truncated checkpoint" else INTERVAL
    return Result(fault, equal and clean and lost <= bound, code != 0, lost, (told + log.read_text()).strip()[-500:])


def _equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def campaign(number: int, seed: int = 0) -> list[Result]:
    """`number` faults, each kind in turn, at moments drawn from the seed."""
    torch.set_num_threads(1)
    chance, steps = random.Random(seed), Steps()
    results = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        draw_images(place / "images")
        known = jobs(place, place / "images", steps)
        for index in range(number):
            fault = FAULTS[index % len(FAULTS)]
            job = known[1] if fault == "bad file" else chance.choice(known)
            results.append(one(job, fault, place, place / "images", steps, chance))
    return results


def report(results: list[Result]) -> str:
    """A line a kind of fault, and the sum."""
    lines = []
    for fault in FAULTS:
        mine = [result for result in results if result.fault == fault]
        if mine:
            lost = [result.lost for result in mine]
            lines.append(
                f"{fault}: survived {sum(r.survived for r in mine)} / {len(mine)}, at work {sum(r.hit for r in mine)}, "
                f"steps done again: at most {max(lost)}, mean {sum(lost) / len(lost):.1f}"
            )
    lines += [f"lost: {result.fault}: {result.message}" for result in results if not result.survived]
    lines.append(f"survived {sum(r.survived for r in results)} / {len(results)}; a checkpoint every {INTERVAL} steps")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    results = campaign(arguments.number, arguments.seed)
    print(report(results))
    sys.exit(0 if all(result.survived for result in results) else 1)


if __name__ == "__main__":
    main()
