"""What the processes of `test_processes.py` run: the same trainings as the one process they are compared with."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

import tiny
from unmask.config import (
    AugmentConfig,
    ClassifyConfig,
    ClassifyRecipe,
    EncoderConfig,
    MaskConfig,
    OptimiserConfig,
    PretrainConfig,
    TargetConfig,
)
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset, load_data
from unmask.distributed import fail_together
from unmask.errors import PreemptionError, UserError
from unmask.stages.classifier import build_classifier
from unmask.stages.classify import scratch
from unmask.stages.pretrain import pretrain
from unmask.stages.trainer import Trainer
from unmask.training.engine import build_engine
from unmask.training.sharding import part, whole

DATA = tiny.multiview(41, 15, 30)
CNN, VIT = tiny.RESNET, tiny.vit(24)
SWIN = EncoderConfig(
    encoder="swin_tiny_patch4_window7_224",
    encoder_options={
        **{"embed_dim": 12, "depths": (2, 1), "num_heads": (1, 2), "window_size": 4, "patch_size": 2},
        "drop_path_rate": 0.0,  # other draws in each process
    },
)


def pretraining(encoder: EncoderConfig, target: str = "normalised_pixels", accumulate: int = 1) -> PretrainConfig:
    """Five steps of 14 of 41 images (the last of an epoch has 13: shares are uneven), masks of varying size."""
    return PretrainConfig(
        data=DATA,
        encoder=encoder,
        recipe=tiny.pretrain_recipe(
            augment=AugmentConfig(shift=0.1),
            mask=MaskConfig(cell=4, mask_ratio=0.5, mask_ratio_max=0.8),
            target=TargetConfig(target=target, decoder_width=8),  # type: ignore[arg-type]
            steps=5,
            batch_size=14,
            lr=1e-3,
            accumulate=accumulate,
            ema=0.5,
        ),
        save_every=100.0,
        picture_every=100.0,
    )


def training() -> ClassifyConfig:
    """A head phase and five steps of everything, on 41 images in batches of 14."""
    optimiser = OptimiserConfig(steps=5, batch_size=14, lr=1e-3)
    recipe = ClassifyRecipe(optimiser=optimiser, head_steps=3, evaluations=2, label_smoothing=0.1)
    return ClassifyConfig(data=DATA, encoder=CNN, recipe=recipe)


def averaged() -> ClassifyConfig:
    """A ViT's average and its best state by validation are kept; cells are hidden in training."""
    optimiser = OptimiserConfig(steps=6, batch_size=14, lr=1e-3, ema=0.5)
    recipe = ClassifyRecipe(optimiser=optimiser, evaluations=3, patience=3, layer_decay=0.7)
    return ClassifyConfig(data=DATA, encoder=VIT, recipe=recipe, hide_cells=0.5)


PRETRAININGS = {
    "cnn": pretraining(CNN),
    "teacher": pretraining(CNN, "ema_teacher"),
    "vit": pretraining(VIT),
    "pieces": pretraining(VIT, accumulate=2),
    "swin": pretraining(SWIN, "ema_teacher"),
}
TRAININGS = {"tuned": training(), "average": averaged()}


def run_all(folder: Path, *, shard: bool = False) -> None:
    """Every training into a folder of its own."""
    data = load_data(DATA, labels=True, progress=False)
    for name, config in PRETRAININGS.items():
        pretrain(replace(config, shard=shard), folder / name, progress=False, dataset=data)
    for name, wanted in TRAININGS.items():
        scratch(replace(wanted, shard=shard), folder / name, progress=False, dataset=data)


def errors_of(folder: Path, rank: int) -> dict[str, str]:
    """How each kind of failure ends in this process."""
    build_engine("no", several=True)
    data = load_data(DATA, labels=True, progress=False)
    heard = {}

    def met_by_one(who: int) -> None:
        with fail_together():
            if rank == who:
                raise UserError(f"only {who} knows")

    def sigterm() -> None:
        with fail_together():
            raise PreemptionError("leave")

    def twice() -> None:
        pretrain(pretraining(CNN), folder / "plain" / "cnn", progress=False, dataset=data)

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


def apart(model: nn.Module, images: ImageSet, data: Dataset) -> list[bool]:
    """Whether a block's weight is in parts: at first, after a forward; in `whole`, after a forward there; after it."""
    batch = next(iter(images.batches(torch.arange(2), 2))).images
    seen = []

    def look(forward: bool) -> None:
        if forward:
            model(batch)
        seen.append(isinstance(dict(model.named_parameters())["blocks.0.mlp.fc1.weight"], DTensor))

    with torch.no_grad():
        look(False)
        look(True)
        with whole(model):
            look(False)
            look(True)
        look(False)
        look(True)
    return seen


def held() -> dict[str, Any]:
    """Numbers that this process holds after a training, sharded and not, and how many its blocks are gathered in."""
    data = load_data(DATA, labels=True, progress=False)
    config = averaged()
    found: dict[str, Any] = {}
    assert data.train is not None
    for way in ("plain", "sharded"):
        engine = build_engine("no", several=True)
        model = build_classifier(config, data)
        trainer = Trainer(config, data, data.train, model, engine, folder=None, show=False, sharded=way == "sharded")
        trainer.train()
        assert trainer.average is not None
        moments = [v for state in trainer.optimiser.state.values() for v in state.values() if v.ndim > 0]
        for name, tensors in (
            ("weights", list(model.parameters())),
            ("average", list(trainer.average.module.parameters())),
            ("moments", moments),
        ):
            found[f"{way} {name}"] = sum(part(t.detach()).numel() for t in tensors)
        found[f"{way} weight apart"] = apart(model, data.train, data)
        found[f"{way} groups"] = sum(isinstance(module, FSDPModule) for module in model.modules())
    return found


def main() -> None:
    """As started by the test."""
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    run_all(folder / "plain")
    run_all(folder / "sharded", shard=True)
    (folder / f"held-{rank}.json").write_text(json.dumps(held()))
    (folder / f"errors-{rank}.json").write_text(json.dumps(errors_of(folder, rank)))


if __name__ == "__main__":
    main()
