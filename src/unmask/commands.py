"""The commands of the command line: what each is for, with one example, and its flags. Imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from unmask.config import ClassifyConfig, CompareConfig, PretrainConfig
from unmask.config.flags import FLAT, RUNS


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Where the run goes and which recipe gives the defaults."""

    out: Path
    """Run folder to create."""
    recipe_name: Annotated[str | None, tyro.conf.arg(name="recipe")] = None
    """Recipe that gives all defaults: multiview, small-cnn, masked-resnet50, mae-vit-small. Default: by the data."""
    resume: bool = False
    """Continue the run in --out."""
    overwrite: bool = False
    """Replace the run in --out. Refused where the folder holds another kind of run, or files that no run writes."""
    quiet: bool = False
    """No progress bars."""


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Pretrain an encoder on unlabelled images.

    Defaults are those of a recipe, which --recipe or else --data decides: give these before --help to see yours.

    Example: unmask pretrain --data my/images --encoder resnet18 --image-size 128 128 --out runs/pretrained
    """

    config: Annotated[PretrainConfig, FLAT] = field(default_factory=PretrainConfig)
    run: Annotated[RunFlags, FLAT]


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Train a pretrained encoder with a new head on labelled images. Encoder and image size are those of --init.

    Defaults are those of a recipe, which --recipe or else --data decides: give these before --help to see yours.

    Example: unmask finetune --data my/labelled --init runs/pretrained --budget 50 --out runs/finetuned
    """

    config: Annotated[ClassifyConfig, FLAT] = field(default_factory=ClassifyConfig)
    run: Annotated[RunFlags, FLAT]


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """The same training from random weights.

    Defaults are those of a recipe, which --recipe or else --data decides: give these before --help to see yours.

    Example: unmask scratch --data my/labelled --budget 50 --out runs/scratch
    """

    config: Annotated[ClassifyConfig, FLAT] = field(default_factory=ClassifyConfig)
    run: Annotated[RunFlags, FLAT]


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Does pretraining help on these images? Fine-tuned against scratch, several seeds, with intervals and a verdict.

    Defaults are those of a recipe, which --recipe or else --data decides: give these before --help to see yours.

    Example: unmask compare --data my/labelled --budgets 10 50 --seeds 5 --out runs/answer
    """

    config: Annotated[CompareConfig, FLAT] = field(default_factory=CompareConfig)
    run: Annotated[RunFlags, FLAT]
    json: bool = False
    """Print summary.json instead of the verdicts."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write one self-contained HTML page about one or more finished runs.

    Example: unmask report runs/answer
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, RUNS]
    """Run folders."""
    out: Path | None = None
    """The page. Default: report.html in the first run folder."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The whole job on the built-in data in a few minutes: pretrain, fine-tune, compare, report.

    Example: unmask demo
    """

    out: Path = Path("runs/demo")
    """Run folder; continued if it is there."""
    quiet: bool = False
    """No progress bars."""
