"""The interface of an audit's measures: networks and images go in, numbers and pictures come out.

A measure is a function `(networks, data, config) -> Finding | None`; None if it does not apply to these data. All
measures are listed in `unmask.audit.sections.all_measures`. Numbers go to audit.json:

    {"models": {NAME: {KEY: numbers}}, "differences": [{"measure": KEY, ...}], "setting": {KEY: settings}}

Letters: N images, C channels, H x W pixels, K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from unmask.config import AuditConfig
from unmask.data.load import Dataset
from unmask.inference.estimate import paired_interval
from unmask.inference.image_groups import per_group
from unmask.report.blocks import Section
from unmask.runs.records import AuditDifference, Interval


@dataclass(frozen=True)
class Audited:
    """A network with a head, in evaluation mode; a measure leaves it unchanged."""

    name: str
    """Unique among the networks of an audit."""
    model: nn.Module
    """The plain network: normalized images [N, C, H, W] to logits [N, K]."""
    prepare: Callable[[Tensor], Tensor]
    """Pixels in 0..1 to the values that the network was trained on: each network has its own normalization."""
    control: bool = False
    """Whether it is only a control for comparison: random weights."""
    path: str = ""
    """Its file; empty for a control."""


@dataclass(frozen=True)
class AuditData:
    """The images on which all networks are audited."""

    pixels: Tensor
    """float32 [N, C, H, W] in 0..1, neither normalized nor augmented."""
    labels: Tensor
    """int64 [N]."""
    ids: Tensor
    """int64 [N]: row in the whole data set, the key of all randomness of an image."""
    names: tuple[str, ...]
    classes: tuple[str, ...]
    dataset: Dataset
    """All splits, for measures that need more (other test sets, training images, known parts)."""

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """Group of each image, int64 [N]; None if the data have no groups."""
        return None if self.dataset.listed_groups is None else self.dataset.listed_groups[self.ids.numpy()]

    @property
    def sampled(self) -> str:
        """What the images are a sample of: "images", or "groups" if some are of one group."""
        return "images" if self.groups is None or len(np.unique(self.groups)) == len(self.groups) else "groups"

    def interval(self, values: Sequence[float | None], confidence: float) -> Interval | None:
        """Interval of the mean of values, one per image, over images or groups of them; None is an image without one.

        None if no image has a value.
        """
        known = np.array([np.nan if value is None else value for value in values], np.float64)
        known = per_group(known, self.groups)
        known = known[~np.isnan(known)]
        return paired_interval(known, confidence) if known.size else None


N = TypeVar("N")


@dataclass(frozen=True)
class Finding(Generic[N]):
    """The result of one measure. Numbers are dataclasses or plain JSON values: no tensors, no NaN (None instead)."""

    key: str
    """Name of the measure in audit.json: maps, sufficient_views, parts, health, agreement."""
    section: Section
    """Its part of the page. The intro says in two or three sentences what is measured and how to read it; a table has a
    row per network; a figure is written to pictures/KEY_NAME.svg, a photograph to pictures/KEY_NAME.png."""
    models: Mapping[str, N]
    """Numbers of each network by its name, including controls."""
    differences: Sequence[AuditDifference] = ()
    """Paired differences between networks."""
    setting: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the measure as used, defaults filled in."""


class Measure(Protocol):
    """One measure of an audit."""

    def __call__(self, networks: Sequence[Audited], data: AuditData, config: AuditConfig) -> Finding[Any] | None:
        """Measure all networks on the same images. None if the measure does not apply to these data."""
        ...
