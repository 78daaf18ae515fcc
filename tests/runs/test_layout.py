"""What a run writes is what its kind declares."""

from pathlib import Path

import pytest

import tiny
from unmask.config import ClassifyConfig, ClassifyRecipe, OptimizerConfig, PretrainConfig
from unmask.runs.layout import (
    CHECKPOINTS,
    FINETUNING,
    PICTURES,
    PRETRAINING,
    SCRATCH,
    RunKind,
    foreign_files,
    kind_of_config,
)
from unmask.stages.classify import finetune, scratch
from unmask.stages.pretrain import pretrain

STEP = OptimizerConfig(steps=1, batch_size=8)


def require_declared(folder: Path, kind: RunKind) -> None:
    """A finished run has every file that its kind always writes, and nothing that it does not declare."""
    assert foreign_files(folder, kind) == []
    assert [pattern for pattern in kind.files if not list(folder.glob(pattern))] == []


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretraining of one step."""
    config = PretrainConfig(data=tiny.DATA, encoder=tiny.RESNET, recipe=tiny.pretrain_recipe(steps=1, batch_size=8))
    return pretrain(config, tmp_path_factory.mktemp("runs") / "pretrained", progress=False)


def test_a_pretraining(pretrained: Path) -> None:
    """Its pictures too, of pixel targets."""
    require_declared(pretrained, PRETRAINING)
    assert PICTURES.found(pretrained) == [PICTURES.path(pretrained, step) for step in (0, 1)]
    assert CHECKPOINTS.found(pretrained) == [pretrained / "checkpoints" / "step_00000001.safetensors"]


def test_classifiers(pretrained: Path, tmp_path: Path) -> None:
    """From weights and from scratch; `init` makes the kind."""
    config = ClassifyConfig(data=tiny.DATA, encoder=tiny.RESNET, recipe=ClassifyRecipe(optimizer=STEP, head_steps=0))
    require_declared(scratch(config, tmp_path / "scratch", progress=False), SCRATCH)
    from_weights = ClassifyConfig(data=tiny.DATA, encoder=tiny.RESNET, recipe=config.recipe, init=str(pretrained))
    require_declared(finetune(from_weights, tmp_path / "tuned", progress=False), FINETUNING)
    assert (kind_of_config(config), kind_of_config(from_weights)) == (SCRATCH, FINETUNING)
