"""An encoder with a head that gives a class for every pixel.

Decoders are those of segmentation-models-pytorch, on the maps of our encoder: U-Net where a network has maps of several
resolutions, DPT for a ViT. The linear head, a linear layer for each map, is what a dense probe fits.

Letters: B images, C channels, H x W pixels, K classes.
"""

import importlib.util
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unmask.encoders.maps import feature_maps, map_shapes, maps_read
from unmask.errors import UserError

Decoder = Literal["unet", "dpt", "linear"]
_WIDEST, _NARROWEST = 256, 16
"""Most and fewest channels of a decoder's block."""


class Segmenter(nn.Module):
    """Images [B, C, H, W] → logits [B, K, H, W], of any size the encoder accepts.

    `get_classifier` returns everything that is not part of the encoder, as timm's models do.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, read: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder, self.head, self.read = encoder, head, read

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        return self.head(images, feature_maps(self.encoder, images, self.read))

    def get_classifier(self) -> nn.Module:
        """The head."""
        return self.head

    def no_weight_decay(self) -> set[str]:
        """Parameters of the encoder that timm exempts from weight decay."""
        spared: Any = getattr(self.encoder, "no_weight_decay", set)
        return {f"encoder.{name}" for name in spared()}


class LinearHead(nn.Module):
    """One linear layer per map, upsampled bilinearly to the image's size and summed."""

    def __init__(self, channels: list[int], classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(n, classes, 1, bias=index == 0) for index, n in enumerate(channels))

    def forward(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """[B, K, H, W]."""
        logits = [upsampled(layer(one), images) for layer, one in zip(self.layers, maps, strict=True)]
        return torch.stack(logits).sum(0)

    @torch.no_grad()
    def set(self, weight: Tensor, bias: Tensor) -> None:
        """Make logits = weight (K, D) · features + bias (K,), with the D channels of all maps one after the other."""
        layers = [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]
        for layer, piece in zip(layers, weight.split([layer.in_channels for layer in layers], dim=1), strict=True):
            layer.weight.copy_(piece[:, :, None, None])
        assert layers[0].bias is not None
        layers[0].bias.copy_(bias)


class UNetHead(nn.Module):
    """The U-Net decoder: from the coarsest map up, joined by each finer one, to the finest, where it classifies.

    A block has half the channels of the map beside it: as wide as the encoder, a decoder would take most of the time.
    """

    def __init__(self, channels: list[int], in_chans: int, classes: int) -> None:
        super().__init__()
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

        widths = [min(_WIDEST, max(_NARROWEST, n // 2)) for n in reversed(channels[:-1])]
        self.decoder = UnetDecoder((in_chans, *channels), tuple(widths), n_blocks=len(widths))
        self.classify = nn.Conv2d(widths[-1], classes, 3, padding=1)

    def forward(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """[B, K, H, W]. The decoder uses only the size of the images."""
        return upsampled(self.classify(self.decoder([images, *maps])), images)


class DPTHead(nn.Module):
    """The decoder of dense prediction transformers: blocks' maps as a pyramid, fused from the coarsest up."""

    def __init__(self, channels: list[int], stride: int, classes: int) -> None:
        super().__init__()
        from segmentation_models_pytorch.decoders.dpt.decoder import DPTDecoder

        width, count = min(_WIDEST, max(_NARROWEST, channels[0])), len(channels)
        self.decoder = DPTDecoder(
            encoder_out_channels=channels,
            encoder_output_strides=[stride] * count,
            encoder_has_prefix_tokens=False,
            readout="ignore",
            intermediate_channels=[width] * count,
            fusion_channels=width,
        )
        self.classify = nn.Conv2d(width, classes, 3, padding=1)

    def forward(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """[B, K, H, W]."""
        return upsampled(self.classify(self.decoder(maps, [None] * len(maps))), images)


def upsampled(maps: Tensor, images: Tensor) -> Tensor:
    """Maps resized bilinearly to the size of the images; unchanged if they have it."""
    if maps.shape[2:] == images.shape[2:]:
        return maps
    return F.interpolate(maps, size=images.shape[2:], mode="bilinear", align_corners=False)


def build_segmenter(
    encoder: nn.Module,
    *,
    classes: int,
    in_chans: int,
    image_size: tuple[int, int],
    seed: int,
    decoder: Decoder | None = None,
) -> Segmenter:
    """Give an encoder without a head a segmentation head whose weights are drawn from `seed`.

    Args:
        encoder: a timm model or PatchNet; its weights are kept.
        classes: K.
        image_size: (height, width) of training images.
        seed: draws the head's weights.
        decoder: which head. Default: U-Net for maps of several resolutions, DPT for a ViT whose patches suit it, else
            linear.

    Raises:
        UserError: the encoder gives no maps, the decoder does not fit them, or segmentation-models-pytorch is missing.
    """
    read = maps_read(encoder, image_size)
    shapes = map_shapes(encoder, read, image_size)
    chosen = decoder or _fitting(encoder, shapes, image_size)
    if chosen == "unet":
        kept = _pyramid(shapes, image_size)
        read, shapes = tuple(read[index] for index in kept), [shapes[index] for index in kept]
    channels, stride = [shape[0] for shape in shapes], image_size[0] // shapes[0][1]
    if chosen != "linear":
        require_decoders()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if chosen == "unet":
            head: nn.Module = UNetHead(channels, in_chans, classes)
        elif chosen == "dpt":
            head = DPTHead(channels, stride, classes)
        else:
            head = LinearHead(channels, classes)
    return Segmenter(encoder, head, read)


def _pyramid(shapes: list[tuple[int, int, int]], image_size: tuple[int, int]) -> list[int]:
    """Which maps a U-Net reads: the deepest of each resolution, and none at the image's own if two others are left.

    At the image's size a decoder takes as long as everywhere else, and logits upsampled twofold are as good.
    """
    deepest = {shape[1:]: index for index, shape in enumerate(shapes)}
    if len(deepest) > 2:
        deepest.pop((image_size[0], image_size[1]), None)
    return sorted(deepest.values())


def require_decoders() -> None:
    """Raise `UserError` if the package of the extra `segmentation` is missing."""
    if importlib.util.find_spec("segmentation_models_pytorch") is None:
        raise UserError("task: segmentation needs segmentation-models-pytorch: pip install 'unmask[segmentation]'")


def _fitting(encoder: nn.Module, shapes: list[tuple[int, int, int]], image_size: tuple[int, int]) -> Decoder:
    if len({shape[1:] for shape in shapes}) > 1:
        return "unet"
    height, width = shapes[0][1:]
    stride = image_size[0] // height
    # DPT makes maps at strides 4, 8, 16, ... of them, of which each must be half the one before.
    coarsest = 2 ** (len(shapes) + 1)
    square = (height * stride, width * stride) == tuple(image_size) and stride & (stride - 1) == 0
    fits = hasattr(encoder, "num_prefix_tokens") and square and all(side % coarsest == 0 for side in image_size)
    return "dpt" if fits else "linear"
