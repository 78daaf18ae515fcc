"""From a plain network to an encoder that sees visible cells only."""

from torch import nn

from unmask.encoders.convolutional import DenseEncoder
from unmask.encoders.protocol import Encoder
from unmask.encoders.tokens import TOKEN_MODELS, TokenEncoder


def masked_encoder(
    model: nn.Module, *, image_size: tuple[int, int], cell: int | None = None, execution: str = "auto"
) -> Encoder:
    """Wrap a model; parameters and buffers are shared with it.

    A ViT encodes visible tokens only; a CNN runs by masked convolution.

    Args:
        model: from `build_model`, or any timm model.
        image_size: (height, width) in pixels.
        cell: side of a mask cell in pixels; default: the patch size, or the total stride.
        execution: "auto", or "dense" to force the reference of a CNN.

    Raises:
        UserError: image size not divisible by the cell (nearest sizes are proposed), a cell finer than the first
            stride, no spatial features, or an operation that cannot honour a mask (model, module and operation are
            named).
    """
    if isinstance(model, TOKEN_MODELS):
        return TokenEncoder(model, image_size=image_size, cell=cell)
    return DenseEncoder(model, image_size=image_size, cell=cell)
