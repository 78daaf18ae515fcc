"""A custom target: reconstruct how steep the image is, instead of its pixels.

    python examples/add_a_target.py             (seconds on one core)

A target is any object with the members of `unmask.targets.target.Target`. Encoder, mask, decoder and loss are plain
objects too, so a new method is a combination of these pieces. To give a target a name on the command line, construct
it in `unmask.stages.reconstructor.build_target`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import unmask
from unmask.config import DataConfig, EncoderConfig, MaskConfig, TargetConfig
from unmask.decoders import build_decoder
from unmask.randomness import permutation
from unmask.stages.reconstructor import Reconstructor, last_map_shape
from unmask.targets.pixels import hidden_loss, patchify
from unmask.targets.target import Target


@dataclass(frozen=True)
class SteepnessTarget:
    """The length of the gray gradient at every pixel of a cell (a simple relative of MaskFeat's histograms)."""

    cell: int

    @property
    def dimension(self) -> int:
        """One number per pixel."""
        return self.cell**2

    def __call__(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, cell², Hc, Wc]."""
        gray = F.pad(images.float().mean(1, keepdim=True), (0, 1, 0, 1), mode="replicate")
        right, down = gray[..., :-1, 1:] - gray[..., :-1, :-1], gray[..., 1:, :-1] - gray[..., :-1, :-1]
        return patchify((right**2 + down**2).sqrt(), self.cell)

    def flat(self, target: Tensor) -> Tensor:
        """The mean of each cell: the prediction of a network that has learned no structure."""
        return target.mean(dim=1, keepdim=True).expand_as(target)

    def after_step(self, student: nn.Module, done: int, total: int) -> None:
        """Nothing changes."""

    def modules(self) -> Mapping[str, nn.Module]:
        """No state."""
        return {}


def main() -> None:
    """Train an encoder on the new target and print the loss beside that of knowing no structure."""
    config = DataConfig(data="multiview", options={"images": 200, "size": 16, "part_size": 4})
    data = unmask.load_data(config, labels=False, progress=False)
    model = unmask.build_model(EncoderConfig(encoder="patchnet", encoder_options={"width": 64, "patch": 4}), in_chans=1,
                               image_size=data.format.size)  # fmt: skip
    encoder = unmask.masked_encoder(model, image_size=data.format.size, cell=4)
    target: Target = SteepnessTarget(cell=4)
    channels, *size = last_map_shape(encoder, 1, data.format.size)
    decoder = build_decoder(TargetConfig(decoder_width=32), channels=channels, size=(size[0], size[1]),
                            dimension=target.dimension, grid=encoder.grid, seed=0)  # fmt: skip
    network = Reconstructor(encoder, decoder)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    losses = []
    for epoch in range(10):
        order = torch.from_numpy(permutation(0, "order", epoch, len(data.pretrain)))
        for batch in data.pretrain.batches(order, 20):
            hidden = unmask.draw_masks(MaskConfig(cell=4, mask_ratio=0.5), encoder.grid, seed=0, epoch=epoch,
                                       ids=batch.ids.numpy())  # fmt: skip
            wanted = target(batch.images)
            loss = hidden_loss(network(batch.images, hidden), wanted, target.flat(wanted), hidden)
            (loss.total / loss.number).backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append((loss.total.item() / loss.number.item(), loss.baseline.item() / loss.number.item()))
    print(f"steepness of hidden cells: loss {losses[0][0]:.2f} at the first step, {losses[-1][0]:.2f} at the last")
    print(f"predicting each cell's mean: {losses[-1][1]:.2f}")


if __name__ == "__main__":
    main()
