"""ViTs that encode visible tokens only (He et al. 2022): hidden tokens are dropped after position embedding.

timm's own blocks run on the visible tokens. Class and register tokens are always kept and never counted. Relative
position biases and rotary embeddings are gathered to the visible tokens; images with different visible counts are
padded and the padding is masked in attention.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_relpos import VisionTransformerRelPos
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from unmask.encoders.protocol import Encoding
from unmask.encoders.sizes import require_divisible, require_mask
from unmask.encoders.stages import CannotMaskError, captured
from unmask.errors import UserError
from unmask.masking import expand

TOKEN_MODELS = (VisionTransformer, Eva, Beit, VisionTransformerRelPos)


class TokenEncoder(nn.Module):
    """A ViT on visible tokens; its maps are the outputs of a few blocks, scattered to the patch grid.

    The last map is the model's final normalized output; up to three earlier ones come from evenly spaced blocks.
    """

    execution = "tokens"

    def __init__(self, model: nn.Module, *, image_size: tuple[int, int], cell: int | None = None) -> None:
        super().__init__()
        self.model = model
        for module in model.modules():  # the masks below reach only attention that goes through torch's function
            if hasattr(module, "fused_attn"):
                module.fused_attn = True  # type: ignore[assignment]
        self.patch = _patch_side(model, image_size)
        self.cell = self.patch if cell is None else cell
        if self.cell % self.patch:
            raise UserError(f"cell = {cell} is not a multiple of the {self.patch}-pixel patches of {_name(model)}")
        require_divisible(image_size, self.cell, f"the mask cell of {self.cell} pixels")
        self.grid = (image_size[0] // self.cell, image_size[1] // self.cell)
        depth = len(model.blocks)  # type: ignore[arg-type]
        ends = sorted({round(depth * part / 4) - 1 for part in range(1, 5)} - {-1})
        self._stages = [(f"blocks.{index}", False) for index in ends]
        self.channels = (int(model.embed_dim),) * len(ends)  # type: ignore[arg-type]
        self.strides = (self.patch,) * len(ends)

    def forward(self, images: Tensor, hidden: Tensor) -> Encoding:
        """See `Encoder.__call__`."""
        require_mask(images, hidden, self.cell)
        hidden = expand(hidden, images.shape[2] // self.patch, images.shape[3] // self.patch)
        visible = Visible.of(hidden)
        with captured(self.model, self._stages, lambda x: x) as stages, _dropped(self.model, visible):
            final = self.model.forward_features(images)  # type: ignore[operator]
        maps = tuple(visible.scatter(tokens) for tokens in (*stages[:-1], final))
        return Encoding(maps, (hidden,) * len(maps))


@dataclass(frozen=True)
class Visible:
    """Which patches are visible."""

    index: Tensor
    """[B, n]: visible patches in reading order; rows with fewer than n are padded with hidden ones."""
    padding: Tensor | None
    """bool[B, n]: entries of `index` that are padding; None if every image has n visible patches."""
    grid: tuple[int, int]
    """Rows and columns of the patches of the whole image."""

    @classmethod
    def of(cls, hidden: Tensor) -> "Visible":
        """From bool[B, H/p, W/p]."""
        flat = hidden.flatten(1)
        counts = (~flat).sum(1)
        n = int(counts.max())
        order = torch.argsort(flat.to(torch.uint8), dim=1, stable=True)[:, :n]
        padded = bool((counts < n).any())
        padding = torch.arange(n, device=hidden.device)[None] >= counts[:, None] if padded else None
        return cls(order, padding, (hidden.shape[1], hidden.shape[2]))

    @property
    def patches(self) -> int:
        """Of the whole image."""
        return self.grid[0] * self.grid[1]

    def scatter(self, tokens: Tensor) -> Tensor:
        """[B, prefix + n, D] to [B, D, H/p, W/p], 0 at hidden patches."""
        tokens = tokens[:, tokens.shape[1] - self.index.shape[1] :]
        if self.padding is not None:
            tokens = tokens.masked_fill(self.padding[..., None], 0)
        flat = tokens.new_zeros(tokens.shape[0], self.patches, tokens.shape[2])
        flat = flat.scatter_add(1, self.index[..., None].expand_as(tokens), tokens)
        return flat.transpose(1, 2).reshape(tokens.shape[0], -1, *self.grid)

    def gather(self, tokens: Tensor) -> Tensor:
        """Keep the prefix (what is in front of the patches) and the visible patches of [B, prefix + patches, D]."""
        prefix = tokens.shape[1] - self.patches
        index = (self.index + prefix)[..., None].expand(-1, -1, tokens.shape[2])
        return torch.cat([tokens[:, :prefix], tokens.gather(1, index)], dim=1)

    def bias(self, bias: Tensor | None, tokens: int) -> Tensor | None:
        """Bring an attention bias [.., heads, N, N] of all tokens to the visible ones and mask the padding."""
        prefix = tokens - self.index.shape[1]
        everything = prefix + self.patches
        if bias is not None and bias.shape[-1] == everything and everything != tokens:
            front = torch.arange(prefix, device=bias.device).expand(len(self.index), -1)
            index = torch.cat([front, self.index + prefix], dim=1)
            bias = bias.expand(len(self.index), *bias.shape[-3:])
            bias = bias.gather(2, index[:, None, :, None].expand(-1, bias.shape[1], -1, everything))
            bias = bias.gather(3, index[:, None, None, :].expand(-1, bias.shape[1], tokens, -1))
        if self.padding is None:
            return bias
        shut = F.pad(self.padding, (prefix, 0))[:, None, None, :]
        if bias is None:
            return ~shut
        return bias.masked_fill(shut, float("-inf")) if bias.is_floating_point() else bias & ~shut


class _VisibleAttention(TorchFunctionMode):
    """Gathers the bias of scaled_dot_product_attention inside the token encoder's forward pass."""

    def __init__(self, visible: Visible) -> None:
        super().__init__()
        self.visible, self.met = visible, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and args[0].ndim == 4:
            self.met = True
            kwargs = {**kwargs, "attn_mask": self.visible.bias(kwargs.get("attn_mask"), args[0].shape[2])}
        return func(*args, **kwargs)


