"""Draw the pictures of docs/how-it-works.md and docs/theory-for-practitioners.md with the package's own code.

    python docs/tools/pictures.py               (about a minute on one core; writes docs/images)

The photograph is NASA's portrait of Eileen Collins (public domain), which scikit-image brings along.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from skimage.data import astronaut
from torch import Tensor

import unmask
from unmask.config import AugmentConfig, EncoderConfig, MaskConfig
from unmask.data.sources.multiview import MultiViewConfig, draw_multiview
from unmask.masking import expand
from unmask.theory.laws import critical_mask_ratio, fixed_point

IMAGES = Path(__file__).resolve().parents[1] / "images"
SIDE = 224
STYLE = {"figure.dpi": 110, "font.size": 9, "axes.titlesize": 9, "svg.hashsalt": "unmask", "svg.fonttype": "path"}


def photograph() -> Tensor:
    """The portrait, float32 [1, 3, 224, 224] in 0..1."""
    pixels = Image.fromarray(astronaut()).crop((60, 0, 380, 320)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(pixels).copy()).permute(2, 0, 1)[None].float() / 255


def hide(image: Tensor, hidden: Tensor) -> np.ndarray:
    """The image with hidden cells in white, as matplotlib shows it."""
    shown = torch.where(expand(hidden, *image.shape[-2:])[:, None], torch.ones(()), image)
    return shown[0].permute(1, 2, 0).numpy()


def masks() -> Figure:
    """Three patterns at the same ratio."""
    figure, axes = plt.subplots(1, 4, figsize=(8, 2.3))
    image = photograph()
    axes[0].imshow(image[0].permute(1, 2, 0).numpy())
    axes[0].set_title("image")
    for axis, pattern in zip(axes[1:], ("random", "block", "grid"), strict=True):
        config = MaskConfig(cell=16, mask_ratio=0.6, mask_pattern=pattern)
        hidden = unmask.draw_masks(config, (14, 14), seed=0, epoch=0, ids=[5])
        axis.imshow(hide(image, hidden))
        axis.set_title(f"{pattern}: {int(hidden.sum())} of {hidden.numel()} hidden")
    return bare(figure)


def leak() -> Figure:
    """What becomes of a mask in a plain network, and in the masked one, after 1 to 4 stages."""
    model = unmask.build_model(EncoderConfig(encoder="resnet18"), in_chans=3, image_size=(SIDE, SIDE), seed=0)
    encoder = unmask.masked_encoder(model, image_size=(SIDE, SIDE))
    model.train()
    image = photograph()
    hidden = unmask.draw_masks(MaskConfig(mask_ratio=0.6), encoder.grid, seed=0, epoch=0, ids=[0])
    blank = torch.where(expand(hidden, SIDE, SIDE)[:, None], torch.zeros(()), image - image.mean())
    nothing = torch.zeros_like(hidden)
    with torch.no_grad():
        rows = {"plain network,\nhidden cells 0": encoder(blank, nothing).maps,
                "masked network": encoder(image - image.mean(), hidden).maps}  # fmt: skip
    figure, axes = plt.subplots(2, 5, figsize=(8, 3.5))
    for line, (title, maps) in zip(axes, rows.items(), strict=True):
        line[0].imshow(hide(image, hidden))
        line[0].set_ylabel(title)
        for number, (axis, features) in enumerate(zip(line[1:], maps[-4:], strict=True), start=1):
            active = features[0].abs().mean(0)
            axis.imshow(np.ma.masked_equal(active.numpy(), 0), cmap="viridis")
            share = float((features[0] != 0).any(0).float().mean())
            axis.set_title(f"stage {number}: {share:.0%} active")
    return bare(figure)


def multiview() -> Figure:
    """Images that show both parts of their class, or one of them."""
    config = MultiViewConfig(noise=0.1, clutter=0.2, distractors=0, step=4, weak_strength=1.0, classes=4)
    figure, axes = plt.subplots(3, 8, figsize=(8, 3.3))
    for line, (kind, title) in zip(axes, ((0, "both parts"), (1, "part 1 alone"), (2, "part 2 alone")), strict=True):
        drawn = draw_multiview(config, "picture", np.full(16, kind))
        order = np.argsort(drawn.labels, kind="stable")[[0, 1, 4, 5, 8, 9, 12, 13]]
        for axis, index in zip(line, order, strict=True):
            axis.imshow(drawn.images[index, 0], cmap="gray", vmin=0, vmax=255)
            axis.set_title(f"class {drawn.labels[index] + 1}" if kind == 0 else "", fontsize=8)
        line[0].set_ylabel(title)
    return bare(figure)


def growth() -> Figure:
    """Closed forms of the theory: how strong a feature grows, and how many features K kernels capture."""
    q, threshold, tau, gain = 4, 0.5, 1.4, 2.0
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8))
    ratios = np.linspace(0, 0.8, 400)
    strength = [fixed_point(q, threshold, tau, gain * (1 + r / (1 - r))) for r in ratios]
    left.plot(ratios, strength, label="one feature alone")
    for count, dash, name in ((1, "--", "alone"), (2, ":", "with its partner view")):
        edge = critical_mask_ratio(q, tau, gain, count)
        left.axvline(edge, color="0.4", linestyle=dash, label=f"grows {name} below {edge:.2f}")
    left.set(xlabel="mask ratio", ylabel="strength at the fixed point", ylim=(0, None))
    left.legend(fontsize=7)
    kernels = np.arange(1, 321)
    for classes in (5, 10, 20):
        right.plot(kernels, 1 - (1 - 1 / (2 * classes)) ** kernels, label=f"{2 * classes} features")
    right.set(xlabel="kernels K", ylabel="share of features captured", ylim=(0, 1.02))
    right.legend(fontsize=7, loc="lower right")
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def bare(figure: Figure) -> Figure:
    """No ticks around images."""
    for axis in figure.axes:
        axis.set(xticks=[], yticks=[])
        for spine in axis.spines.values():
            spine.set_visible(False)
    figure.tight_layout(pad=0.4)
    return figure


def reconstruction(folder: Path) -> Path:
    """The picture a short pretraining on digits writes after its last epoch."""
    settings = {"epochs": 15, "batch_size": 64, "lr": 2e-3, "picture_every": 15}
    augment = AugmentConfig()  # not the recipe's
    run = unmask.pretrain("digits", folder / "run", augment=augment, mask_ratio=0.5, progress=False, **settings)
    return sorted((run.folder / "pictures").glob("*.png"))[-1]


FIGURES: dict[str, Callable[[], Figure]] = {
    "masks.png": masks,
    "masked-convolution.png": leak,
    "multiview.png": multiview,
    "growth.svg": growth,
}


def main() -> None:
    """Write all of them."""
    with plt.rc_context(STYLE):
        for name, draw in FIGURES.items():
            figure = draw()
            figure.savefig(IMAGES / name, metadata={"Date": None} if name.endswith("svg") else {"Software": None})
            plt.close(figure)
            print(IMAGES / name)
    with tempfile.TemporaryDirectory() as name:
        picture = reconstruction(Path(name))
        with Image.open(picture, formats=("PNG",)) as image:
            image.crop((0, 0, min(image.width, 804), image.height)).quantize(64).save(IMAGES / "reconstruction.png")
    print(IMAGES / "reconstruction.png")


if __name__ == "__main__":
    main()
