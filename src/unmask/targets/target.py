"""Targets and their two kinds: pixels of the image, features of a teacher that sees the whole image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unmask.data.decoding.image_format import ImageFormat
from unmask.encoders.protocol import Encoder
from unmask.encoders.sizes import grid_of
from unmask.encoders.whole_images import whole_maps
from unmask.targets.pixels import Loss, hidden_loss, patchify, pixel_target
from unmask.targets.teacher import follow, momentum_at, teacher_features
from unmask.wording import plural


class Target(Protocol):
    """A function of whole images, [B, C, H, W] → [B, D, Hc, Wc], with a baseline and possibly a state."""

    @property
    def dimension(self) -> int:
        """D, numbers per cell."""
        ...

    def __call__(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """The target of every cell, without a gradient; `valid`, bool [B, C, H, W]: which values are not missing."""
        ...

    def valid(self, valid: Tensor) -> Tensor:
        """Which numbers of the target are not missing, bool [B, D or 1, Hc, Wc]."""
        ...

    def flat(self, target: Tensor, *, partial: bool = False) -> Tensor:
        """What a network that has learned no structure would predict: the loss is shown beside the loss of this.

        `TargetConfig.baseline_name` is its name in words. `partial`: some of the target may be missing (NaN).
        """
        ...

    def after_step(self, student: nn.Module, done: int, total: int) -> None:
        """Called after every optimizer step."""
        ...

    def modules(self) -> Mapping[str, nn.Module]:
        """Networks whose state belongs in checkpoints."""
        ...


@dataclass(frozen=True)
class Truth:
    """What to reconstruct of some images, whatever is hidden."""

    values: Tensor
    """[B, D, Hc, Wc]; may be NaN if a value is missing."""
    flat: Tensor
    """What the baseline predicts, of the same shape."""
    valid: Tensor | None
    """bool [B, D or 1, Hc, Wc]: which numbers are present; None if none is missing."""

    def loss(self, prediction: Tensor, hidden: Tensor, kind: Literal["mse", "smooth_l1"]) -> Loss:
        """`hidden_loss` of a prediction [B, D, Hc, Wc] over cells bool [B, Hc, Wc]."""
        return hidden_loss(prediction, self.values, self.flat, hidden, kind=kind, valid=self.valid)


def truth_of(target: Target, images: Tensor, valid: Tensor | None) -> Truth:
    """The target of images [B, C, H, W], of which `valid` values are there (None: all)."""
    if valid is None:
        values = target(images)
        return Truth(values, target.flat(values), None)
    values = target(images, valid)
    return Truth(values, target.flat(values, partial=True), target.valid(valid))


@dataclass(frozen=True)
class PixelTarget:
    """Raw pixels, or pixels normalized per cell (He et al. 2022)."""

    dimension: int
    cell: int
    normalized: bool

    def __call__(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """[B, C, H, W] → [B, C·cell², Hc, Wc]; NaN where a value is missing."""
        return pixel_target(images, self.cell, normalized=self.normalized, valid=valid)

    def valid(self, valid: Tensor) -> Tensor:
        """Value by value."""
        return patchify(valid, self.cell)

    def flat(self, target: Tensor, *, partial: bool = False) -> Tensor:
        """The mean of each cell: what brightness alone predicts."""
        mean = target.nanmean(dim=1, keepdim=True) if partial else target.mean(dim=1, keepdim=True)
        return mean.expand_as(target)

    def after_step(self, student: nn.Module, done: int, total: int) -> None:
        """Pixels do not change."""

    def modules(self) -> Mapping[str, nn.Module]:
        """No state."""
        return {}


class TeacherTarget:
    """Normalized features of the last stages of a teacher that sees every cell (data2vec, Baevski et al. 2022).

    `momentum` (start, end) makes the teacher an average of the student's weights; None keeps it frozen.
    """

    def __init__(
        self,
        encoder: Encoder,
        grid: tuple[int, int],
        *,
        stages: int,
        momentum: tuple[float, float] | None,
        mode: str,
        shape: tuple[int, int, int],
        format: ImageFormat | None = None,
    ) -> None:
        """`format` has the mean and deviation of a frozen teacher's own images; None if they are the student's."""
        self.encoder, self.stages, self.momentum, self.mode = encoder, stages, momentum, mode
        self._format = format
        self._scale: tuple[Tensor, Tensor] | None = None
        self.cell = shape[1] // grid[0]
        have = len(encoder.channels)
        short = f"teacher_stages = {stages}: the teacher has {plural(have, 'stage')}, the target uses them all"
        self.notes = [short] if stages > have else []
        encoder.model.requires_grad_(False)
        self._settle()
        device = next(encoder.model.parameters()).device
        with torch.no_grad():
            self.dimension = self(torch.zeros(2, *shape, device=device)).shape[1]

    def begin(self, student: nn.Module, device: torch.device, format: ImageFormat) -> None:
        """Before the first step: an EMA teacher is a copy of the student, whatever weights the student was given.

        `format` is that of the student's images, which a frozen teacher sees as its own images were normalized.
        """
        if isinstance(self.encoder, nn.Module):
            self.encoder.to(device)
        if self.momentum is not None:
            self.encoder.model.load_state_dict(student.state_dict())
        own = self._format
        if own is None or (own.mean, own.std) == (format.mean, format.std):
            return
        mean, std, own_mean, own_std = (
            torch.tensor(values, device=device)[:, None, None]
            for values in (format.mean, format.std, own.mean, own.std)
        )
        self._scale = std / own_std, (mean - own_mean) / own_std
        self.notes.append(f"the teacher sees images normalized as for its weights ({own.normalization})")

    def _settle(self) -> None:
        """Stochastic layers off; BatchNorm uses the batch's statistics if the mode is train."""
        self.encoder.model.eval()
        if self.mode == "train":
            for module in self.encoder.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.train()

    @torch.no_grad()
    def __call__(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """[B, C, H, W] → [B, D, Hc, Wc]. The teacher sees missing values as the student does, as the mean."""
        if self._scale is not None:
            images = images * self._scale[0] + self._scale[1]
        return teacher_features(whole_maps(self.encoder, images)[-self.stages :], grid_of(images, self.cell))

    def valid(self, valid: Tensor) -> Tensor:
        """A cell is present if half of it is."""
        return F.adaptive_avg_pool2d(valid.float().mean(dim=1, keepdim=True), grid_of(valid, self.cell)) >= 0.5

    def flat(self, target: Tensor, *, partial: bool = False) -> Tensor:
        """Zero: every channel's mean over the image."""
        return torch.zeros_like(target)

    def after_step(self, student: nn.Module, done: int, total: int) -> None:
        """Move the teacher towards the student."""
        if self.momentum is not None:
            follow(self.encoder.model, student, momentum_at(done - 1, total, self.momentum))

    def modules(self) -> Mapping[str, nn.Module]:
        """The teacher, with its BatchNorm buffers."""
        return {"teacher": self.encoder.model} if self.momentum is not None else {}
