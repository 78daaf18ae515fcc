"""`unmask pretrain`, `finetune` and `scratch`, and the flags and defaults that they share with `unmask compare`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import tyro

import unmask
from unmask.cli.approval import Approval
from unmask.cli.flags import parse_some
from unmask.config import ClassifyConfig, CompareConfig, DataConfig, PretrainConfig
from unmask.errors import UserError
from unmask.recipes import Wish, configured
from unmask.runs.layout import kind_of_config
from unmask.runs.read import read_config_file
from unmask.wording import printable

R = TypeVar("R")
C = TypeVar("C", PretrainConfig, ClassifyConfig, CompareConfig)


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Where the run is written and which recipe gives the defaults."""

    out: Path
    """Run folder to create."""
    recipe_name: Annotated[str | None, tyro.conf.arg(name="recipe")] = None
    """Recipe that gives all defaults: multiview, small-cnn, photo-cnn, masked-resnet50, mae-vit-small. Default: the
    recipe of the run to start from, else the one for the data and this machine."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """A run's config.json, which sets all defaults instead of a recipe: to repeat a run or to vary it."""
    resume: bool = False
    """Continue the run in --out."""
    overwrite: bool = False
    """Replace the run in --out. Refused if the folder holds another kind of run or unrelated files."""
    plan: bool = False
    """Time a few steps, print as JSON what would be done with its duration in seconds and its memory, and stop."""
    yes: bool = False
    """Start without asking for confirmation, even if the plan takes more than two hours."""
    quiet: bool = False
    """No progress bars."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """The flags that determine the defaults of all others."""

    data: str | None = None
    image_field: str | None = None
    label_field: str | None = None
    recipe: str | None = None
    config: Path | None = None
    init: str | None = None
    pretrained: tuple[str, ...] = ()
    encoder: str | None = None


def default_config(kind: type[C], program: str, words: Sequence[str]) -> C:
    """The default configuration: that of --config, else of the recipe named, else of the one that fits the data.

    If --init or --pretrained names a run and --recipe is not given, the recipe is the run's; encoder and image size
    always are.
    """
    given, _ = parse_some(Start, program, words)
    config = None if given.config is None else stored_config(kind, given.config)
    start = given.init or next(iter(given.pretrained), None)
    data = None
    if given.data is not None:
        data = DataConfig(data=given.data, image_field=given.image_field, label_field=given.label_field)
    return configured(kind, config, Wish(name=given.recipe, data=data, start=start, encoder=given.encoder))


def stored_config(kind: type[R], file: Path) -> R:
    """The configuration in a run's config.json. Raises UserError for another kind of run."""
    config = read_config_file(file)
    if not isinstance(config, kind):
        raise UserError(f"--config {file}: belongs to a {kind_of_config(config).name}, not to this command")
    return config


def carry_out(stage: Callable[..., R], config: Any, flags: RunFlags) -> R:
    """Show the plan of a stage, run the stage once approved, and return its result."""
    approval = Approval(kind=type(config), stop=flags.plan, yes=flags.yes, quiet=flags.quiet)
    approve = None if flags.yes and flags.quiet and not flags.plan else approval
    more = {"resume": flags.resume, "overwrite": flags.overwrite, "progress": not flags.quiet}
    return stage(config, flags.out, approve=approve, **more)


def _train(stage: Callable[..., PathLike[str]], config: Any, flags: RunFlags) -> int:
    from unmask.training.launch import is_speaker, require_one_process

    if flags.plan:
        require_one_process("a plan")
    run = carry_out(stage, config, flags)
    if is_speaker():
        print(printable(run))
    return 0


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Pretrain an encoder on unlabeled images.

    Defaults come from a recipe, which --recipe or else --data selects: give these before --help to see yours.

    Example: unmask pretrain --data my/images --encoder resnet18 --image-size 128 128 --out runs/pretrained
    """

    config: PretrainConfig = field(default_factory=PretrainConfig)
    flags: RunFlags

    @classmethod
    def default(cls, program: str, words: Sequence[str]) -> "Pretrain":
        """See `default_config`."""
        return cls(config=default_config(PretrainConfig, program, words), flags=RunFlags(out=tyro.MISSING))

    def run(self) -> int:
        """Train and print the run folder."""
        return _train(unmask.pretrain, self.config, self.flags)


@dataclass(frozen=True, kw_only=True)
class _Classify:
    """A training on labels."""

    config: ClassifyConfig = field(default_factory=ClassifyConfig)
    flags: RunFlags

    @classmethod
    def default(cls, program: str, words: Sequence[str]) -> Self:
        """See `default_config`."""
        return cls(config=default_config(ClassifyConfig, program, words), flags=RunFlags(out=tyro.MISSING))


@dataclass(frozen=True, kw_only=True)
class Finetune(_Classify):
    """Train a pretrained encoder with a new head on labeled images. Recipe and encoder come from --init.

    Defaults come from a recipe, which --recipe or else --data selects: give these before --help to see yours.

    Example: unmask finetune --data my/labeled --init runs/pretrained --budget 50 --out runs/finetuned
    """

    def run(self) -> int:
        """Train and print the run folder."""
        return _train(unmask.finetune, self.config, self.flags)


@dataclass(frozen=True, kw_only=True)
class Scratch(_Classify):
    """Train an encoder with a head on labeled images, from random weights.

    Defaults come from a recipe, which --recipe or else --data selects: give these before --help to see yours.

    Example: unmask scratch --data my/labeled --budget 50 --out runs/scratch
    """

    def run(self) -> int:
        """Train and print the run folder."""
        return _train(unmask.scratch, self.config, self.flags)
