"""What `test_accidents.py` runs: two processes a run, forked from this one; a signal comes to one of them at one step.

Arguments: a folder. Every scenario leaves there its run folder and NAME.json with exit codes, what each process said
and how long the last one took to end after the first.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import timm  # noqa: F401
import torch

import unmask.stages.classify
import unmask.stages.pretrain
from unmask.cli.main import main as unmask_main
from unmask.training.loop import Step

SMALL = '{"images": 41, "val_images": 15, "test_images": 30, "classes": 3, "size": 16, "part_size": 4}'
CNN = '{"channels": [8, 8, 8, 8], "stem_width": 4, "stem_type": "deep"}'
COMMON = ("--data", "multiview", "--options", SMALL, "--batch-size", "14", "--quiet")
PRETRAIN = (
    *("pretrain", *COMMON, "--encoder", "resnet10t", "--encoder-options", CNN, "--unstrided", "2", "--cell", "4"),
    *("--target", "ema_teacher", "--decoder-width", "8", "--ema", "0.5", "--steps", "7", "--save-every", "1"),
)
SCRATCH = (
    *("scratch", *COMMON, "--encoder", "vit_tiny_patch16_224"),
    *("--encoder-options", '{"patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}'),
    *("--head-steps", "2", "--steps", "5", "--save-steps", "2", "--ema", "0.9"),
)


def start(words: Sequence[str], place: dict[str, str], log: Path, signalled: tuple[int, signal.Signals] | None) -> int:
    """A command as one process of several; with `signalled` it sends itself a signal in the forward pass that follows
    so many steps. Returns its id."""
    child = os.fork()
    if child:
        return child
    os.environ.update(place)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    taken: list[Step] = []

    def on_step(step: Step) -> None:
        taken.append(step)
        if signalled is not None and len(taken) == signalled[0]:
            step.network.register_forward_pre_hook(lambda *given: os.kill(os.getpid(), signalled[1]))

    unmask.pretrain = partial(unmask.pretrain, on_step=on_step)
    unmask.scratch = partial(unmask.scratch, on_step=on_step)
    unmask_main(list(words))  # which ends the process as a command's does
    sys.exit(70)


def launch(
    folder: Path, name: str, words: Sequence[str], *, hit: tuple[int, int, signal.Signals] | None = None, world: int = 2
) -> None:
    """Run `words` as several processes into folder/NAME; `hit` is (process, step, signal)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    children = {}
    for rank in range(world):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        signalled = hit[1:] if hit is not None and hit[0] == rank else None
        children[start(words, place, folder / f"log-{rank}", signalled)] = rank
    codes, times = [0] * world, []
    for _ in range(world):
        child, status = os.wait()
        codes[children[child]] = os.waitstatus_to_exitcode(status)
        times.append(time.monotonic())
    said = [(folder / f"log-{rank}").read_text() for rank in range(world)]
    (folder / f"{name}.json").write_text(json.dumps({"codes": codes, "said": said, "seconds": times[-1] - times[0]}))


def main() -> None:
    """Every scenario."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    sharded, best = (*PRETRAIN, "--shard"), ("--shard", "--patience", "5", "--evaluations", "5")
    kinds = {"pretrain": PRETRAIN, "scratch": SCRATCH, "sharded": sharded, "sharded-scratch": (*SCRATCH, *best)}
    for kind, words in kinds.items():
        launch(folder, f"{kind}-whole", (*words, "--out", str(folder / f"{kind}-whole")))
        for accident, hit in (
            ("sigterm", (1, 4, signal.SIGTERM)),
            ("other-killed", (1, 4, signal.SIGKILL)),
            ("main-killed", (0, 4, signal.SIGKILL)),
        ):
            out = (*words, "--out", str(folder / f"{kind}-{accident}"))
            launch(folder, f"{kind}-{accident}", out, hit=hit)
            launch(folder, f"{kind}-{accident}-resumed", (*out, "--resume"))
    out = ("--out", str(folder / "elsewhere"))
    launch(folder, "elsewhere", (*sharded, *out), hit=(1, 4, signal.SIGTERM))
    launch(folder, "elsewhere-resumed", (*PRETRAIN, *out, "--resume"), world=1)


if __name__ == "__main__":
    main()
