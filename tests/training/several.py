"""What the processes of `test_processes.py` run: the same trainings as the one process they are compared with."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from unmask.config import (
    AugmentConfig,
    ClassifyConfig,
    ClassifyRecipe,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimiserConfig,
    PretrainConfig,
    PretrainRecipe,
    TargetConfig,
)
from unmask.data.load import load_data
from unmask.errors import PreemptionError, UserError
from unmask.stages.classify import scratch
from unmask.stages.pretrain import pretrain

DATA = DataConfig(
    data="multiview",
    options={"images": 41, "val_images": 15, "test_images": 30, "classes": 3, "size": 16, "part_size": 4},
)
CNN = EncoderConfig(
    encoder="resnet10t", encoder_options={"channels": (8, 8, 8, 8), "stem_width": 4, "stem_type": "deep"}, unstrided=2
)
VIT = EncoderConfig(
    encoder="vit_tiny_patch16_224", encoder_options={"patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}
)


def pretraining(encoder: EncoderConfig, target: str = "normalised_pixels", accumulate: int = 1) -> PretrainConfig:
    """Five steps of 14 of 41 images (the last of an epoch has 13: shares are uneven), masks of varying size."""
    return PretrainConfig(
        data=DATA,
        encoder=encoder,
        recipe=PretrainRecipe(
            augment=AugmentConfig(shift=0.1),
            mask=MaskConfig(cell=4, mask_ratio=0.5, mask_ratio_max=0.8),
            target=TargetConfig(target=target, decoder_width=8),  # type: ignore[arg-type]
            optimiser=OptimiserConfig(steps=5, batch_size=14, lr=1e-3, accumulate=accumulate, ema=0.5),
        ),
        save_every=100.0,
        picture_every=100.0,
    )


def training() -> ClassifyConfig:
    """A head phase and five steps of everything, on 41 images in batches of 14."""
    optimiser = OptimiserConfig(steps=5, batch_size=14, lr=1e-3)
    recipe = ClassifyRecipe(optimiser=optimiser, head_steps=3, evaluations=2, label_smoothing=0.1)
    return ClassifyConfig(data=DATA, encoder=CNN, recipe=recipe)


def run_all(folder: Path) -> None:
    """Every training into a folder of its own; what is heard of errors into errors-RANK.json."""
    data = load_data(DATA, labels=True, progress=False)
    pretrain(pretraining(CNN), folder / "cnn", progress=False, dataset=data)
    pretrain(pretraining(CNN, "ema_teacher"), folder / "teacher", progress=False, dataset=data)
    pretrain(pretraining(VIT), folder / "vit", progress=False, dataset=data)
    pretrain(pretraining(VIT, accumulate=2), folder / "pieces", progress=False, dataset=data)
    scratch(training(), folder / "tuned", progress=False, dataset=data)


def errors_of(folder: Path, rank: int) -> dict[str, str]:
    """How each kind of failure ends in this process."""
    from unmask.training.engine import build_engine
    from unmask.training.processes import together

    engine = build_engine("no", several=True)
    data = load_data(DATA, labels=True, progress=False)
    heard = {}

    def met_by_one(who: int) -> None:
        with together(engine):
            if rank == who:
                raise UserError(f"only {who} knows")

    def sigterm() -> None:
        with together(engine):
            raise PreemptionError("leave")

    def twice() -> None:
        pretrain(pretraining(CNN), folder / "cnn", progress=False, dataset=data)

    def other_data() -> None:
        other = replace(data, fingerprint=f"of {rank}")
        pretrain(pretraining(CNN), folder / "other", progress=False, dataset=other)

    for name, action in (
        ("first", lambda: met_by_one(0)),
        ("second", lambda: met_by_one(1)),
        ("sigterm", sigterm),
        ("occupied", twice),
        ("other data", other_data),
    ):
        try:
            action()
        except (UserError, PreemptionError) as error:
            heard[name] = str(error)
        except SystemExit as error:
            heard[name] = f"exit {error.code}"
    return heard


def main() -> None:
    """As started by the test."""
    rank, folder = int(sys.argv[2]), Path(sys.argv[3])
    run_all(folder)
    (folder / f"errors-{rank}.json").write_text(json.dumps(errors_of(folder, rank)))
