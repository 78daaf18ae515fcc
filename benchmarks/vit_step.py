"""Claim: a pretraining step of a ViT costs what one built from lightly's MAE modules costs, and with half of the
hidden patches predicted and smaller images first, half of that or less.

Both pretrain timm's vit_small_patch16_224 on the same images of 224 pixels, 75 % of the patches hidden: draw the masks,
encode the visible tokens, decode all of them with the same number of blocks, width and heads, mean squared error of
the hidden patches' normalized pixels, backward, AdamW. The steps alternate in one process; medians over n of its
CPU seconds. Beside them stands `--predict 0.5`, at 224 and at 128 pixels, from which the mean step of
`--size-schedule 128:0.7,224:0.3` follows.
This is about time alone: what it does to accuracy is not measured here.
lightly is not a dependency: it must be installed (pip install lightly).

Run: python benchmarks/vit_step.py [--n 12] [--batch 16] [--threads 2]
"""

import argparse
import platform
import statistics
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
from cpu_time import interleaved
from torch import Tensor, nn
from torch.nn import functional as F

from unmask.config import EncoderConfig, PretrainConfig, PretrainRecipe, TargetConfig
from unmask.config.model import MaskConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.masking import draw_masks, draw_predicted
from unmask.stages.reconstructor import build_reconstructor
from unmask.targets.pixels import hidden_loss, pixel_target
from unmask.training.engine import fast_layout

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightly.models import utils
        from lightly.models.modules.masked_autoencoder_timm import MAEDecoderTIMM
        from lightly.models.modules.masked_vision_transformer_timm import MaskedVisionTransformerTIMM
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}: the comparison needs lightly; pip install lightly")

NAME, SIDE, PATCH, RATIO, WIDTH, DEPTH, HEADS = "vit_small_patch16_224", 224, 16, 0.75, 256, 4, 16
SMALL, FIRST = 128, 0.7
"""Pixels of the smaller images, and the share of the steps that see them."""


class Theirs(nn.Module):
    """The pixel loss of masked images with lightly's encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MaskedVisionTransformerTIMM(vit=timm.create_model(NAME, num_classes=0))
        self.decoder = MAEDecoderTIMM((SIDE // PATCH) ** 2, PATCH, 3, 384, WIDTH, DEPTH, HEADS)

    def forward(self, images: Tensor) -> Tensor:
        length = self.encoder.sequence_length
        keep, hidden = utils.random_token_mask((len(images), length), mask_ratio=RATIO)
        seen = self.decoder.embed(self.encoder.encode(images, idx_keep=keep))
        tokens = utils.repeat_token(self.decoder.mask_token, (len(images), length))
        tokens = self.decoder.decode(utils.set_at_index(tokens, keep, seen))
        prediction = self.decoder.predict(utils.get_at_index(tokens, hidden))
        target = utils.get_at_index(utils.patchify(images, PATCH), hidden - 1)
        mean, variance = target.mean(-1, keepdim=True), target.var(-1, keepdim=True)
        return F.mse_loss(prediction, (target - mean) / (variance + 1e-6).sqrt())


class Ours(nn.Module):
    """The same with this package; `predict` is the share of the hidden patches that a step predicts."""

    def __init__(self, predict: float = 1.0, side: int = SIDE) -> None:
        super().__init__()
        self.predict = predict
        target = TargetConfig(decoder="transformer", decoder_width=WIDTH, decoder_depth=DEPTH)
        self.mask = MaskConfig(mask_ratio=RATIO, cell=PATCH)
        config = PretrainConfig(
            encoder=EncoderConfig(encoder=NAME), recipe=PretrainRecipe(mask=self.mask, target=target)
        )
        self.network, _ = build_reconstructor(config, ImageFormat.plain((side, side), 3, "uint8"))
        self.epoch = 0

    def forward(self, images: Tensor) -> Tensor:
        grid, self.epoch = self.network.encoder.grid, self.epoch + 1
        keys: dict[str, Any] = {"seed": 0, "epoch": self.epoch, "ids": torch.arange(len(images)).numpy()}
        hidden = draw_masks(self.mask, grid, **keys)
        wanted = draw_predicted(hidden, self.predict, **keys) if self.predict < 1 else None
        target = pixel_target(images, PATCH, normalized=True)
        flat = target.mean(dim=1, keepdim=True).expand_as(target)
        prediction = self.network(images, hidden, wanted)
        loss = hidden_loss(prediction, target, flat, hidden if wanted is None else wanted)
        return loss.total / loss.number


def step_of(model: nn.Module) -> Callable[[Tensor], None]:
    """One training step."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def step(images: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        model(images).backward()
        optimizer.step()

    return step


def main() -> None:
    """Print the ratios; exit 1 if the first falls below 0.95 or the last below 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=12, help="steps of each, after two warm-ups")
    parser.add_argument("--batch", type=int, default=16, help="images per step")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    images = torch.randn(args.batch, 3, SIDE, SIDE)
    small = F.interpolate(images, size=(SMALL, SMALL))
    models = {"lightly": Theirs(), "all": Ours(), "half": Ours(0.5), "small": Ours(0.5, SMALL)}
    for name in ("lightly", "all"):
        numbers = [sum(p.numel() for p in part.parameters() if p.requires_grad) for part in models[name].children()]
        print(f"{name}: {sum(numbers) / 1e6:.2f} million trained parameters")
    steps = {name: step_of(fast_layout(model) if name != "lightly" else model) for name, model in models.items()}
    ways = {name: partial(step, small if name == "small" else images) for name, step in steps.items()}
    spent = interleaved(ways, args.n, warm_up=2)
    spent["schedule"] = [FIRST * a + (1 - FIRST) * b for a, b in zip(spent["small"], spent["half"], strict=True)]
    print(f"{platform.machine()}, torch {torch.__version__}, {args.threads} threads, n = {args.n}")
    for name, times in spent.items():
        print(f"{name}: {1e3 * statistics.median(times):.0f} CPU ms per step of {args.batch} images")
    pairs = [("lightly", "all"), ("all", "half"), ("lightly", "half"), ("all", "schedule"), ("lightly", "schedule")]
    found = {pair: ratio(spent[pair[0]], spent[pair[1]], pair) for pair in pairs}
    twice = min(found["lightly", "schedule"], found["all", "schedule"]) >= 2
    sys.exit(0 if found["lightly", "all"] >= 0.95 and twice else 1)


def ratio(slow: list[float], fast: list[float], names: tuple[str, str]) -> float:
    """The median of the ratios of paired steps, which is printed with its quartiles."""
    quarter = statistics.quantiles([a / b for a, b in zip(slow, fast, strict=True)], n=4)
    print(f"{names[0]} / {names[1]}: {quarter[1]:.2f} (quartiles {quarter[0]:.2f}-{quarter[2]:.2f})")
    return quarter[1]


if __name__ == "__main__":
    main()
