"""Settings that have no effect beside others: one table, checked against what a user has set."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from unmask.config.arms import ARMS
from unmask.config.cluster import LOCAL, ClusterConfig
from unmask.config.comparison import CompareConfig
from unmask.config.data import BUILT_IN, AugmentConfig, DataConfig
from unmask.config.model import TargetConfig
from unmask.config.names import keeps_its_name
from unmask.config.stages import ClassifyConfig, ClassifyRecipe, OptimizerConfig, PretrainConfig
from unmask.errors import UserError


@dataclass(frozen=True)
class Idle:
    """Fields of a configuration that do nothing if `when` holds for it."""

    fields: tuple[str, ...]
    """Names, or paths of fields in its sections: "data.image_size"."""
    because: str
    """With fields of the configuration in braces."""
    when: Callable[[Any], bool] = lambda _: True


def _no_arm(config: CompareConfig, name: str, value: object = True) -> bool:
    """Whether arms are named and none of them has this value of a property."""
    return bool(config.arms) and all(getattr(ARMS[arm], name) != value for arm in config.arms)


Table = Mapping[type[Any], tuple[Idle, ...]]
TABLE: Table = {
    DataConfig: (
        Idle(("page",), "all pages are channels (`pages_are_channels`)", lambda c: c.pages_are_channels),
        Idle(
            ("page", "pages_are_channels", "layout", "background", "on_bad_file", "image_field", "label_field"),
            "{data} is built in, not made of files",
            lambda c: c.data in BUILT_IN,
        ),
    ),
    AugmentConfig: (Idle(("crop_ratio",), "cropping is off (`crop_scale`)", lambda c: c.crop_scale[0] == 1),),
    TargetConfig: (
        Idle(
            ("teacher_stages", "teacher_momentum", "teacher_mode"),
            "the target is {target}, which has no teacher",
            lambda c: c.target.endswith("pixels"),
        ),
        Idle(("teacher_momentum", "teacher_mode"), "the teacher is frozen", lambda c: c.target == "frozen_teacher"),
        Idle(("decoder_depth",), "the decoder is linear", lambda c: c.decoder == "linear"),
    ),
    OptimizerConfig: (
        Idle(("min_epochs", "min_steps"), "`epochs` sets the number, {epochs:g}", lambda c: c.epochs is not None),
        Idle(("min_epochs", "min_steps"), "`steps` sets the number, {steps}", lambda c: c.steps is not None),
    ),
    PretrainConfig: (
        Idle(
            ("normalization",),
            "no weights are given to start from, or as a teacher",
            lambda c: c.init is None and c.recipe.target.target != "frozen_teacher",
        ),
    ),
    ClassifyRecipe: (
        Idle(("head_lr",), "the head is not trained alone (`head_steps`)", lambda c: c.head_steps == 0),
        Idle(("layer_decay",), "the encoder is frozen (`encoder_lr_scale`)", lambda c: c.encoder_lr_scale == 0),
    ),
    ClassifyConfig: (
        Idle(("normalization",), "no weights are given to start from", lambda c: c.init is None),
        Idle(("hide_cell",), "no cells are hidden (`hide_cells`)", lambda c: c.hide_cells == 0),
        Idle(
            ("subset_seed", "subset_index", "nested_budgets"),
            "all labels are used (`budget`)",
            lambda c: c.budget in (None, "all"),
        ),
        Idle(
            ("metric",),
            "training does not stop early (`patience`)",
            lambda c: c.recipe.patience == 0 and c.recipe.encoder_lr_scale > 0,
        ),
    ),
    ClusterConfig: (
        Idle(
            (
                *("cluster_jobs", "partition", "account", "walltime"),
                *("job_cores", "job_memory", "job_gpu", "job_lines", "job_setup"),
            ),
            "no jobs are submitted (`on` is {on})",
            lambda c: not c.submits,
        ),
    ),
    CompareConfig: (
        Idle(("jobs",), "the workers of `on` set how many trainings run at a time", lambda c: c.cluster.on != LOCAL),
        Idle(("compute_cap",), "scratch_compute is not run", lambda c: _no_arm(c, "schedule", "compute")),
        Idle(("scratch_schedules",), "no arm of `arms` chooses its schedule", lambda c: _no_arm(c, "is_tuned")),
        Idle(
            ("pretrain", "pretrained", "pretrainings", "design", "pretrain_processes"),
            "no arm of `arms` is pretrained here",
            lambda c: _no_arm(c, "is_pretrained"),
        ),
        Idle(
            ("pretrain_processes",),
            "the encoders are given (`pretrained`)",
            lambda c: bool(c.pretrained) and c.given is None,
        ),
        Idle(("design",), "there is one pretraining", lambda c: c.pretrainings == 1 or len(c.pretrained) == 1),
        Idle(("normalization",), "no weights are given to start from", lambda c: c.given is None),
    ),
}


def require_effect(given: Any, usual: Any, table: Table = TABLE, prefix: str = "") -> None:
    """Raise `UserError` for the first setting that differs from the default and does nothing.

    Args:
        given: a configuration, or a command that holds some.
        usual: the same with nothing set.
        table: what has no effect, and when.
        prefix: put before the names of its fields.
    """
    for idle in table.get(type(given), ()):
        for name in idle.fields:
            value = attrgetter(name)(given)
            if value != attrgetter(name)(usual) and idle.when(given):
                values = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
                because = idle.because.format(**{key: own for key, own in values.items() if own is not None})
                raise UserError(f"`{_shown(prefix + name, value)}` has no effect: {because}; leave it out")
    for field in dataclasses.fields(given):
        inner, before = getattr(given, field.name), getattr(usual, field.name, None)
        if dataclasses.is_dataclass(inner) and type(inner) is type(before):
            named = f"{field.name}." if keeps_its_name(field.name) else ""
            require_effect(inner, before, table, prefix + named)


def _shown(name: str, value: Any) -> str:
    """A setting as messages name it; a section without its contents."""
    last = name if keeps_its_name(name.partition(".")[0]) else name.rpartition(".")[2]
    if dataclasses.is_dataclass(value):
        return last
    return f'{last}="{value}"' if isinstance(value, str) else f"{last}={value!r}"
