"""The content of a run's JSON files as typed values; `read` parses them and names file and field of an error."""

from dataclasses import dataclass
from typing import Literal

from unmask.errors import UserError
from unmask.runs.ranges import Count, NotNegative
from unmask.runs.scores import Scores

Word = Literal["gain", "loss", "equivalent", "undecided"]
"""A verdict."""


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; `low` and `high` are None if the spread cannot be estimated."""

    mean: float
    low: float | None
    high: float | None
    n: Count
    method: str

    def __post_init__(self) -> None:
        _require_order(self.low, self.high)


def _require_order(low: float | None, high: float | None) -> None:
    if (low is None) != (high is None) or (low is not None and high is not None and low > high):
        raise UserError(f"low, high = {low}, {high}: expected two numbers in order, or none")


@dataclass(frozen=True, kw_only=True)
class GitState:
    """The checkout that holds the package."""

    commit: str
    clean: bool
    """No tracked file differs from the commit."""


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The data set that a run was given."""

    fingerprint: str
    """Fingerprint of images, labels and splits."""
    images: Count | None = None
    """Images without labels, for a pretraining."""
    channels: Count | None = None
    """Channels of the images as the encoder gets them, for a pretraining."""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Environment:
    """environment.json: what a run was made on, and what must be known about it besides its configuration."""

    python: str
    platform: str
    processor: str
    cores: Count | None
    threads: Count
    """Threads of PyTorch in one process."""
    devices: tuple[str, ...]
    """GPUs by name."""
    packages: dict[str, str | None]
    """Versions; None for a package that is not installed."""
    git: GitState | None
    """None for an installed package."""
    data: DataFacts | None = None
    notes: tuple[str, ...] = ()
    bad_files: tuple[str, ...] = ()
    """Unreadable files that were left out, each with its reason."""
    steps: Count | None = None
    """Steps of a whole pretraining."""
    batch_size: Count | None = None
    """Images per step of a pretraining, over all processes."""
    processes: Count | None = None
    jobs: Count | None = None
    """Parallel trainings of a comparison."""
    seconds: NotNegative | None = None


@dataclass(frozen=True, kw_only=True)
class ClassificationResult:
    """result.json of a fine-tuning or a training from scratch."""

    metrics: dict[str, Scores]
    """By split: "val" and the test sets."""
    seconds: NotNegative
    labeled_images: Count
    """Training images."""
    validation_labels: Count
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AuditDifference:
    """A row of an audit: one network minus another, paired over what both were measured on."""

    measure: str = ""
    """Key of the measure in audit.json."""
    quantity: str
    model: str
    baseline: str
    mean: float | None
    """None if nothing could be measured for both."""
    low: float | None
    high: float | None
    n: Count
    method: str

    def __post_init__(self) -> None:
        _require_order(self.low, self.high)

    @classmethod
    def of(cls, quantity: str, model: str, baseline: str, interval: Interval | None) -> "AuditDifference":
        """The row for an interval; a row without numbers for None."""
        found = vars(interval) if interval is not None else {"mean": None, "low": None, "high": None, "n": 0}
        return cls(quantity=quantity, model=model, baseline=baseline, **{"method": "no image", **found})
