"""Run a timm CNN and a timm ViT through the same job: pretrain on unlabeled digits, then judge the frozen features.

    python examples/timm_cnn_and_vit.py         (seconds on one core)

Only the encoder's name and options differ. The CNN runs by masked convolution, the ViT on visible tokens. Each
is compared with itself at random weights. Both are tiny, and so is the training.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

import unmask
from unmask.config import (
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainConfig,
    PretrainRecipe,
    TargetConfig,
)
from unmask.evaluate.probe import linear_probe

ENCODERS = {
    "resnet10t": {"channels": (16, 16, 32, 32), "stem_width": 8, "stem_type": "deep"},
    "vit_tiny_patch16_224": {"patch_size": 4, "embed_dim": 48, "depth": 2, "num_heads": 3},
}


def probe(run: Path, folder: Path) -> float:
    """Share of test images that a linear probe of the run's features gets right."""
    parts = {}
    for split in ("train", "test"):
        unmask.embed(run, folder / f"{split}.npz", split=split, overwrite=True, progress=False)
        with np.load(folder / f"{split}.npz") as file:
            parts[split] = torch.from_numpy(file["features"]), torch.from_numpy(file["label"].astype(np.int64))
    found = linear_probe(*parts["train"], parts["test"][0], classes=10)
    return float((found.outputs.argmax(1) == parts["test"][1]).double().mean())


def main(folder: Path) -> None:
    """Each encoder after one step that changes almost nothing, and after pretraining."""
    for name, options in ENCODERS.items():
        scores = {}
        for kind, steps, lr in (("random", 1, 1e-9), ("pretrained", 60, 3e-3)):
            config = PretrainConfig(
                data=DataConfig(data="digits", image_size=(16, 16)),
                encoder=EncoderConfig(encoder=name, encoder_options=options, unstrided=2 if "resnet" in name else 0),
                recipe=PretrainRecipe(
                    mask=MaskConfig(cell=4, mask_ratio=0.5),
                    target=TargetConfig(decoder_width=32),
                    optimizer=OptimizerConfig(steps=steps, batch_size=64, lr=lr),
                ),
            )
            run = unmask.pretrain(config, folder / name / kind, progress=False)
            scores[kind] = probe(run, folder)
        how = next(note for note in run.environment.notes if note.startswith("hidden cells"))
        print(f"{name} ({how}): probe {scores['pretrained']:.1%} pretrained, {scores['random']:.1%} at random weights")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
