"""What the processes of `test_processes.py` run: the same trainings as the one process they are compared with."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

import tiny
from unmask.config import (
    AugmentConfig,
    ClassifyConfig,
    ClassifyRecipe,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainConfig,
    TargetConfig,
)
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset, load_data
from unmask.data.sources.mask_arrays import mask_arrays
from unmask.data.sources.source import Arrays, Source
from unmask.errors import UserError
from unmask.stages.classify import scratch
from unmask.stages.pretrain import pretrain
from unmask.stages.supervised import Supervised
from unmask.training.engine import build_engine
from unmask.training.sharding import part, whole
from unmask.training.stage import Setup

DATA = tiny.multiview(41, 15, 30)
CNN, VIT = tiny.RESNET, tiny.vit(24)
SWIN = EncoderConfig(
    encoder="swin_tiny_patch4_window7_224",
    encoder_options={
        **{"embed_dim": 12, "depths": (2, 1), "num_heads": (1, 2), "window_size": 4, "patch_size": 2},
        "drop_path_rate": 0.0,  # other draws in each process
    },
)


def pretraining(
    encoder: EncoderConfig, target: str = "normalized_pixels", *, accumulate: int = 1, masks: int = 1
) -> PretrainConfig:
    """Five steps of 14 of 41 images (the last of an epoch has 13: shares are uneven), masks of varying size."""
    return PretrainConfig(
        data=DATA,
        encoder=encoder,
        recipe=tiny.pretrain_recipe(
            augment=AugmentConfig(shift=0.1),
            mask=MaskConfig(cell=4, mask_ratio=0.5, mask_ratio_max=0.8, masks=masks),
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
    optimizer = OptimizerConfig(steps=5, batch_size=14, lr=1e-3)
    recipe = ClassifyRecipe(optimizer=optimizer, head_steps=3, evaluations=2, label_smoothing=0.1)
    return ClassifyConfig(data=DATA, encoder=CNN, recipe=recipe)


def averaged() -> ClassifyConfig:
    """A ViT's average and its best state by validation are kept; cells are hidden in training."""
    optimizer = OptimizerConfig(steps=6, batch_size=14, lr=1e-3, ema=0.5)
    recipe = ClassifyRecipe(optimizer=optimizer, evaluations=3, patience=3, layer_decay=0.7)
    return ClassifyConfig(data=DATA, encoder=VIT, recipe=recipe, hide_cells=0.5)


PRETRAININGS = {
    "cnn": pretraining(CNN),
    "teacher": pretraining(CNN, "ema_teacher", masks=2),
    "vit": pretraining(VIT),
    "pieces": pretraining(VIT, accumulate=2, masks=2),
    "swin": pretraining(SWIN, "ema_teacher"),
}


def of_task(task: str) -> ClassifyConfig:
    """Five steps on 41 images of several labels, numbers (some unknown) or masks, in batches of 14.

    Masks are learned by a ViT with its DPT head, whose weights after Adam's steps cannot be compared: where a ReLU's
    input is 0 up to rounding, gradients part. So there is one step, and its gradients can be.
    """
    masks = task == "segmentation"
    optimizer = OptimizerConfig(steps=1 if masks else 5, batch_size=14, lr=1e-3)
    recipe = ClassifyRecipe(optimizer=optimizer, evaluations=1 if masks else 3, patience=0 if masks else 3)
    encoder = VIT if masks else CNN
    return ClassifyConfig(data=DataConfig(data=task), encoder=encoder, recipe=recipe)


TASKS = ("multilabel", "regression", "segmentation")
TRAININGS = {"tuned": training(), "average": averaged()} | {task: of_task(task) for task in TASKS}


def masked_source() -> Source:
    """A bright square on noise, marked by the mask of its image."""
    rng, count = np.random.default_rng(0), 86
    images, masks = rng.integers(80, 170, (count, 1, 16, 16), dtype=np.uint8), np.zeros((count, 16, 16), np.uint8)
    for index in range(count):
        top, left = rng.integers(0, 10, 2)
        square = index, slice(top, top + 6), slice(left, left + 6)
        images[:, 0][square], masks[square] = 230, 1
    return Source(
        names=[str(index) for index in range(count)],
        labels=np.full(count, -1),
        splits=np.repeat(["train", "val", "test"], (41, 15, 30)),
        images=Arrays(images),
        masks=mask_arrays([("masks", masks)], [images.shape], None, "masks"),
    )


@cache
def data(task: str = "") -> Dataset:
    """The images of every training of classes, or of another task."""
    if not task:
        return load_data(DATA, labels=True, progress=False)
    counts = {"train": 41, "val": 15, "test": 30}
    source = masked_source() if task == "segmentation" else tiny.labeled_source(task, counts)
    return load_data(DataConfig(data=task), labels=True, progress=False, given=source)


def train(name: str, out: str, shard: bool = False) -> None:
    """One training into a folder."""
    if name in PRETRAININGS:
        pretrain(replace(PRETRAININGS[name], shard=shard), Path(out), progress=False, dataset=data())
    else:
        dataset = data(name if name in TASKS else "")
        scratch(replace(TRAININGS[name], shard=shard), Path(out), progress=False, dataset=dataset)


def fail(kind: str, folder: str) -> None:
    """Write how a pretraining ends in this process whose folder is `occupied`, or whose data are `other` here."""
    rank = build_engine("no", several=True).process_index
    out, dataset = Path(folder) / "run", data()
    if kind == "occupied":
        out.mkdir(exist_ok=True)
        (out / "mine.txt").touch()
    else:
        dataset = replace(dataset, fingerprint=f"of {rank}")
    try:
        pretrain(pretraining(CNN), out, progress=False, dataset=dataset)
    except UserError as error:
        heard = str(error)
    except SystemExit as error:
        heard = f"exit {error.code}"
    (Path(folder) / f"heard-{rank}").write_text(heard)


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


def hold(folder: str) -> None:
    """Write how many numbers this process holds after a training, sharded and not, and how its blocks are gathered."""
    config = averaged()
    found: dict[str, Any] = {}
    dataset = data()
    assert dataset.train is not None
    for way in ("plain", "sharded"):
        engine = build_engine("no", several=True)
        stage = Supervised(config, dataset, Setup(engine, sharded=way == "sharded"))
        stage.train()
        model, average = stage.run.network, stage.run.average
        assert average is not None
        moments = [v for state in stage.run.optimizer.state.values() for v in state.values() if v.ndim > 0]
        for name, tensors in (
            ("weights", list(model.parameters())),
            ("average", list(average.module.parameters())),
            ("moments", moments),
        ):
            found[f"{way} {name}"] = sum(part(t.detach()).numel() for t in tensors)
        found[f"{way} weight apart"] = apart(model, dataset.train, dataset)
        found[f"{way} groups"] = sum(isinstance(module, FSDPModule) for module in model.modules())
    rank = build_engine("no", several=True).process_index
    (Path(folder) / f"held-{rank}.json").write_text(json.dumps(found))
