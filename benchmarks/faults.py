"""A campaign of faults: tiny runs are repeatedly killed, terminated, starved of disk or given bad files.

A run has one life: it is started, meets a fault, continues with --resume, meets the next one, up to one of each kind,
and then ends. A fault is survived if the run printed at most one line and ended with the exit code of its kind; if it
resumed from no earlier than the last checkpoint (the one before it, if the newest was truncated; the very step, after
SIGTERM); and if its life ended with exactly the weights of a run that met no fault. Only faults that hit a running
process are counted. Prints survived / N and the work lost against the interval of checkpoints; exits 1 if one was not
survived.

    OMP_NUM_THREADS=1 python benchmarks/faults.py --number 200
"""

import argparse
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from children import HEAD_STEPS, Steps, start, wait, wait_for_step
from PIL import Image

from unmask.training.checkpoint import load_tensors

CODES = {
    "SIGKILL": -signal.SIGKILL,
    "SIGTERM": 143,
    "truncated checkpoint": -signal.SIGKILL,
    "full disk": 2,
    "bad file": 2,
}
STEPS, INTERVAL = 24, 3


@dataclass(frozen=True)
class Job:
    """A command without its --out, how many steps it takes, and the weights that it ends with undisturbed."""

    name: str
    words: tuple[str, ...]
    steps: int
    weights: dict[str, torch.Tensor]
    start: float
    """Seconds to its first step."""
    seconds: float
    """Seconds of a step."""

    @property
    def reads(self) -> bool:
        """Whether files are read in every epoch, so that one may go bad."""
        return "--cache-mib" in self.words


@dataclass(frozen=True)
class Result:
    """Outcome of one fault."""

    fault: str
    job: str
    survived: bool
    lost: int
    """Repeated steps."""
    message: str


