"""In another library: a U-Net of segmentation-models-pytorch, its encoder from a run, against one from scratch.

    pip install segmentation-models-pytorch
    python examples/with_segmentation_models.py  (seconds on one core)

Striped patches lie on noise of the same brightness and contrast; a mask marks their pixels. 200 images have no mask and
are used for pretraining, 6 have one. The weights of a run are plain timm weights, so they load into any library that
builds on timm. For masks alone none of this is needed: see segmentation.py. One training of each kind on toy images
is not evidence of a gain.
"""

import tempfile
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import Tensor

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

ENCODER = "resnet10t"
OPTIONS = {"channels": (16, 24, 32, 32), "stem_width": 8, "stem_type": "deep"}


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 1, 32, 32) and masks bool (N, 1, 32, 32)."""
    rng = np.random.default_rng(seed)
    images, masks = rng.normal(0, 1, (count, 32, 32)), np.zeros((count, 32, 32), bool)
    x = np.arange(32)
    for image, mask in zip(images, masks, strict=True):
        side = rng.integers(10, 20)
        top, left = rng.integers(0, 32 - side, 2)
        mask[top : top + side, left : left + side] = True
        stripes = np.sqrt(2) * np.sin(1.5 * x + rng.uniform(0, 2 * np.pi))
        image[mask] = np.broadcast_to(stripes, (32, 32))[mask] + rng.normal(0, 0.3, mask.sum())
    return (127 + 40 * images).clip(0, 255).astype(np.uint8)[:, None], masks[:, None]


def network(weights: dict[str, Tensor] | None) -> torch.nn.Module:
    """A U-Net whose weights, except the encoder's, are all drawn from the same seed."""
    torch.manual_seed(0)
    unet = smp.Unet(f"tu-{ENCODER}", encoder_weights=None, in_channels=1, classes=1,
                    decoder_channels=(32, 24, 16, 16, 16), **OPTIONS)  # fmt: skip
    if weights is not None:
        unet.encoder.model.load_state_dict(weights, strict=True)
    return unet


def train(unet: torch.nn.Module, images: Tensor, masks: Tensor, steps: int) -> None:
    """Cross-entropy over pixels, all images per step."""
    optimizer = torch.optim.AdamW(unet.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(unet(images), masks.float())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def overlap(unet: torch.nn.Module, images: Tensor, masks: Tensor) -> float:
    """Intersection over union of all pixels."""
    found = unet.eval()(images) > 0
    return float((found & masks).sum() / (found | masks).sum())


def main(folder: Path) -> None:
    """Pretrain, train both, compare."""
    np.save(folder / "unlabeled.npy", draw(200, 0)[0])
    run = unmask.pretrain(
        PretrainConfig(
            data=DataConfig(data=str(folder / "unlabeled.npy")),
            encoder=EncoderConfig(encoder=ENCODER, encoder_options=OPTIONS),
            recipe=PretrainRecipe(
                mask=MaskConfig(cell=4, mask_ratio=0.5),
                target=TargetConfig(decoder_width=32),
                optimizer=OptimizerConfig(epochs=6, batch_size=25, lr=3e-3),
            ),
        ),
        folder / "pretrained",
        progress=False,
    )
    weights, card = unmask.load_weights(run.folder / "encoder.safetensors")
    assert card is not None

    def prepared(count: int, seed: int) -> tuple[Tensor, Tensor]:
        images, masks = draw(count, seed)
        return (torch.from_numpy(images) / 255 - card.format.mean[0]) / card.format.std[0], torch.from_numpy(masks)

    test = prepared(40, 2)
    for name, start in (("encoder of the run", weights), ("encoder from scratch", None)):
        unet = network(start)
        train(unet, *prepared(6, 1), steps=25)
        print(f"{name}: intersection over union {overlap(unet, *test):.2f} on 40 test images, from 6 masks")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
