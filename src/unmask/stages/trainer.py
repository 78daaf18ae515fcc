"""The state of one supervised training: the head alone, then everything; kept in checkpoints in a run folder."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from unmask.config import ClassifyConfig, OptimiserConfig
from unmask.data.imageset import Batch, ImageSet
from unmask.data.load import Dataset
from unmask.distributed import fail_together, on_main
from unmask.encoders.dense.joint import JointStatistics
from unmask.errors import PreemptionError
from unmask.forward import map_images
from unmask.preemption import STOPPED
from unmask.randomness import derive_seed
from unmask.runs.metrics import rewrite_metrics, row_of
from unmask.stages.loss import hide_cells, hiding_grid, mixup, soft_cross_entropy
from unmask.stages.statistics import reestimate_batchnorm
from unmask.training.engine import freeze
from unmask.training.join import join
from unmask.training.keeper import Keeper, due, restore
from unmask.training.loop import OnStep, Plan, Progress, Terms, drain, run_steps, training_batches
from unmask.training.optimiser import build_optimiser, layer_scales, parameter_groups, plan_steps
from unmask.training.sharding import placed_state, whole
from unmask.weights import head_names

_LOGGED = 50  # steps between rows of the history


class Trainer:
    """Network, average, best state and history of one training, and where they are kept."""

    def __init__(
        self,
        config: ClassifyConfig,
        data: Dataset,
        images: ImageSet,
        model: nn.Module,
        engine: Accelerator,
        *,
        folder: Path | None,
        show: bool,
        sharded: bool = False,
        on_step: OnStep | None = None,
    ) -> None:
        self.config, self.data, self.images, self.engine, self.show = config, data, images, engine, show
        self.on_step = on_step
        self.plain, self.sharded = model, sharded
        with fail_together():
            self.hide = hiding_grid(config, data, model)
            self.plan = Plan(*plan_steps(config.recipe.optimiser, len(images), engine.num_processes))
        momentum = config.recipe.optimiser.ema
        self._coming_average, self._unused = join(engine, model, self._two_images, momentum=momentum, sharded=sharded)
        alone = engine.num_processes == 1 and not sharded  # data-parallel networks are wrapped in each phase
        self.network: Any = engine.prepare_model(model) if alone else model
        self.phase = "head"
        self.history: list[dict[str, Any]] = []
        self.average: AveragedModel | None = None
        self.head = head_names(model)
        self.frozen = config.recipe.encoder_lr_scale == 0
        self.seconds_before = 0.0
        self.keeper = Keeper(engine, folder, config.keep, self.plan.batch_size) if folder is not None else None
        self._started = time.monotonic()
        self._best_accuracy, self._waited = -1.0, 0
        self._best_state: dict[str, Tensor] | None = None

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

    def train(self, *, resume: bool = False) -> None:
        """The head alone for `head_steps`, then everything; from the newest checkpoint where one is to be resumed."""
        recipe = self.config.recipe
        if self.frozen:
            with whole(self.plain), self.engine.autocast():
                reestimate_batchnorm(self.plain, self.data.pretrain)
        found = self.keeper.newest() if resume and self.keeper is not None else None
        self._remember(found[1] if found is not None else {})
        if recipe.head_steps > 0 and (found is None or found[1]["phase"] == "head"):
            head_only = replace(recipe.optimiser, steps=recipe.head_steps, lr=recipe.head_lr)
            self._phase("head", head_only, lambda name: 1.0 if name in self.head else 0.0, found)
            found = None
        layers = layer_scales(self.plain, recipe.layer_decay)
        scale = recipe.encoder_lr_scale
        self._phase("all", recipe.optimiser, lambda name: 1.0 if name in self.head else scale * layers[name], found)

    def _remember(self, header: Mapping[str, Any]) -> None:
        """Take over what a checkpoint's header tells of the training so far; metrics.jsonl then says the same."""
        self.history = list(header.get("history", []))
        self._best_accuracy, self._waited = header.get("best", (-1.0, 0))
        self.seconds_before = float(header.get("seconds", 0.0))
        if self.keeper is not None:
            folder, rows = self.keeper.folder, [row_of({"kind": "train", **row}) for row in self.history]
            on_main(lambda: rewrite_metrics(folder, rows))

    def _phase(self, name: str, config: OptimiserConfig, scale_of: Callable[[str], float], found: Any) -> None:
        seed = derive_seed(self.config.seed, name)
        self.phase, self.plan = name, Plan(*plan_steps(config, len(self.images), self.engine.num_processes))
        for parameter_name, parameter in self.plain.named_parameters():
            parameter.requires_grad_(scale_of(parameter_name) > 0)
        groups = parameter_groups(self.plain, weight_decay=config.weight_decay, scale_of=scale_of)
        self.optimiser = self.engine.prepare_optimizer(build_optimiser(config, groups))
        if name == "all":
            self.average = self._coming_average
        progress = Progress()
        if found is not None:
            best = restore(found[0], self._stateful(), self.optimiser)
            self._best_state = placed_state(best, self.evaluated) or None
            progress.step = int(found[1]["phase_step"])
            if 0 < self.config.recipe.patience <= self._waited:
                return  # it had stopped early
        self.network = self._wrapped()
        self.plain.train(not self.frozen)  # a frozen encoder's running statistics do not move either
        run_steps(
            training_batches(
                self.images,
                self.plan,
                augment=self.config.recipe.augment,
                seed=seed,
                start=progress.step,
                engine=self.engine,
            ),
            engine=self.engine,
            network=self.network,
            optimiser=self.optimiser,
            config=config,
            plan=self.plan,
            seed=seed,
            loss=lambda batch, step: self._loss(batch, step, seed),
            after_step=self._after_step,
            progress=progress,
            phase=name,
            show=self.show,
            on_step=self.on_step,
        )
        self.plain.requires_grad_(True)

    def _wrapped(self) -> Any:
        """The network as the engine trains it; over several processes, with this phase's trainable parameters."""
        freeze(self.plain, self._unused)
        return self.network if self.engine.num_processes == 1 or self.sharded else self.engine.prepare_model(self.plain)

    def _two_images(self) -> Tensor:
        """What the model gives for two images, before it is moved to a device."""
        first = next(iter(self.images.batches(torch.arange(2), 2)))
        return self.plain(first.images)

    def _loss(self, batch: Batch, step: int, seed: int) -> Terms:
        recipe, images = self.config.recipe, batch.images
        if self.hide is not None:
            images = hide_cells(images, batch.ids, self.hide, self.config.hide_cells, seed=seed, step=step)
        target = F.one_hot(batch.labels, len(self.data.classes)).float()
        if recipe.mixup > 0:
            images, target = mixup(images, target, recipe.mixup, derive_seed(seed, "mixup", step))
        with JointStatistics() if self.engine.num_processes > 1 else nullcontext():
            logits = self.network(images)
        total = soft_cross_entropy(logits, target, recipe.label_smoothing)
        return Terms(total, torch.tensor(float(len(batch.ids)), device=total.device), {})

    def _after_step(self, done: int, progress: Progress) -> bool:
        if self.average is not None:
            self.average.update_parameters(self.plain)
        total, evaluations = self.plan.total, self.config.recipe.evaluations if self.phase == "all" else 0
        last = done == total
        look = evaluations > 0 and due(done, total / evaluations)
        save = self.keeper is not None and (last or progress.stop or due(done, self.config.save_steps))
        log = last or look or done % _LOGGED == 0
        if not (log or save or progress.stop):
            return True
        with fail_together():
            rows = drain(progress)
        go_on = self._log(rows[-1], last=last, look=look and evaluations > 1) if log else True
        if save:
            self._save(done)
        if progress.stop and not (last and self.phase == "all"):
            self._stop(done)
        return go_on

    def _log(self, row: dict[str, Any], *, last: bool, look: bool) -> bool:
        """A row of the history, with the validation accuracy where it is due; whether to go on."""
        self.history.append({"phase": self.phase, **row})
        go_on = self._validate(last) if look and self.data.val is not None else True
        if self.keeper is not None:
            self.keeper.log(kind="train", **self.history[-1], tracked=self._overall(int(row["step"])))
        return go_on

    def _validate(self, last: bool) -> bool:
        """Follow validation accuracy; with `patience` keep the best state and stop when it no longer improves."""
        assert self.data.val is not None
        outputs = map_images(self.evaluated, self.data.val, self.engine)
        accuracy = float((outputs.values.argmax(1) == outputs.images.labels).float().mean())
        self.history[-1]["val_accuracy"] = accuracy
        if self.config.recipe.patience == 0:
            return True
        if accuracy > self._best_accuracy:
            self._best_accuracy, self._waited = accuracy, 0
            self._best_state = {k: v.clone() for k, v in self.evaluated.state_dict().items()}
            return True
        self._waited += 1
        return self._waited < self.config.recipe.patience or last

    def _stateful(self) -> dict[str, nn.Module]:
        average: dict[str, nn.Module] = {"average": self.average} if self.average is not None else {}
        return {"network": self.plain, **average}

    def _overall(self, done: int) -> int:
        """Steps of all phases: the number of a checkpoint."""
        return done + (self.config.recipe.head_steps if self.phase == "all" else 0)

    def _save(self, done: int) -> None:
        assert self.keeper is not None
        header = {
            "phase": self.phase,
            "phase_step": done,
            "history": self.history,
            "best": [self._best_accuracy, self._waited],
            "seconds": self.seconds_before + time.monotonic() - self._started,
        }
        self.keeper.save(self._overall(done), self._stateful(), self.optimiser, header=header, more=self._best_state)

    def _stop(self, done: int) -> None:
        if self.keeper is not None:
            self.keeper.stop(self._overall(done))
        raise PreemptionError(STOPPED)
