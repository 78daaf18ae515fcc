"""The encoder, the mask and the target of pretraining."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from unmask.config.architecture import NAME, require_architecture
from unmask.config.schedule import Schedule, parse_schedule
from unmask.config.serialize import freeze, shown
from unmask.config.validation import require, require_between, require_choices, require_least, require_ranges
from unmask.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The network to train: any timm CNN or ViT, or `patchnet`, the paper's two-layer convolution."""

    encoder: str = "resnet18"
    """Name in timm, or patchnet."""
    encoder_options: dict[str, object] | None = None
    """Arguments of the architecture, e.g. {"drop_path_rate": 0.1}; nothing that names files, addresses or weights."""
    unstrided: int = 0
    """Number of leading stride-2 layers that run at stride 1: keeps resolution on small images."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.encoder):
            raise UserError(
                f"encoder = {shown(self.encoder)} is not known: give the name of a model in timm, or patchnet"
            )
        require_architecture(self.encoder_options)
        require_least(self, unstrided=0)
        object.__setattr__(self, "encoder_options", freeze(self.encoder_options))


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """What is hidden. The ratio is exact: every image hides round(ratio · cells) cells, at least one."""

    cell: int | None = None
    """Side of a square mask cell in pixels. Default: the encoder's total stride, or a ViT's patch size."""
    mask_pattern: Literal["random", "block", "grid"] = "random"
    """Uniform random cells, rectangular blocks, or a regular grid at a random phase."""
    mask_ratio: float = 0.6
    """Share of the cells that are hidden."""
    mask_ratio_max: float | None = None
    """If given, each image draws its ratio uniformly between mask_ratio and this."""
    mask_ratio_schedule: str | None = None
    """Ratios with their shares of the steps, e.g. 0.4:0.5,0.6:0.5; the last one is mask_ratio."""
    masks: int = 1
    """Masks per image in a step. They share the image, its augmentation and its target, and the pass of a teacher."""

    def __post_init__(self) -> None:
        require_least(self, cell=1, masks=1)
        require_choices(self)
        require_ranges(self, mask_ratio="(0, 1)")
        if self.mask_ratio_max is not None:
            require_between("mask_ratio_max", self.mask_ratio_max, self.mask_ratio, 1, open_high=True)
        if self.mask_ratio_schedule is not None:
            self._require_schedule()

    @property
    def ratios(self) -> Schedule[float]:
        """The ratio over the course of a training."""
        if self.mask_ratio_schedule is None:
            return Schedule.constant(self.mask_ratio)
        return parse_schedule("mask_ratio_schedule", self.mask_ratio_schedule, float)

    def at_ratio(self, ratio: float) -> "MaskConfig":
        """The same with one ratio throughout."""
        return self if self.mask_ratio_schedule is None else replace(self, mask_ratio=ratio, mask_ratio_schedule=None)

    def _require_schedule(self) -> None:
        for ratio in self.ratios.values:
            require_between("mask_ratio_schedule", ratio, 0, 1, open_low=True, open_high=True)
        if self.mask_ratio_max is not None:
            raise UserError("mask_ratio_schedule and mask_ratio_max exclude each other: give one of them")
        if (last := self.ratios.last) != self.mask_ratio:
            raise UserError(
                f"mask_ratio_schedule ends at {last:g}, mask_ratio is {self.mask_ratio:g}: give `mask_ratio={last:g}`"
            )


@dataclass(frozen=True, kw_only=True)
class TargetConfig:
    """What is reconstructed at hidden cells, and with which decoder."""

    target: Literal["pixels", "normalized_pixels", "ema_teacher", "frozen_teacher"] = "normalized_pixels"
    """Raw pixels, pixels normalized per cell (MAE), features of an EMA teacher (data2vec) or of a frozen one."""
    decoder: Literal["convolution", "transformer", "linear"] = "convolution"
    """Light decoder from the encoder's map, with hidden cells filled by a learned token, to the target."""
    decoder_width: int = 64
    """Channels of the decoder."""
    decoder_depth: int = 1
    """Blocks of the decoder."""
    predict: float = 1.0
    """Share of the hidden cells that a training step predicts, redrawn in every epoch: the decoder and the loss cover
    only these."""
    teacher: str | None = None
    """For frozen_teacher: a run folder, a weights file, or a timm name with its pretrained weights."""
    teacher_stages: int = 2
    """How many of the teacher's last stages (or blocks sampled from a ViT) are the target."""
    teacher_momentum: tuple[float, float] = (0.996, 0.9999)
    """For ema_teacher: EMA momentum at the start and at the end of training."""
    teacher_mode: Literal["train", "eval"] = "train"
    """Whether the teacher's BatchNorm uses batch statistics or its running ones."""
    loss: Literal["mse", "smooth_l1"] = "mse"
    """Distance between prediction and target."""

    @property
    def baseline_name(self) -> str:
        """What a network that has learned no structure would predict, in words; its loss is the baseline.

        A cell's normalized pixels have mean zero, so both kinds of pixels share one name. Features of a teacher have
        mean zero over the image, in every channel.
        """
        return "each cell's mean" if self.target.endswith("pixels") else "each teacher channel's mean over the image"

    def __post_init__(self) -> None:
        require_choices(self)
        require_least(self, decoder_width=1, decoder_depth=0, teacher_stages=1)
        require_ranges(self, predict="(0, 1]")
        require(
            (self.teacher is not None) == (self.target == "frozen_teacher"),
            "teacher",
            self.teacher,
            "given exactly when target is frozen_teacher",
        )
        for momentum in self.teacher_momentum:
            require(
                0 <= momentum <= 1 and not math.isnan(momentum),
                "teacher_momentum",
                self.teacher_momentum,
                "two numbers in [0, 1]",
            )
