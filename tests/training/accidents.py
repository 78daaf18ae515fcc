"""What each process of `test_accidents.py` runs: a command, in which a signal comes to one process at one step."""

import os
import signal
from collections.abc import Sequence
from functools import partial

import unmask.stages.classify
import unmask.stages.pretrain
from unmask.cli.main import main
from unmask.training.step import Step

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


COMMANDS = {
    "pretrain": PRETRAIN,
    "scratch": SCRATCH,
    "sharded": (*PRETRAIN, "--shard"),
    "sharded-scratch": (*SCRATCH, "--shard", "--patience", "5", "--evaluations", "5"),
}


def command(stage: str, more: Sequence[str], victim: int = -1, signalled: str = "SIGTERM") -> None:
    """A command, which ends this process; in the process `victim` a signal comes in the forward pass after 4 steps,
    counted over all phases."""
    taken: list[Step] = []

    def on_step(step: Step) -> None:
        taken.append(step)
        if len(taken) == 4 and int(os.environ["RANK"]) == victim:
            number = signal.Signals[signalled]
            step.network.register_forward_pre_hook(lambda *given: os.kill(os.getpid(), number))

    unmask.pretrain = partial(unmask.pretrain, on_step=on_step)
    unmask.scratch = partial(unmask.scratch, on_step=on_step)
    main([*COMMANDS[stage], *more])