class _KeepVisible(nn.Module):
    """Replaces Eva's patch dropout during one call."""

    def __init__(self, visible: Visible) -> None:
        super().__init__()
        self.visible = visible

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Visible tokens and their indices, from which Eva gathers its rotary embedding."""
        return self.visible.gather(tokens), self.visible.index


@contextmanager
def _dropped(model: nn.Module, visible: Visible) -> Iterator[None]:
    """Drop hidden tokens where the model has added all its position embeddings, for one call."""
    if isinstance(model, Eva):
        before, model.patch_drop = model.patch_drop, _KeepVisible(visible)
        undo: Callable[[], None] = lambda: setattr(model, "patch_drop", before)  # noqa: E731
    else:
        place = {Beit: "pos_drop", VisionTransformerRelPos: "patch_embed"}.get(type(model), "patch_drop")
        handle = model.get_submodule(place).register_forward_hook(lambda m, i, tokens: visible.gather(tokens))
        undo = handle.remove
    try:
        with _VisibleAttention(visible) as attention:
            yield
        if visible.padding is not None and not attention.met:
            raise UserError(
                f"encoder = {_name(model)}: its attention does not go through torch's scaled_dot_product_attention, so "
                "images with different numbers of visible patches cannot be kept apart: omit mask_ratio_max"
            )
    finally:
        undo()


def _patch_side(model: nn.Module, image_size: tuple[int, int]) -> int:
    """Side of the model's square, non-overlapping patches."""
    embed: Any = model.patch_embed
    proj = getattr(embed, "proj", None)
    if hasattr(embed, "backbone"):
        raise CannotMaskError(
            f"encoder = {_name(model)} makes its tokens with a CNN: choose another, or `execution` = filled"
        )
    if not isinstance(proj, nn.Conv2d) or proj.kernel_size != proj.stride or proj.kernel_size[0] != proj.kernel_size[1]:
        raise CannotMaskError(
            f"encoder = {_name(model)} mixes pixels of neighboring patches before its tokens: choose another"
        )
    if isinstance(getattr(model, "patch_drop", None), nn.Module) and getattr(model.patch_drop, "prob", False):
        raise UserError("encoder_options: patch_drop_rate must be 0, the mask already drops patches")
    require_divisible(image_size, proj.kernel_size[0], f"the patches of {_name(model)} ({proj.kernel_size[0]} pixels)")
    return proj.kernel_size[0]


def _name(model: nn.Module) -> str:
    return type(model).__name__
