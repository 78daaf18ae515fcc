"""From a plain network to an encoder that sees visible cells only."""

from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import nn

from unmask.encoders.convolutional import DenseEncoder
from unmask.encoders.filled import FilledEncoder
from unmask.encoders.packed.encoder import PackedEncoder
from unmask.encoders.protocol import Encoder
from unmask.encoders.tokens import TOKEN_MODELS, TokenEncoder
from unmask.errors import UserError, is_out_of_memory

EXECUTIONS = ("auto", "dense", "packed", "filled")


def masked_encoder(
    model: nn.Module, *, image_size: tuple[int, int], cell: int | None = None, execution: str = "auto"
) -> Encoder:
    """Wrap a model; parameters and buffers are shared with it.

    A ViT encodes visible tokens only, a CNN runs by masked convolution, a Swin transformer has its hidden cells filled
    with a learnt token; `execution` of the result says how.

    Args:
        model: from `build_model`, or any timm model.
        image_size: (height, width) in pixels.
        cell: side of a mask cell in pixels; default: the patch size, or the total stride.
        execution: "auto": packed where the model allows it, else dense; "dense" for the reference of a CNN; "packed" to
            insist; "filled" for a learnt token in hidden cells, which suits
            any model with intermediate maps.

    Raises:
        UserError: image size not divisible by the cell (nearest sizes are proposed), a cell finer than the first
            stride, no spatial features, or an operation that cannot honor a mask (model, module and operation are
            named).
    """
    if execution not in EXECUTIONS:
        raise UserError(f"execution = {execution!r} is out of range: allowed is one of {', '.join(EXECUTIONS)}")
    try:
        return _masked(model, image_size, cell, execution)
    except (RuntimeError, ValueError, LookupError, AttributeError, TypeError, AssertionError) as error:
        if isinstance(error, UserError) or is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"encoder = {type(model).__name__} cannot be masked ({reason}): choose another") from error


def _masked(model: nn.Module, image_size: tuple[int, int], cell: int | None, execution: str) -> Encoder:
    if execution == "filled" or (execution == "auto" and isinstance(model, (SwinTransformer, SwinTransformerV2))):
        return FilledEncoder(model, image_size=image_size, cell=cell)
    if isinstance(model, TOKEN_MODELS):
        return TokenEncoder(model, image_size=image_size, cell=cell)
    dense = DenseEncoder(model, image_size=image_size, cell=cell)
    if execution == "dense":
        return dense
    try:
        return PackedEncoder(dense)
    except UserError as error:
        if execution == "packed":
            raise
        dense.note = str(error)
        return dense
