"""The configuration of a stage: pretraining, classification. A recipe is the part without data and seeds."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from unmask.config.budget import Budget, is_chosen, parse_budget
from unmask.config.data import AugmentConfig, DataConfig
from unmask.config.metric import Metric
from unmask.config.model import EncoderConfig, MaskConfig, TargetConfig
from unmask.config.schedule import Schedule, parse_schedule, read_size
from unmask.config.validation import require, require_choices, require_least, require_ranges, require_seed
from unmask.errors import UserError

Precision = Literal["no", "bf16", "fp16"]
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]


@dataclass(frozen=True, kw_only=True)
class RecipeChoice:
    """The recipe that gave a configuration its defaults, and why it was chosen."""

    recipe_name: str
    because: str


@dataclass(frozen=True, kw_only=True)
class ChosenImages:
    """The labeled images of a training, in a comparison that chooses them by features."""

    file: Path
    """A record of the comparison: ids of images, in the order of choice."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with linear warm-up and cosine decay to zero."""

    # What changes the result
    epochs: float | None = None
    """Exact number of passes over the training images. Default: min_epochs, or as many as min_steps takes."""
    steps: int | None = None
    """Optimizer steps, instead of epochs."""
    min_epochs: float = 20.0
    """Passes if neither epochs nor steps are given ..."""
    min_steps: int = 0
    """... and the least number of steps in that case: few images are seen more often."""
    batch_size: int = 256
    """Images per optimizer step, over all devices and accumulated micro-batches."""
    lr: float = 1e-3
    """Peak learning rate of AdamW for this batch size."""
    weight_decay: float = 0.05
    """Decoupled weight decay of matrices and kernels; biases, norms and tokens are not decayed."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's moment coefficients."""
    warmup: float = 0.1
    """Share of the steps with linearly increasing learning rate."""
    clip: float = 1.0
    """Largest gradient norm; 0 switches clipping off."""
    ema: float = 0.0
    """Momentum of an average of the weights, which is evaluated and exported in their place; 0 switches it off."""
    precision: Precision = "no"
    """Mixed precision: no (float32), bf16 or fp16."""

    # What changes the speed
    accumulate: int = 1
    """Micro-batches per optimizer step: memory for batch_size / accumulate images at a time."""

    def __post_init__(self) -> None:
        require_ranges(self, epochs="(0, 1e6]", min_epochs="(0, 1e6]", steps="[1, 1e9]", lr="(0, 10]")
        require_ranges(self, weight_decay="[0, 1]", betas="[0, 1)", warmup="[0, 1)", ema="[0, 1)")
        require_least(self, min_steps=0, batch_size=1, clip=0, accumulate=1)
        require_choices(self)
        if self.steps is not None and self.epochs is not None:
            raise UserError(
                f"epochs = {self.epochs:g} has no effect beside steps = {self.steps}: give one of them, and "
                "`epochs=None` or `steps=None`"
            )
        require(
            self.batch_size % self.accumulate == 0,
            "accumulate",
            self.accumulate,
            f"a divisor of batch_size = {self.batch_size}",
        )

    def for_steps(self, steps: int) -> "OptimizerConfig":
        """The same for this many steps, whatever epochs were asked for."""
        return replace(self, steps=steps, epochs=None)


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe:
    """How an encoder is pretrained, whatever the data and the encoder."""

    augment: AugmentConfig = field(default_factory=AugmentConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    size_schedule: str | None = None
    """Image sizes with their shares of the steps, e.g. 64:0.7,96:0.3, or 48x64:0.7,96x128:0.3; the last one is
    image_size. Default: image_size throughout."""

    def __post_init__(self) -> None:
        if self.size_schedule is not None:
            parse_schedule("size_schedule", self.size_schedule, read_size)

    def sizes(self, last: tuple[int, int]) -> Schedule[tuple[int, int]]:
        """Height and width of the images over a pretraining that ends at `last`, their size in the data.

        Raises:
            UserError: the schedule ends at another size.
        """
        found = parse_schedule("size_schedule", self.size_schedule or f"{last[0]}x{last[1]}:1", read_size)
        if (named := found.last) != tuple(last):
            wrong = f"size_schedule ends at {named[0]}x{named[1]}, the images are {last[0]}x{last[1]}"
            raise UserError(f"{wrong}: give `image_size={named}`")
        return found

    @property
    def passes(self) -> float:
        """The encoder's work for an image of a step, in passes over one mask of an image of the last size."""
        sizes = parse_schedule("size_schedule", self.size_schedule or "1:1", read_size)
        return self.mask.masks * sizes.mean(math.prod) / math.prod(sizes.last)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Mask-reconstruction pretraining of one encoder on unlabeled images."""

    # What changes the result
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    recipe: PretrainRecipe = field(default_factory=PretrainRecipe)
    init: str | None = None
    """Start from these encoder weights: a run folder, a weights file, timm:pretrained, timm:NAME or hf:USER/NAME.
    Default: random."""
    normalization: Literal["weights", "data"] = "weights"
    """Normalization for starting weights: the mean and deviation that they were trained with, or those of the data."""
    seed: int = 0
    """Seed of weights, order, masks and augmentation."""

    # What changes the speed
    execution: Literal["auto", "dense", "packed", "filled"] = "auto"
    """How hidden cells are kept out: packed (only visible cells are computed), dense (the reference), filled with a
    learned token; auto: the first of these that suits the encoder."""
    shard: bool = False
    """With several processes, give each a part of every weight, gradient and moment (FSDP2) instead of all of them."""

    # What changes neither
    save_every: float | None = None
    """Epochs between checkpoints. Default: one; with many short epochs a twentieth of them, at most 100 steps."""
    picture_every: float | None = None
    """Epochs between evaluations of reconstructed validation images, each with a picture. Default: as for
    checkpoints."""
    keep: int = 2
    """Number of newest checkpoints to keep."""
    tracker: Tracker | None = None
    """Also send the contents of metrics.jsonl to tensorboard, wandb, mlflow or trackio."""
    chosen: RecipeChoice | None = None
    """The recipe that gave the defaults; None for a configuration made by hand."""

    def __post_init__(self) -> None:
        require_choices(self)
        for name, epochs in (("save_every", self.save_every), ("picture_every", self.picture_every)):
            require(epochs is None or 0 < epochs < math.inf, name, epochs, "a positive number of epochs")
        require_least(self, keep=1)
        require_seed("seed", self.seed)


@dataclass(frozen=True, kw_only=True)
class ClassifyRecipe:
    """How an encoder with a head is trained on labeled images, whatever the data, the encoder and the start."""

    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(steps=300, batch_size=32, lr=3e-3, betas=(0.9, 0.999))
    )
    head_steps: int = 0
    """Steps that train only the head, before all weights are trained."""
    head_lr: float = 3e-3
    """Learning rate of those steps."""
    encoder_lr_scale: float = 1.0
    """Learning rate of the encoder relative to the head's; 0 keeps the encoder frozen."""
    freeze_batchnorm: bool = False
    """Keep the BatchNorm running statistics of the starting weights."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each layer to the one before it."""
    label_smoothing: float = 0.1
    """Share of the target probability spread over all classes."""
    mixup: float = 0.0
    """Alpha of mixup's Beta distribution; 0 switches it off."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: weight images, in the loss and in probes, in inverse proportion to the labeled images of their
    class."""
    patience: int = 0
    """Stop after this many evaluations without a better validation score; 0 switches early stopping off."""
    evaluations: int = 1
    """Evaluations on the validation images during training, the last at the end."""

    def __post_init__(self) -> None:
        require_ranges(self, head_steps="[0, 1e9]", head_lr="(0, 10]", encoder_lr_scale="[0, 100]")
        require_ranges(self, layer_decay="(0, 1]", label_smoothing="[0, 1)")
        require_least(self, mixup=0, patience=0, evaluations=1)
        require_choices(self)
        require(
            self.patience == 0 or self.evaluations > 1,
            "evaluations",
            self.evaluations,
            "at least 2 where patience is given",
        )


@dataclass(frozen=True, kw_only=True)
class ClassifyConfig:
    """Supervised training of an encoder with a head. Fine-tuning and scratch differ only in `init`."""

    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    recipe: ClassifyRecipe = field(default_factory=ClassifyRecipe)
    init: str | None = None
    """Start from these encoder weights: a run folder, a weights file, timm:pretrained, timm:NAME or hf:USER/NAME.
    Default: random."""
    normalization: Literal["weights", "data"] = "weights"
    """Normalization for starting weights: the mean and deviation that they were trained with, or those of the data."""
    budget: Budget | None = None
    """Labeled training images: a number per class, total:200 in all, a share such as 10% of each class, or all.
    Default: all."""
    metric: Metric = "accuracy"
    """The validation score of early stopping, and of a probe's strength: accuracy, balanced_accuracy or macro_f1. On a
    task that has no accuracy the default stands for that task's first metric."""
    hide_cells: float = 0.0
    """In training, hide a random share of the cells of every image, between 0 and this: the control scratch_masked."""
    hide_cell: int | None = None
    """Side of those cells in pixels. Default: the encoder's total stride, or a ViT's patch size."""
    seed: int = 0
    """Seed of the head, the order and the augmentation, and of weights trained from scratch."""
    subset_seed: int = 0
    """Seed of the labeled subset."""
    subset_index: int = 0
    """Number of the subset of that seed; subsets have no image in common as long as images last."""
    nested_budgets: tuple[Budget, ...] = ()
    """Other budgets whose subsets contain this one or are contained in it, as in a comparison."""
    chosen_images: ChosenImages | None = None
    """List of the images of a budget chosen:NUMBER."""

    # What does not change the result
    shard: bool = False
    """With several processes, give each a part of every weight, gradient and moment (FSDP2) instead of all of them."""
    save_steps: int = 500
    """Steps between checkpoints."""
    keep: int = 2
    """Number of newest checkpoints to keep."""
    tracker: Tracker | None = None
    """Also send the contents of metrics.jsonl to tensorboard, wandb, mlflow or trackio."""
    chosen: RecipeChoice | None = None
    """The recipe that gave the defaults; None for a configuration made by hand."""

    def __post_init__(self) -> None:
        require_least(self, save_steps=1, subset_index=0, keep=1, hide_cell=1)
        require_ranges(self, hide_cells="[0, 1)")
        require_choices(self)
        require_seed("seed", self.seed)
        require_seed("subset_seed", self.subset_seed)
        for budget in self.nested_budgets:
            parse_budget(budget, "nested_budgets")
        if self.budget is not None and is_chosen(self.budget) and self.chosen_images is None:
            raise UserError(
                f"budget = {self.budget!r}: only a comparison chooses labels itself (`labels`); for a training "
                "`unmask choose` says which images to label"
            )
