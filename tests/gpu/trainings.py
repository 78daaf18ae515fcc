"""The trainings of these tests: run here on the GPU, and as a script (FOLDER) where no GPU is visible, on the CPU."""

import sys
from dataclasses import replace
from pathlib import Path

import tiny
from unmask.config import (
    AugmentConfig,
    ClassifyConfig,
    ClassifyRecipe,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainConfig,
    TargetConfig,
)
from unmask.config.stages import Precision
from unmask.data.load import Dataset, load_data
from unmask.stages.classify import finetune, scratch
from unmask.stages.pretrain import pretrain

STEPS = 6
DATA = tiny.multiview(64, 15, 30, size=32)
CNN, VIT = tiny.RESNET, tiny.vit(24, patch=8)
SWIN = EncoderConfig(
    encoder="swin_tiny_patch4_window7_224",
    encoder_options={"depths": (1, 1), "num_heads": (2, 2), "embed_dim": 24, "drop_path_rate": 0.0},
)
EXECUTIONS = {"packed": "packed", "dense": "dense", "teacher": "packed", "vit": "tokens", "swin": "filled"}
"""Pretraining: the execution that it must have."""


def pretraining(name: str, precision: Precision = "no") -> PretrainConfig:
    """Six steps of 16 of 64 images of 32 pixels, 16 cells, masks of varying size, averaged weights."""
    target = TargetConfig(target="ema_teacher" if name == "teacher" else "normalized_pixels", decoder_width=8)
    recipe = tiny.pretrain_recipe(
        augment=AugmentConfig(shift=0.1),
        mask=MaskConfig(cell=8, mask_ratio=0.5, mask_ratio_max=0.8),
        target=target,
        steps=STEPS,
        batch_size=16,
        lr=1e-3,
        ema=0.5,
        precision=precision,
    )
    return PretrainConfig(
        data=DATA,
        encoder={"vit": VIT, "swin": SWIN}.get(name, CNN),
        recipe=recipe,
        execution="dense" if name == "dense" else "auto",
        save_every=100.0,
        picture_every=100.0,
    )


def training(precision: Precision = "no") -> ClassifyConfig:
    """Three steps of the head alone and six of everything."""
    optimizer = OptimizerConfig(steps=STEPS, batch_size=16, lr=1e-3, precision=precision)
    return ClassifyConfig(
        data=DATA, encoder=CNN, recipe=ClassifyRecipe(optimizer=optimizer, head_steps=3, evaluations=2)
    )


def read_data() -> Dataset:
    """The images of every training."""
    return load_data(DATA, labels=True, progress=False)


def run_all(folder: Path) -> None:
    """Every pretraining, a training from scratch and a fine-tuning of the first pretraining."""
    data = read_data()
    for name in EXECUTIONS:
        pretrain(pretraining(name), folder / name, progress=False, dataset=data)
    scratch(training(), folder / "scratch", progress=False, dataset=data)
    tuned = replace(training(), init=str(folder / "packed"))
    finetune(tuned, folder / "tuned", progress=False, dataset=data)


if __name__ == "__main__":
    run_all(Path(sys.argv[1]))
