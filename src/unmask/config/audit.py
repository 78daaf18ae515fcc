"""The audit: which images it uses and how it examines networks."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unmask.config.data import DataConfig
from unmask.config.validation import require_choices, require_least, require_ranges, require_seed


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """How networks are examined. Every measure gets all of it."""

    # What changes the result
    images: int = 256
    """Number of images, drawn evenly over the classes with the seed."""
    split: str = "test"
    """Split of the images: train, val, test, or another test set of the data (multi, single_1, ...)."""
    layer: str | None = None
    """Path of the module whose output the maps use. Default: the last feature map of at least 4 x 4 positions, or
    the input of a ViT's last block."""
    cell: int | None = None
    """Side of the cells of sufficient views and occlusion, in pixels. Default: the smallest that gives at most 64
    cells."""
    fill: Literal["mean", "blur", "noise"] = "mean"
    """What replaces the cells that are not shown: the data's mean color, the blurred image, or noise."""
    margin: float = 0.2
    """Cells suffice if the correct class is at least this much more probable than any other."""
    gap: int = 1
    """Smallest number of cells between two sufficient sets of an image: pieces of one feature are not two views. 0:
    they may touch."""
    evaluations: int = 256
    """Forward passes per image and network that the search for sufficient views may use."""
    confidence: float = 0.95
    """Confidence level of the intervals."""
    seed: int = 0
    """Seed of the images drawn, the noise and the random network."""

    # What changes the speed
    batch_size: int = 256
    """Images per forward pass."""

    # What changes neither
    pictures: int = 8
    """Number of images shown as pictures."""

    def __post_init__(self) -> None:
        require_least(self, images=1, evaluations=2, batch_size=1, pictures=1, cell=1, gap=0)
        require_ranges(self, margin="[0, 1)", confidence="(0, 1)")
        require_choices(self)
        require_seed("seed", self.seed)


@dataclass(frozen=True, kw_only=True)
class AuditRun:
    """Everything that determines an audit."""

    networks: tuple[Path, ...]
    """Run folders or weights files."""
    data: DataConfig = field(default_factory=DataConfig)
    """Where the images come from."""
    audit: AuditConfig = field(default_factory=AuditConfig)
