"""CASES 39 to 50: what went wrong elsewhere with resuming, checkpoints and several processes.

Tested elsewhere: 40, 41, 44 stages/test_pretrain and stages/test_classifier_resume (bit-equal after any step, teacher,
averages and BatchNorm included), 42 training/test_checkpoint, test_runs (kills, cut files, full
disks), 46 stages/test_classifier (the head is new, the encoder equal), 47 test_runs and cli/test_cli, 48
stages/test_pretrain (a gradient for every parameter) and training/test_processes, 50 training/test_processes (uneven
shares; one process fails).
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unmask.config import DataConfig, EncoderConfig, OptimiserConfig, PretrainConfig, PretrainRecipe
from unmask.errors import UserError
from unmask.randomness import permutation
from unmask.stages.pretrain import pretrain
from unmask.training.checkpoint import newest

CONFIG = PretrainConfig(
    data=DataConfig(data="digits", image_size=(8, 8)),
    encoder=EncoderConfig(encoder="patchnet", encoder_options={"width": 8, "patch": 4}),
    recipe=PretrainRecipe(optimiser=OptimiserConfig(steps=2, batch_size=64)),
)


def test_39_another_length_is_refused_and_named(tmp_path: Path) -> None:
    """The schedule is a function of the length: resuming with another would rescale it silently."""
    run = pretrain(CONFIG, tmp_path / "run", progress=False)
    longer = replace(CONFIG, recipe=replace(CONFIG.recipe, optimiser=replace(CONFIG.recipe.optimiser, steps=4)))
    with pytest.raises(UserError, match=r"--resume refused.*steps"):
        pretrain(longer, run, resume=True, progress=False)


def test_43_a_checkpoint_has_plain_types_only(tmp_path: Path) -> None:
    """Tensors and JSON in safetensors: nothing to unpickle."""
    found = newest(pretrain(CONFIG, tmp_path / "run", progress=False))
    assert found is not None
    assert all(isinstance(tensor, torch.Tensor) for tensor in found[1].values())
    assert found[2]["step"] == 2
    assert found[0].suffix == ".safetensors"


def test_45_a_weights_file_is_no_run(tmp_path: Path) -> None:
    """Given to --resume, the line says what is wrong; as --init it works."""
    run = pretrain(CONFIG, tmp_path / "run", progress=False)
    with pytest.raises(UserError, match="use --init"):
        pretrain(CONFIG, run / "encoder.safetensors", resume=True, progress=False)
    pretrain(replace(CONFIG, init=str(run / "encoder.safetensors")), tmp_path / "next", progress=False)


def test_49_the_order_of_epochs_differs_and_repeats() -> None:
    orders = [tuple(permutation(0, "order", epoch, 50).tolist()) for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[1]) == list(range(50))
