"""An encoder with an operation that masked execution does not know: it is refused, gets a rule, and passes the laws.

    python examples/add_an_encoder_rule.py      (seconds on one core)

An unknown operation is never allowed: it might carry hidden pixels into visible features. A rule says how it acts
on a tensor with a mask; the laws measure whether that is true. General rules belong in
`unmask.encoders.dense.rules`.
"""

import torch
from torch import Tensor, nn

import unmask
from unmask.encoders.dense.elementwise import activation
from unmask.encoders.dense.rules import RULES
from unmask.encoders.laws import leak, parity


class Sine(nn.Module):
    """x → sin x, which no timm model uses."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise; 0 stays 0."""
        return torch.sin(x)


class SineNet(nn.Module):
    """A CNN of two stages with timm's interface."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), Sine())
        self.two = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), Sine())
        self.feature_info = [
            {"num_chs": 8, "reduction": 2, "module": "one"},
            {"num_chs": 16, "reduction": 4, "module": "two"},
        ]

    def forward_features(self, images: Tensor) -> Tensor:
        """[B, 1, H, W] → [B, 16, H/4, W/4]."""
        return self.two(self.one(images))

    def forward(self, images: Tensor) -> Tensor:
        """Mean over positions."""
        return self.forward_features(images).mean(dim=(2, 3))


def main() -> None:
    """Before and after the rule."""
    torch.manual_seed(0)
    model = SineNet()
    try:
        unmask.masked_encoder(model, image_size=(16, 16), cell=4)
    except unmask.UserError as error:
        print(f"refused: {error}")
    # sin 0 = 0, so a hidden position stays hidden: it acts like every activation with f(0) = 0.
    RULES[torch.sin] = activation
    try:
        encoder = unmask.masked_encoder(model, image_size=(16, 16), cell=4, execution="dense")
        images, hidden = torch.randn(4, 1, 16, 16), torch.rand(4, *encoder.grid) < 0.5
        print(f"accepted; hidden pixels change visible features by {leak(encoder, images, hidden):.1g}")
        difference = parity(encoder, images, training=False)
        print(f"with nothing hidden it differs from the plain network by {difference:.1g}")
    finally:
        del RULES[torch.sin]


if __name__ == "__main__":
    main()
