"""Claim: a pretraining step of a ViT costs what one built from lightly's MAE modules costs (ratio at least 0.95).

Both pretrain timm's vit_small_patch16_224 on the same images of 224 pixels, 75 % of the patches hidden: draw the masks,
encode the visible tokens, decode all of them with the same number of blocks, width and heads, mean squared error of
the hidden patches' normalized pixels, backward, AdamW. The steps alternate in one process; medians over n.
lightly is not a dependency: it must be installed (pip install lightly).

Run: python benchmarks/vit_step.py [--n 12] [--batch 16] [--threads 2]
"""

import argparse
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unmask.config import EncoderConfig, PretrainConfig, PretrainRecipe, TargetConfig
from unmask.config.model import MaskConfig
from unmask.masking import draw_masks
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
    """The same with this package."""

    def __init__(self) -> None:
        super().__init__()
        target = TargetConfig(decoder="transformer", decoder_width=WIDTH, decoder_depth=DEPTH)
        self.mask = MaskConfig(mask_ratio=RATIO, cell=PATCH)
        config = PretrainConfig(
            encoder=EncoderConfig(encoder=NAME), recipe=PretrainRecipe(mask=self.mask, target=target)
        )
        self.network, _ = build_reconstructor(config, channels=3, image_size=(SIDE, SIDE))
        self.epoch = 0

    def forward(self, images: Tensor) -> Tensor:
        grid, self.epoch = self.network.encoder.grid, self.epoch + 1
        hidden = draw_masks(self.mask, grid, seed=0, epoch=self.epoch, ids=torch.arange(len(images)).numpy())
        target = pixel_target(images, PATCH, normalized=True)
        flat = target.mean(dim=1, keepdim=True).expand_as(target)
        loss = hidden_loss(self.network(images, hidden), target, flat, hidden)
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
    """Print the ratio; exit 1 if it falls below 0.95."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=12, help="steps of each, after two warm-ups")
    parser.add_argument("--batch", type=int, default=16, help="images per step")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    images = torch.randn(args.batch, 3, SIDE, SIDE)
    models = {"lightly": Theirs(), "unmask": fast_layout(Ours())}
    for name, model in models.items():
        numbers = [sum(p.numel() for p in part.parameters() if p.requires_grad) for part in model.children()]
        print(f"{name}: {sum(numbers) / 1e6:.2f} million trained parameters")
    steps = {name: step_of(model) for name, model in models.items()}
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(args.n + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step(images)
            if i >= 2:
                spent[name].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(spent["lightly"], spent["unmask"], strict=True)]
    quarter = statistics.quantiles(ratios, n=4)
    for name, times in spent.items():
        print(f"{name}: {1e3 * statistics.median(times):.0f} ms per step of {args.batch} images")
    print(f"{platform.machine()}, torch {torch.__version__}, {args.threads} threads, n = {args.n}")
    print(f"lightly / unmask: {quarter[1]:.2f} (quartiles {quarter[0]:.2f}-{quarter[2]:.2f})")
    sys.exit(0 if quarter[1] >= 0.95 else 1)


if __name__ == "__main__":
    main()
