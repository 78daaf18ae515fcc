"""Your own folder of 16-bit gray images with few labels: pretrain, fine-tune, compare with scratch, predict new ones.

    python examples/own_folder_gray16.py        (seconds on one core)

The images here are drawn by this script: three kinds of stripes under noise, with pixel values that use only part of
the 16 bits, as cameras and scanners do. `window` finds that part. One training of each kind is not evidence: `unmask
compare` repeats them over label draws and gives intervals.
"""

import csv
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import unmask
from unmask.config import (
    ClassifyConfig,
    ClassifyRecipe,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainConfig,
    PretrainRecipe,
    TargetConfig,
)

SIZE = 24
KINDS = {"flat": (0.0, 1.0), "steep": (1.0, 0.0), "slanted": (0.7, 0.7)}


def draw(kind: str, rng: np.random.Generator) -> Image.Image:
    """One 16-bit image: stripes of a random phase, around a tenth of the range."""
    y, x = np.mgrid[:SIZE, :SIZE]
    across, down = KINDS[kind]
    waves = np.sin((across * x + down * y) * 1.3 + rng.uniform(0, 2 * np.pi))
    values = 6000 + 1200 * waves + rng.normal(0, 900, (SIZE, SIZE))
    return Image.fromarray(values.clip(0, 65535).astype(np.uint16))


def write_folder(root: Path, a_class: int, seed: int) -> None:
    """One folder per class."""
    rng = np.random.default_rng(seed)
    for kind in KINDS:
        (root / kind).mkdir(parents=True)
        for index in range(a_class):
            draw(kind, rng).save(root / kind / f"{index}.png")


def main(folder: Path) -> None:
    """The whole path from files to predictions."""
    write_folder(folder / "images", 60, seed=0)
    write_folder(folder / "new", 4, seed=1)
    data = DataConfig(data=str(folder / "images"), window=(0.5, 99.5))
    encoder = EncoderConfig(
        encoder="resnet10t",
        encoder_options={"channels": (16, 32, 32, 32), "stem_width": 8, "stem_type": "deep"},
        unstrided=2,
    )
    pretraining = PretrainConfig(
        data=data,
        encoder=encoder,
        recipe=PretrainRecipe(
            mask=MaskConfig(cell=8, mask_ratio=0.5),
            target=TargetConfig(decoder_width=16),
            optimizer=OptimizerConfig(epochs=4, batch_size=32, lr=3e-3),
        ),
    )
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=30, batch_size=15, lr=3e-3), head_steps=10)
    run = unmask.pretrain(pretraining, folder / "pretrained", progress=False)
    labels = ClassifyConfig(data=data, encoder=encoder, recipe=recipe, budget=5)
    alone = unmask.scratch(labels, folder / "scratch", progress=False)
    tuned = unmask.finetune(labels, folder / "tuned", init=run, progress=False)
    _, card = unmask.load_weights(run.folder / "encoder.safetensors")
    assert card is not None
    low, high = card.format.value_range
    print(f"stored values {low:.0f} to {high:.0f} count as 0 to 1 ({card.format.kind})")
    for name, found in (("tuned", tuned), ("scratch", alone)):
        print(f"{name}: {found.scores['test'].accuracy:.0%} of the test images right, from 5 labels per class")
    print(unmask.predict(tuned, folder / "new.csv", data=str(folder / "new"), progress=False))
    with (folder / "new.csv").open(newline="") as stream:
        row = next(csv.DictReader(stream))
    print(f"{row['path']} is {row['predicted']} with probability {float(row['p_' + row['predicted']]):.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
