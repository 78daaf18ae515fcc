"""Pretraining with every decoder, with a teacher, in mixed precision; and numbers that are not finite."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unmask.config import PretrainConfig, TargetConfig
from unmask.data.load import Dataset
from unmask.errors import UserError
from unmask.runs.metrics import read_metrics
from unmask.runs.read import read_environment
from unmask.stages.pretrain import pretrain
from unmask.training.step import Step
from unmask.weights.card import load_weights


@pytest.mark.case("number types clashed under autocast")
@pytest.mark.parametrize("precision", ["bf16"])
def test_mixed_precision_is_finite(
    with_optimizer: Any, pretraining: PretrainConfig, data: Dataset, tmp_path: Path, precision: str
) -> None:
    """One epoch under autocast on the CPU; exported weights are float32."""
    config = with_optimizer(pretraining, precision=precision, epochs=1)
    run = pretrain(config, tmp_path / "run", progress=False, dataset=data)
    assert all(math.isfinite(row.loss) for row in read_metrics(run) if row.kind == "train")
    assert {t.dtype for t in load_weights(run / "encoder.safetensors")[0].values()} <= {torch.float32, torch.int64}


@pytest.mark.case("NaN was logged for epochs")
def test_a_loss_that_is_not_finite_stops(
    with_optimizer: Any, pretraining: PretrainConfig, data: Dataset, tmp_path: Path
) -> None:
    """The step is named, the advice given, and no checkpoint of the bad state is written."""
    config = with_optimizer(pretraining, lr=10.0, clip=0.0)

    def broken(step: Step) -> None:
        if step.step == 3:
            step.network.register_forward_hook(lambda network, images, output: output * float("nan"))

    with pytest.raises(UserError, match=r"the loss is nan at step 4: lower lr"):
        pretrain(config, tmp_path / "run", progress=False, dataset=data, on_step=broken)
    saved = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert saved == ["step_00000002.safetensors"]


@pytest.mark.case("NaN was logged for epochs")
def test_a_gradient_that_is_not_finite_stops(
    with_optimizer: Any, pretraining: PretrainConfig, data: Dataset, tmp_path: Path
) -> None:
    """A finite loss may have a gradient that is not (a square root at 0): the weights after it must not be saved."""

    def broken(step: Step) -> None:
        def root(network: nn.Module, images: object, output: Tensor) -> Tensor:
            return output + (next(network.parameters()) * 0).sum().sqrt()

        if step.step == 3:
            step.network.register_forward_hook(root)

    with pytest.raises(UserError, match=r"the gradient is nan at step 4: lower lr"):
        pretrain(with_optimizer(pretraining), tmp_path / "run", progress=False, dataset=data, on_step=broken)
    saved = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert saved == ["step_00000002.safetensors"]


@pytest.mark.parametrize("decoder", ["convolution", "transformer", "linear"])
def test_every_decoder_trains(
    with_optimizer: Any, pretraining: PretrainConfig, data: Dataset, tmp_path: Path, decoder: str
) -> None:
    """One epoch of each, of half of the hidden cells."""
    target = TargetConfig(decoder=decoder, decoder_width=16, target="pixels", predict=0.5)  # type: ignore[arg-type]
    config = replace(pretraining, recipe=replace(pretraining.recipe, target=target))
    run = pretrain(with_optimizer(config, epochs=1), tmp_path / "run", progress=False, dataset=data)
    assert math.isfinite(read_metrics(run)[-1].val_loss)


@pytest.mark.slow
def test_a_teacher_run_teaches(pretraining: PretrainConfig, data: Dataset, tmp_path: Path, with_optimizer: Any) -> None:
    """A frozen teacher from a run, of the same encoder; it stays as it is, and what cannot be a teacher is refused."""
    first = pretrain(pretraining, tmp_path / "first", progress=False, dataset=data)
    recipe = pretraining.recipe

    def taught_by(teacher: str) -> PretrainConfig:
        target = TargetConfig(target="frozen_teacher", teacher=teacher, decoder_width=8)
        return replace(pretraining, recipe=replace(recipe, target=target), seed=5)

    second = pretrain(with_optimizer(taught_by(str(first)), epochs=10), tmp_path / "b", progress=False, dataset=data)
    rows = [row for row in read_metrics(second) if row.kind == "val"]
    assert rows[-1].val_loss < rows[0].val_loss
    other = data.normalized_as(replace(data.format, mean=(0.2,) * data.format.channels))
    for rule, told in (("weights", True), ("data", False)):
        config = replace(with_optimizer(taught_by(str(first)), epochs=1), normalization=rule)
        third = pretrain(config, tmp_path / rule, progress=False, dataset=other)
        assert any("the teacher sees images normalized" in one for one in read_environment(third).notes) == told
    with pytest.raises(UserError, match="nowhere"):
        pretrain(taught_by(str(tmp_path / "nowhere")), tmp_path / "c", progress=False, dataset=data)
