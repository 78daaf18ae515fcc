"""Images with any number of channels, as arrays: five bands of floats in one .npz file.

    python examples/multichannel_arrays.py      (seconds on one core)

A class is the pair of bands that are bright at the same place: no single band is enough. Groups (here: scenes) never
cross a split.
"""

import tempfile
from pathlib import Path

import numpy as np

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

PAIRS = {"0+1": (0, 1), "2+3": (2, 3), "1+4": (1, 4)}


def write_arrays(file: Path, count: int) -> None:
    """images (N, 5, 16, 16) float32, labels, groups."""
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.3, (count, 5, 16, 16)).astype(np.float32)
    labels = rng.choice(list(PAIRS), count)
    for image, label in zip(images, labels, strict=True):
        top, left = rng.integers(0, 12, 2)
        for band in PAIRS[label]:
            image[band, top : top + 4, left : left + 4] += 2.0
        lone = rng.integers(0, 5)
        image[lone, :4, :4] += 2.0
    np.savez(file, images=images, labels=labels, groups=rng.integers(0, count // 3, count))


def main(folder: Path) -> None:
    """Pretrain, fine-tune, take features."""
    write_arrays(folder / "bands.npz", 240)
    data = DataConfig(data=str(folder / "bands.npz"))
    encoder = EncoderConfig(encoder="patchnet", encoder_options={"width": 64, "patch": 4, "stride": 2})
    run = unmask.pretrain(
        PretrainConfig(
            data=data,
            encoder=encoder,
            recipe=PretrainRecipe(
                mask=MaskConfig(cell=4, mask_ratio=0.5),
                target=TargetConfig(target="pixels", decoder="linear", decoder_width=32),
                optimizer=OptimizerConfig(epochs=10, batch_size=32, lr=5e-3),
            ),
        ),
        folder / "pretrained",
        progress=False,
    )
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=60, batch_size=32, lr=5e-3), head_steps=20)
    tuned = unmask.finetune(
        ClassifyConfig(data=data, encoder=encoder, recipe=recipe, init=str(run)), folder / "tuned", progress=False
    )
    _, card = unmask.load_weights(run.folder / "encoder.safetensors")
    assert card is not None
    height, width = card.format.size
    print(f"{card.format.channels} channels of {height} x {width} pixels, each with its own mean and deviation")
    print("mean", " ".join(f"{value:.3f}" for value in card.format.mean))
    print(f"{tuned.scores['test'].accuracy:.0%} of the test images right (chance {1 / len(PAIRS):.0%})")
    print(unmask.embed(tuned, folder / "features.npz", split="test", progress=False))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
