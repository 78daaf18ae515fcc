"""From a plain network to an encoder that sees visible cells only."""

from timm.models.hiera import Hiera
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import nn

from unmask.encoders.convolutional import DenseEncoder
from unmask.encoders.filled import FilledEncoder
from unmask.encoders.hiera import HieraEncoder
from unmask.encoders.packed.encoder import PackedEncoder
from unmask.encoders.protocol import Encoder
from unmask.encoders.stages import CannotMaskError
from unmask.encoders.tokens import TOKEN_MODELS, TokenEncoder
from unmask.errors import UserError, is_out_of_memory

EXECUTIONS = ("auto", "dense", "packed", "filled")
REASONS = (RuntimeError, ValueError, LookupError, AttributeError, TypeError, AssertionError)
"""What models raise if they were not made for what is requested; `UserError` is a ValueError."""


def masked_encoder(
    model: nn.Module, *, image_size: tuple[int, int], cell: int | None = None, execution: str = "auto"
) -> Encoder:
    """Wrap a model, sharing its parameters and buffers.

    A ViT encodes only visible tokens, a CNN runs by masked convolution; in a Swin transformer, and any model with an
    operation that does not support a mask, hidden cells are filled with a learned token. The result's `execution` says
    how, its `note` why.

    Args:
        model: from `build_model`, or any timm model.
        image_size: (height, width) in pixels.
        cell: side of a mask cell in pixels; default: the patch size, or the total stride.
        execution: "auto": packed if the model allows it, else dense, else filled; "dense" for a CNN's reference;
            "packed" to insist; "filled" for a learned token in hidden cells, which suits any model with intermediate
            maps.

    Raises:
        UserError: image size not divisible by the cell (nearest sizes are suggested), a cell finer than the first
            stride, no spatial features, or an operation that does not support a mask (model, module and operation are
            named).
    """
    if execution not in EXECUTIONS:
        raise UserError(f"execution = {execution!r} is out of range: expected one of {', '.join(EXECUTIONS)}")
    try:
        return _masked(model, image_size, cell, execution)
    except REASONS as error:
        if isinstance(error, UserError) or is_out_of_memory(error):
            raise
        reason = _one_line(error)
        raise UserError(f"encoder = {type(model).__name__} cannot be masked ({reason}): choose another") from error


def _masked(model: nn.Module, image_size: tuple[int, int], cell: int | None, execution: str) -> Encoder:
    if execution == "filled" or (execution == "auto" and isinstance(model, (SwinTransformer, SwinTransformerV2))):
        return FilledEncoder(model, image_size=image_size, cell=cell)
    try:
        return _exact(model, image_size, cell, execution)
    except REASONS as error:
        if execution != "auto" or _is_final(error) or not hasattr(model, "forward_intermediates"):
            raise
        try:
            filled = FilledEncoder(model, image_size=image_size, cell=cell)
        except REASONS:
            raise error from None
        filled.note = _one_line(error)
        return filled


def _is_final(error: Exception) -> bool:
    """Whether another execution would not help: the problem is a size, a cell, an option, or memory."""
    return is_out_of_memory(error) or (isinstance(error, UserError) and not isinstance(error, CannotMaskError))


def _exact(model: nn.Module, image_size: tuple[int, int], cell: int | None, execution: str) -> Encoder:
    """An encoder that does not compute, or at least does not see, hidden cells."""
    if isinstance(model, Hiera):
        return HieraEncoder(model, image_size=image_size, cell=cell)
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


def _one_line(error: Exception) -> str:
    """Its message; only the start for errors that are not ours."""
    said = " ".join(str(error).split())
    return said if isinstance(error, UserError) else said[:200] or type(error).__name__
