"""Supervised training of an encoder with a head. From scratch and fine-tuning are this one function."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unmask.config import ClassifyConfig, OptimiserConfig
from unmask.data.imageset import Batch, ImageSet, batches
from unmask.data.load import Dataset
from unmask.data.subsets import nested_subsets
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.errors import UserError
from unmask.evaluate.metrics import classification_metrics
from unmask.masking import expand
from unmask.randomness import derive_seed, uniform
from unmask.stages.statistics import reestimate_batchnorm
from unmask.training.engine import build_engine, fast_layout, unwrap
from unmask.training.loop import Plan, Progress, Terms, drain, run_steps, training_batches
from unmask.training.optimiser import build_optimiser, layer_scales, parameter_groups, plan_steps
from unmask.weights import head_names, initialise


@dataclass
class Outcome:
    """What a training gave: metrics and logits a split, the history of loss and validation accuracy, the model."""

    model: nn.Module
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    logits: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    labelled: int = 0
    seconds: float = 0.0


def labelled_subset(config: ClassifyConfig, data: Dataset) -> ImageSet:
    """The labelled training images: `budget` a class, nested over budgets, or all of them."""
    if data.train is None or len(data.classes) < 2:
        raise UserError(f"data: {config.data.data} has {len(data.classes)} labelled classes; training needs at least 2")
    if config.budget is None:
        return data.train
    drawn = nested_subsets(data.train.labels, [config.budget], config.subset_seed, data.groups, data.classes)
    return data.train.select(drawn[config.budget])


Prepared = tuple[nn.Module, list[str], ImageSet]


def prepare(config: ClassifyConfig, data: Dataset) -> Prepared:
    """The model with its start weights, notes on them, and the labelled subset: all that can be wrong is found here."""
    model = build_classifier(config, data)
    notes = initialise(model, config.init, config.encoder, channels=data.channels) if config.init else []
    return model, notes, labelled_subset(config, data)


def fit(
    config: ClassifyConfig,
    data: Dataset,
    *,
    splits: tuple[str, ...] | None = None,
    show: bool = False,
    prepared: Prepared | None = None,
) -> Outcome:
    """Train on the labelled subset and evaluate on validation and the wanted test splits (default: all).

    Args:
        config: the schedule. `init` alone decides between fine-tuning and scratch.
        data: what `load_data(config.data, labels=True)` gave.
        splits: names among `data.tests`; () evaluates validation only.
        show: show a progress bar.
        prepared: what `prepare(config, data)` gave, where that was called before.
    """
    started = time.monotonic()
    model, notes, images = prepared if prepared is not None else prepare(config, data)
    trainer = _Trainer(config, data, images, model, show=show)
    trainer.train()
    if config.hide_cells > 0:  # evaluated on whole images, as the pretrained arms are
        reestimate_batchnorm(trainer.best, images, mean=data.mean, std=data.std)
    outcome = Outcome(trainer.best, history=trainer.history, notes=notes, labelled=len(images))
    evaluate(outcome, data, trainer.engine, splits=splits)
    outcome.seconds = time.monotonic() - started
    return outcome


def build_classifier(config: ClassifyConfig, data: Dataset) -> nn.Module:
    """Encoder and head with weights drawn from the seed."""
    return build_model(
        config.encoder,
        channels=data.channels,
        image_size=data.image_size,
        classes=len(data.classes),
        seed=config.seed,
    )


def evaluate(outcome: Outcome, data: Dataset, engine: Accelerator, *, splits: tuple[str, ...] | None) -> None:
    """Fill in metrics and logits of validation and the wanted test splits."""
    wanted = {name: images for name, images in data.tests.items() if splits is None or name in splits}
    if data.val is not None:
        wanted = {"val": data.val} | wanted
    for name, images in wanted.items():
        outcome.logits[name] = predict(outcome.model, images, data, engine)
        outcome.metrics[name] = classification_metrics(outcome.logits[name], images.labels, data.classes)


@torch.no_grad()
def predict(model: nn.Module, images: ImageSet, data: Dataset, engine: Accelerator, batch_size: int = 256) -> Tensor:
    """Logits [N, K] of whole images in evaluation mode; the model's mode is restored."""
    was_training = model.training
    model.eval()
    order = torch.arange(len(images))
    parts = []
    for batch in batches(images, order, batch_size, mean=data.mean, std=data.std):
        with engine.autocast():
            parts.append(model(batch.images.to(engine.device, memory_format=torch.channels_last)).float().cpu())
    model.train(was_training)
    return torch.cat(parts)


