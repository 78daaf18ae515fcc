"""Checks of a comparison before its folder is touched."""

from pathlib import Path

import torch

from unmask.comparison.candidates import arms_of
from unmask.comparison.earlier_defaults import begun_comparison
from unmask.comparison.plan import audited_trials
from unmask.comparison.starting_weights import require_different
from unmask.config import CompareConfig
from unmask.config.budget import is_chosen
from unmask.config.metric import label_form
from unmask.data.labeled import draw_labeled
from unmask.data.load import Dataset
from unmask.encoders.heads import encoder_of, linear_heads
from unmask.encoders.masked import masked_encoder
from unmask.errors import UserError
from unmask.inference.verdict import count_evaluated
from unmask.stages.early_checks import check_encoder, check_start
from unmask.stages.pretraining_quality import cells_note
from unmask.weights.start import initialize


def check_before_reading(config: CompareConfig) -> None:
    """Raise UserError if encoder, cells or runs cannot work, whatever the images are."""
    for run in config.pretrained:
        check_start(str(run), field="pretrained")
    require_different(config)
    check_start(config.given, field="given")
    masked = any(arm.is_pretrained or arm.hides_cells for arm in arms_of(config))
    cell, pretrained_here = config.pretrain.mask.cell, any(arm.is_pretrained for arm in arms_of(config))
    recipe = config.pretrain if pretrained_here and not config.pretrained else None
    check_encoder(config.encoder, config.data, masked=masked, cell=cell, execution="dense", recipe=recipe)


def check_data(config: CompareConfig, data: Dataset) -> None:
    """Raise UserError if data, budgets or arms would fail later."""
    parts = {"training": data.train, "validation": data.val, "test": next(iter(data.tests.values()), None)}
    lacking = [name for name, images in parts.items() if images is None or not len(images)]
    if data.train is None or lacking:
        why = "no labels" if data.train is None else f"no {' and no '.join(lacking)} images"
        raise UserError(
            f"data: {config.data.data} has {why}; a comparison needs labeled training, validation and test images"
        )
    _require_scores(config, data)
    draw_labeled(data, config.budgets, config.seed)
    pretrained = any(arm.is_pretrained for arm in arms_of(config))
    if any(map(is_chosen, config.budgets)) and not pretrained:
        raise UserError("labels: chosen needs a pretrained encoder: add the arm mrp, or leave chosen out")
    if config.audit and not data.classes:
        raise UserError(f"audit: needs images of one class each, and the task is {config.data.task}; leave it out")
    if config.audit and not audited_trials(config)[0]:
        raise UserError(f"audit: none of the arms {', '.join(config.arms)} leaves a network to audit; add mrp")
    if config.finetune.optimizer.steps is None:
        raise UserError("finetune.steps: a comparison trains every budget for a fixed number of steps; give it")


def _require_scores(config: CompareConfig, data: Dataset) -> None:
    """Raise UserError if the metric is undefined: it needs different labels or unequal numbers, and there are none."""
    form = None if data.task is None else label_form(data.task.name)
    if (
        data.task is None
        or form not in ("names", "numbers")
        or config.metric in ("mae", "rmse", "macro_f1", "micro_f1")
    ):
        return
    for name, images in {"val": data.val, **data.tests}.items():
        labels = torch.zeros(0, len(data.task.names)) if images is None else data.task.target(images.labels)
        if all(len(column[~column.isnan()].unique()) < 2 for column in labels.T):
            what = "label that some have and some lack" if form == "names" else "two unequal numbers"
            seen = count_evaluated(len(labels), name, config.evaluate_on)
            raise UserError(
                f"metric = {config.metric!r}: undefined on the {seen}, they have no "
                f"{what}: label more of them, or draw the splits with another `split_seed`"
            )


def check_networks(config: CompareConfig, data: Dataset) -> list[str]:
    """Notes on the weights. Raises UserError if they do not fit, or if cells that an arm hides cannot be hidden."""
    channels, size = data.format.channels, data.format.size
    assert data.task is not None
    model = encoder_of(data.task.network(config.encoder, channels=channels, size=size, seed=0, plain=True))
    notes: list[str] = []
    starts = [("pretrained", str(run)) for run in config.pretrained] + [("given", config.given)]
    for name, init in starts:
        rule = config.normalization
        notes += initialize(model, init, config.encoder, data.format, normalization=rule, field=name).notes
    if label_form(data.task.name) != "mask" and config.keep != "none" and any(arm.frozen for arm in arms_of(config)):
        linear_heads(model)
    if any(arm.is_pretrained or arm.hides_cells for arm in arms_of(config)):
        encoder = masked_encoder(model, image_size=size, cell=config.pretrain.mask.cell, execution="dense")
        notes += cells_note(encoder.grid)
    return notes


def refuse_fewer_draws(config: CompareConfig, out: Path, *, resume: bool) -> None:
    """Raise UserError if a resumed comparison has more draws than are asked for."""
    before = begun_comparison(out, resume=resume)
    if before is not None and config.planned_draws < before.planned_draws:
        raise UserError(
            f"draws = {config.planned_draws}: the comparison in {out} has {before.planned_draws}; give as many or more"
        )