def draw_images(folder: Path) -> None:
    """Two classes of 16 small pictures."""
    generator = np.random.default_rng(0)
    for name, shade in (("dark", 60), ("light", 190)):
        (folder / name).mkdir(parents=True)
        for index in range(16):
            pixels = generator.normal(shade, 30, (16, 16)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def jobs(place: Path, data: Path, steps: Steps) -> list[Job]:
    """Pretraining from memory, from files and through workers, and two phases of training, each once undisturbed."""
    small = ("--data", str(data), "--batch-size", "8", "--steps", str(STEPS), "--quiet", "--encoder", "patchnet")
    small += ("--encoder-options", '{"width": 8, "patch": 4}')
    saved = ("--save-every", str(INTERVAL / 3), "--picture-every", "3")  # 3 steps per epoch
    files = ("--cache-mib", "0", "--workers")
    found = []
    for name, words, number in (
        ("pretrain, pixels, in memory", ("pretrain", *small, *saved), STEPS),
        ("pretrain, EMA teacher, files", ("pretrain", *small, *saved, "--target", "ema_teacher", *files, "0"), STEPS),
        ("pretrain, pixels, a worker", ("pretrain", *small, *saved, *files, "1"), STEPS),
        (
            "scratch, two phases, files",
            ("scratch", *small, "--save-steps", str(INTERVAL), "--head-steps", str(HEAD_STEPS), *files, "0"),
            HEAD_STEPS + STEPS,
        ),
    ):
        out, log, begun = place / "reference", place / "log", time.monotonic()
        child = start((*words, "--out", str(out)), steps, log)
        wait_for_step(child, steps, 0)
        first = time.monotonic()
        if wait(child) != 0 or steps.read() != (0, number - 1):
            raise SystemExit(f"{name}, undisturbed: steps {steps.read()} of {number}; {log.read_text()}")
        weights = load_tensors(out / "encoder.safetensors")[0]
        seconds = (time.monotonic() - first) / number
        found.append(Job(name, words, number, weights, first - begun, seconds))
        shutil.rmtree(out)
    return found


class Life:
    """One run from its first start to its end."""

    def __init__(self, job: Job, place: Path, data: Path, steps: Steps, chance: random.Random) -> None:
        self.job, self.data, self.steps, self.chance = job, data, steps, chance
        self.out, self.log = place / "run", place / "log"
        self.reached = -1
        """The last step taken."""
        self.open: list[Result] = []
        """Faults after which no step was taken yet."""
        self.closed: list[Result] = []

    def live(self, faults: list[str]) -> list[Result]:
        """Meet the faults one after the other, as long as the run lasts; then end."""
        shutil.rmtree(self.out, ignore_errors=True)
        code: int | None = None
        for left, fault in zip(range(len(faults), 0, -1), faults, strict=True):
            code = self.meet(fault, left)
            if code == 0:
                break
        if code != 0:
            child = start((*self.job.words, "--out", str(self.out), "--resume"), self.steps, self.log)
            code = wait(child)
            self.settle()
        weights = load_tensors(self.out / "encoder.safetensors")[0] if code == 0 else {}
        whole = _equal(weights, self.job.weights)
        end = f"ended with {code}, weights {'equal' if whole else 'differ'}: {self.log.read_text().strip()[-500:]}"
        return [
            replace(result, survived=result.survived and whole, message=f"{result.message}; {end}")
            for result in (*self.closed, *self.open)
        ]

    def meet(self, fault: str, left: int) -> int:
        """Start, inject one fault if the run has not ended before, and wait for the end. Return the exit code."""
        child = start((*self.job.words, "--out", str(self.out), "--resume"), self.steps, self.log)
        code = self._moment(child, fault, left)
        hit = code is None
        if code is None:
            victims = self.chance.sample(sorted(self.data.rglob("*.png")), 8)
            code = self._inject(child, fault, victims)
        told = self.log.read_text()
        self.settle()
        if code != 0:
            at_work = self.steps.read()[1] >= 0
            expected = {CODES[fault]} if at_work else {CODES[fault], -signal.SIGTERM if fault == "SIGTERM" else 2}
            clean = hit and code in expected and "Traceback" not in told
            message = f"exit code {code} after step {self.reached}: {told.strip()[-500:]}"
            self.open.append(Result(fault, self.job.name, clean, 0, message))
        return code

    def _moment(self, child: int, fault: str, left: int) -> int | None:
        """Wait for the moment of the fault: sometimes before the first step, else anywhere up to the very end."""
        if self.chance.random() < 0.15 and fault != "truncated checkpoint":
            return wait(child, until=time.monotonic() + self.chance.uniform(0, self.job.start))
        first = max(self.reached, INTERVAL if fault == "truncated checkpoint" else 0)
        step = first + self.chance.randrange(max(1, -(-(self.job.steps - first) // left)))
        code = wait_for_step(child, self.steps, min(step, self.job.steps - 2))
        return code if code is not None else wait(child, until=time.monotonic() + self._within_a_step())

    def _within_a_step(self) -> float:
        return self.chance.uniform(0, 1.5) * self.job.seconds

    def _inject(self, child: int, fault: str, victims: list[Path]) -> int:
        whole = {victim: victim.read_bytes() for victim in victims}
        if fault == "full disk":
            resource.prlimit(child, resource.RLIMIT_FSIZE, (self.chance.randrange(4096), -1))
        elif fault == "bad file":
            for victim, content in whole.items():
                victim.write_bytes(content[: len(content) // 2])
        else:
            os.kill(child, signal.SIGTERM if fault == "SIGTERM" else signal.SIGKILL)
        code = wait(child)
        for victim, content in whole.items():
            victim.write_bytes(content)
        saved = sorted((self.out / "checkpoints").glob("step_*"))
        if fault == "truncated checkpoint" and saved:
            os.truncate(saved[-1], self.chance.randrange(saved[-1].stat().st_size))
        assert code is not None
        return code

    def settle(self) -> None:
        """Count the steps that the latest start repeated as the loss of the faults before it."""
        first, last = self.steps.read()
        if first < 0:
            return
        lost = max(0, self.reached + 1 - first)
        names = [result.fault for result in self.open]
        bound = INTERVAL * (bool(names) and names[0] != "SIGTERM") + INTERVAL * names.count("truncated checkpoint")
        self.closed += [
            replace(result, lost=lost if index == 0 else 0, survived=result.survived and lost <= bound)
            for index, result in enumerate(self.open)
        ]
        self.open, self.reached = [], last


def _equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def campaign(number: int, seed: int = 0) -> list[Result]:
    """Inject `number` faults, balanced over kinds as far as possible, at moments drawn from the seed."""
    torch.set_num_threads(1)
    chance, steps = random.Random(seed), Steps()
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        draw_images(place / "images")
        known = jobs(place, place / "images", steps)
        for turn in range(10 * number):
            job = known[turn % len(known)]
            had = Counter(result.fault for result in results)
            faults = [fault for fault in CODES if job.reads or fault != "bad file"]
            faults = sorted(faults, key=lambda fault: had[fault])[: number - len(results)]
            chance.shuffle(faults)
            results += Life(job, place, place / "images", steps, chance).live(faults)
            if len(results) >= number:
                break
    return results


def report(results: list[Result]) -> str:
    """Print a line per kind of fault and per kind of job, and the sum."""
    lines = []
    for kinds, of in ((list(CODES), "fault"), (sorted({result.job for result in results}), "job")):
        for kind in kinds:
            mine = [result for result in results if getattr(result, of) == kind]
            lost = [result.lost for result in mine] or [0]
            again = f"steps done again: at most {max(lost)}, mean {sum(lost) / len(lost):.1f}"
            lines.append(f"{kind}: survived {sum(r.survived for r in mine)} / {len(mine)}, {again}")
    lines += [f"not survived: {r.fault}, {r.job}, {r.lost} lost: {r.message}" for r in results if not r.survived]
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
    seconds = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"{seconds:.0f} CPU seconds; torch {torch.__version__}, {platform.platform()}, {os.cpu_count()} cores")
    sys.exit(0 if results and all(result.survived for result in results) else 1)


if __name__ == "__main__":
    main()
