"""The configuration of a stage: pretraining, classification, comparison."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unmask.config.data import AugmentConfig, DataConfig
from unmask.config.model import EncoderConfig, MaskConfig, TargetConfig
from unmask.config.validation import require, require_at_least, require_between, require_choice

ARMS = (
    "mrp",
    "scratch_same",
    "scratch_best",
    "scratch_compute",
    "scratch_masked",
    "probe_mrp",
    "probe_random",
    "given",
    "given_mrp",
)
Precision = Literal["no", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW with linear warm-up and cosine decay to zero."""

    # What changes the result
    epochs: float = 20.0
    """Passes over the training images. Ignored where steps is given."""
    steps: int | None = None
    """Optimiser steps, instead of epochs."""
    batch_size: int = 256
    """Images of one optimiser step, over all devices and accumulated micro-batches."""
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
    """Momentum of an average of the weights that is evaluated and exported instead; 0 switches it off."""
    precision: Precision = "no"
    """Mixed precision: no (float32), bf16 or fp16."""

    # What changes the speed
    accumulate: int = 1
    """Micro-batches of one optimiser step: the memory of batch_size / accumulate images."""

    def __post_init__(self) -> None:
        require(self.epochs > 0, "epochs", self.epochs, "a positive number")
        if self.steps is not None:
            require_at_least("steps", self.steps, 1)
        require_at_least("batch_size", self.batch_size, 1)
        require_between("lr", self.lr, 0, 10, open_low=True)
        require_between("weight_decay", self.weight_decay, 0, 1)
        for beta in self.betas:
            require_between("betas", beta, 0, 1, open_high=True)
        require_between("warmup", self.warmup, 0, 1, open_high=True)
        require_at_least("clip", self.clip, 0)
        require_between("ema", self.ema, 0, 1, open_high=True)
        require_choice("precision", self.precision, ("no", "bf16", "fp16"))
        require_at_least("accumulate", self.accumulate, 1)
        require(
            self.batch_size % self.accumulate == 0,
            "accumulate",
            self.accumulate,
            f"a divisor of batch_size = {self.batch_size}",
        )


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Mask-reconstruction pretraining of one encoder on unlabelled images."""

    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    init: str | None = None
    """Start from these encoder weights: a run folder, a .safetensors file, or timm:pretrained. Default: random."""
    seed: int = 0
    """Seed of weights, order, masks and augmentation."""
    execution: Literal["auto", "dense", "packed"] = "auto"
    """How masked CNNs run: dense (reference), packed (only visible cells), or the faster of the two."""

    # What changes neither result nor speed much
    save_every: float = 1.0
    """Epochs between checkpoints."""
    picture_every: float = 1.0
    """Epochs between pictures of reconstructed validation images."""
    keep: int = 2
    """Checkpoints kept: the newest ones."""

    def __post_init__(self) -> None:
        require_choice("execution", self.execution, ("auto", "dense", "packed"))
        require(self.save_every > 0, "save_every", self.save_every, "a positive number of epochs")
        require(self.picture_every > 0, "picture_every", self.picture_every, "a positive number of epochs")
        require_at_least("keep", self.keep, 1)


@dataclass(frozen=True, kw_only=True)
class ClassifyConfig:
    """Supervised training of an encoder with a head. Fine-tuning and scratch differ in `init` only."""

    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(steps=300, batch_size=32, lr=3e-3, betas=(0.9, 0.999))
    )
    init: str | None = None
    """Start from these encoder weights: a run folder, a .safetensors file, or timm:pretrained. Default: random."""
    budget: int | None = None
    """Labelled training images a class. Default: all."""
    head_steps: int = 0
    """Steps in which only the head is trained, before all weights are."""
    head_lr: float = 3e-3
    """Learning rate of those steps."""
    encoder_lr_scale: float = 1.0
    """Learning rate of the encoder relative to the head's; 0 trains a probe on the frozen encoder."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each layer to the one before it."""
    label_smoothing: float = 0.1
    """Share of the target probability spread over all classes."""
    mixup: float = 0.0
    """Alpha of mixup's Beta distribution; 0 switches it off."""
    hide_cells: float = 0.0
    """Share of random cells hidden from the encoder in training: the control scratch_masked."""
    mask: MaskConfig = field(default_factory=MaskConfig)
    patience: int = 0
    """Stop after so many evaluations without a better validation accuracy; 0 switches early stopping off."""
    evaluations: int = 1
    """Evaluations on the validation images during training, the last at the end."""
    seed: int = 0
    """Seed of the head, the order and the augmentation, and of weights trained from scratch."""
    subset_seed: int = 0
    """Seed of the labelled subset."""

    def __post_init__(self) -> None:
        if self.budget is not None:
            require_at_least("budget", self.budget, 1)
        require_at_least("head_steps", self.head_steps, 0)
        require_between("head_lr", self.head_lr, 0, 10, open_low=True)
        require_between("encoder_lr_scale", self.encoder_lr_scale, 0, 100)
        require_between("layer_decay", self.layer_decay, 0, 1, open_low=True)
        require_between("label_smoothing", self.label_smoothing, 0, 1, open_high=True)
        require_at_least("mixup", self.mixup, 0)
        require_between("hide_cells", self.hide_cells, 0, 1, open_high=True)
        require_at_least("patience", self.patience, 0)
        require_at_least("evaluations", self.evaluations, 1)


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Does pretraining help? Arms × budgets × seeds, each cell trained once, with paired intervals and a verdict."""

    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    finetune: ClassifyConfig = field(default_factory=ClassifyConfig)
    """Schedule of the arms mrp, scratch_same, scratch_masked, given and given_mrp."""
    best_schedules: tuple[ClassifyConfig, ...] = ()
    """Candidate schedules of scratch_best: chosen per budget on validation data, with as many trials as mrp has."""
    finetune_schedules: tuple[ClassifyConfig, ...] = ()
    """Candidate schedules of mrp, chosen alike. Default: finetune alone."""
    budgets: tuple[int, ...] = (10, 50, 100)
    """Labelled training images a class. The first is the primary budget, declared beforehand."""
    seeds: int = 3
    """Label draws (each with a training seed of its own) a budget."""
    pretrain_seeds: int = 1
    """Pretrainings, each from its own seed."""
    arms: tuple[str, ...] = ("mrp", "scratch_same", "scratch_best", "scratch_masked", "probe_mrp", "probe_random")
    """Arms to run, of: mrp, scratch_same, scratch_best, scratch_compute, scratch_masked, probe_mrp, probe_random,
    given, given_mrp."""
    pretrained: tuple[Path, ...] = ()
    """Existing pretraining runs to use instead of pretraining here."""
    given: str | None = None
    """Weights for the arms given and given_mrp: a .safetensors file, or timm:pretrained."""
    compute_cap: float = 8.0
    """scratch_compute trains for MRP's total compute, but at most for so many times the fine-tuning steps."""
    smallest_effect: float = 0.01
    """Smallest difference of accuracy that matters, for the verdict "equivalent"."""
    confidence: float = 0.95
    """Level of the intervals."""
    subset_seed: int = 0
    """Seed of the label draws; recipes are tuned on other draws than the reported ones."""
    evaluate_on: Literal["test", "val"] = "test"
    """Which images are scored. Tune on val, report test once."""

    def __post_init__(self) -> None:
        require(bool(self.budgets), "budgets", self.budgets, "at least one budget")
        for budget in self.budgets:
            require_at_least("budgets", budget, 1)
        require(len(set(self.budgets)) == len(self.budgets), "budgets", self.budgets, "different budgets")
        require_at_least("seeds", self.seeds, 1)
        require_at_least("pretrain_seeds", self.pretrain_seeds, 1)
        for arm in self.arms:
            require_choice("arms", arm, ARMS)
        needs_given = any(arm.startswith("given") for arm in self.arms)
        require(not needs_given or self.given is not None, "given", self.given, "weights, where an arm given* is run")
        require_at_least("compute_cap", self.compute_cap, 1)
        require_between("smallest_effect", self.smallest_effect, 0, 1, open_low=True)
        require_between("confidence", self.confidence, 0.5, 1, open_high=True)
        require_choice("evaluate_on", self.evaluate_on, ("test", "val"))