class _Trainer:
    """The state of one supervised training."""

    def __init__(
        self, config: ClassifyConfig, data: Dataset, images: ImageSet, model: nn.Module, *, show: bool
    ) -> None:
        self.config, self.data, self.images, self.show = config, data, images, show
        self.engine = build_engine(config.recipe.optimiser.precision)
        self.network = self.engine.prepare_model(fast_layout(model))
        self.history: list[dict[str, Any]] = []
        self.average: AveragedModel | None = None
        self.head = head_names(model)
        self.hide = _hiding_grid(config, data, model)
        self.frozen = config.recipe.encoder_lr_scale == 0
        self._best_accuracy = -1.0
        self._waited = 0
        self._best_state: dict[str, Tensor] | None = None

    @property
    def plain(self) -> nn.Module:
        """The model without the engine's wrappers."""
        return unwrap(self.engine, self.network)

    @property
    def best(self) -> nn.Module:
        """The model to evaluate."""
        if self._best_state is not None:
            self.evaluated.load_state_dict(self._best_state)
        return self.evaluated

    @property
    def evaluated(self) -> nn.Module:
        """The averaged model where there is one."""
        return self.average.module if self.average is not None else self.plain

    def train(self) -> None:
        """The head alone for `head_steps`, then everything."""
        config = self.config
        if self.frozen:
            reestimate_batchnorm(self.plain, self.data.pretrain, mean=self.data.mean, std=self.data.std)
        if config.recipe.head_steps > 0:
            head_only = replace(config.recipe.optimiser, steps=config.recipe.head_steps, lr=config.recipe.head_lr)
            self._phase("head", head_only, lambda name: 1.0 if name in self.head else 0.0, evaluations=0)
        layers = layer_scales(self.plain, config.recipe.layer_decay)
        scale = config.recipe.encoder_lr_scale
        self._phase(
            "all",
            config.recipe.optimiser,
            lambda name: 1.0 if name in self.head else scale * layers[name],
            evaluations=config.recipe.evaluations,
        )

    def _phase(self, name: str, config: OptimiserConfig, scale_of: Any, *, evaluations: int) -> None:
        seed = derive_seed(self.config.seed, name)
        trained = [p for n, p in self.plain.named_parameters() if scale_of(n) > 0]
        for parameter in self.plain.parameters():
            parameter.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)
        groups = parameter_groups(self.plain, weight_decay=config.weight_decay, scale_of=scale_of)
        optimiser = self.engine.prepare_optimizer(build_optimiser(config, groups))
        plan = Plan(*plan_steps(config, len(self.images)))
        if name == "all" and config.ema > 0:
            self.average = AveragedModel(self.plain, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
        self.plain.train()
        if self.frozen:
            self._freeze()
        progress = Progress()
        run_steps(
            self._stream(plan, seed),
            engine=self.engine,
            optimiser=optimiser,
            config=config,
            plan=plan,
            seed=seed,
            loss=lambda batch, step: self._loss(batch, step, seed),
            after_step=lambda done, state: self._after_step(name, plan, evaluations, done, state),
            progress=progress,
            description=f"train {name}",
            show=self.show,
        )
        for parameter in self.plain.parameters():
            parameter.requires_grad_(True)

    def _freeze(self) -> None:
        """A frozen encoder is in evaluation mode: neither its weights nor its running statistics move."""
        self.plain.eval()

    def _stream(self, plan: Plan, seed: int) -> Iterator[tuple[int, Batch]]:
        return training_batches(
            self.images,
            plan,
            mean=self.data.mean,
            std=self.data.std,
            augment=self.config.recipe.augment,
            seed=seed,
            start=0,
            engine=self.engine,
        )

    def _loss(self, batch: Batch, step: int, seed: int) -> Terms:
        images = self._hidden(batch, step, seed) if self.hide is not None else batch.images
        classes = len(self.data.classes)
        target = F.one_hot(batch.labels, classes).float()
        if self.config.recipe.mixup > 0:
            images, target = mixup(images, target, self.config.recipe.mixup, derive_seed(seed, "mixup", step))
        logits = self.network(images)
        total = F.cross_entropy(
            logits.float(), target, label_smoothing=self.config.recipe.label_smoothing, reduction="sum"
        )
        return Terms(total, torch.tensor(float(len(batch.ids)), device=total.device), {})

    def _hidden(self, batch: Batch, step: int, seed: int) -> Tensor:
        """Random cells filled with zero, the mean colour: each image hides between no and `hide_cells` of its cells."""
        assert self.hide is not None
        ids = batch.ids.numpy()
        share = uniform(seed, "hide", step, ids, 1)[:, 0] * self.config.hide_cells
        order = uniform(seed, "hidden cells", step, ids, self.hide[0] * self.hide[1]).argsort(axis=1).argsort(axis=1)
        hidden = torch.from_numpy(order < np.round(share * order.shape[1])[:, None]).unflatten(1, self.hide)
        where = expand(hidden, *batch.images.shape[-2:]).unsqueeze(1).to(batch.images.device)
        return batch.images.masked_fill(where, 0.0)

    def _after_step(self, phase: str, plan: Plan, evaluations: int, done: int, progress: Progress) -> bool:
        if self.average is not None and phase == "all":
            self.average.update_parameters(self.plain)
        last = done == plan.total
        due = evaluations > 0 and int(done * evaluations / plan.total) > int((done - 1) * evaluations / plan.total)
        if not (last or due or len(progress.pending) >= 50):
            return True
        rows = drain(progress)
        self.history += [{"phase": phase, **row} for row in rows[-1:]]
        return self._validate(last) if due and self.data.val is not None and evaluations > 1 else True

    def _validate(self, last: bool) -> bool:
        """Follow validation accuracy; with `patience` keep the best state and stop when it no longer improves."""
        assert self.data.val is not None
        logits = predict(self.evaluated, self.data.val, self.data, self.engine)
        accuracy = float((logits.argmax(1) == self.data.val.labels).float().mean())
        self.history[-1]["val_accuracy"] = accuracy
        if self.config.recipe.patience == 0:
            return True
        if accuracy > self._best_accuracy:
            self._best_accuracy, self._waited = accuracy, 0
            self._best_state = {k: v.clone() for k, v in self.evaluated.state_dict().items()}
            return True
        self._waited += 1
        return self._waited < self.config.recipe.patience or last


def _hiding_grid(config: ClassifyConfig, data: Dataset, model: nn.Module) -> tuple[int, int] | None:
    if config.hide_cells == 0:
        return None
    return masked_encoder(model, image_size=data.image_size, cell=config.hide_cell, execution="dense").grid


def mixup(images: Tensor, target: Tensor, alpha: float, seed: int) -> tuple[Tensor, Tensor]:
    """x' = λ x + (1 - λ) x_reversed, the same for the targets, λ ~ Beta(α, α) (Zhang et al. 2018)."""
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    return share * images + (1 - share) * images.flip(0), share * target + (1 - share) * target.flip(0)
