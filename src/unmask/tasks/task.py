"""What every task says of itself. All that differs between tasks is behind these methods; a body is what most do.

Letters: N images, K outputs of the network. Labels are an array whose first axis is the images and whose form the task
defines; a mark of the task stands where a label is unknown.
"""

from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unmask.config import EncoderConfig
from unmask.config.metric import Metric, TaskName, label_form
from unmask.evaluate.probe import Labeled, Probe
from unmask.runs.scores import Scores, value_of
from unmask.tasks.linear_head import encoder_with_head


class Task(Protocol):
    """A task with what its labels are called: a value, equal to another of the same content, that JSON holds."""

    @property
    def name(self) -> TaskName:
        """Which task."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """What the network's outputs are: classes, labels, quantities."""
        ...

    @property
    def metric(self) -> Metric:
        """What choices and verdicts are about unless told otherwise."""
        ...

    @property
    def title(self) -> str:
        """What a network for it is called on a model card."""
        ...

    @property
    def hub_tag(self) -> str | None:
        """What model hubs call it; None where they have no name for it."""
        ...

    def about_outputs(self) -> list[str]:
        """What the network's outputs are, as lines of a model card."""
        ...

    def smallest_effect(self, metric: Metric, labels: NDArray[np.generic]) -> float:
        """The smallest difference of a metric that matters unless told otherwise; labels are those of training."""
        return 0.01

    # Labels: which are known, and how images are dealt out

    def known(self, labels: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Which images have a label, (N,)."""
        ...

    def strata(self, labels: NDArray[np.generic], most: int | None = None) -> NDArray[np.int64]:
        """A stratum for each image, -1 without a label, (N,): splits and labeled subsets take of all strata alike.

        Args:
            labels: of the images among which is drawn.
            most: strata at most, where each must get an image of a small subset.
        """
        ...

    # Training

    def network(
        self, encoder: EncoderConfig, *, channels: int, size: tuple[int, int], seed: int, plain: bool = False
    ) -> nn.Module:
        """Encoder and head with weights drawn from the seed: images (B, C, H, W) → outputs (B, K, ...).

        `get_classifier()` gives what is no part of the encoder. `plain` leaves the head's weights as the library drew
        them, for a network that gets its weights from a file.
        """
        return encoder_with_head(encoder, len(self.names), channels=channels, size=size, seed=seed, plain=plain)

    def fitted(self, labels: Tensor) -> Self:
        """The task with what training needs to know of its labeled images, such as the scale of numbers."""
        return self

    def target(self, labels: Tensor) -> Tensor:
        """Labels as float targets of the loss, which mixup may average, (B, K, ...); NaN where unknown."""
        ...

    def balance(self, labels: Tensor) -> Tensor | None:
        """Weights for `loss` under which labels count in inverse proportion to how often they occur, None for none."""
        return None

    def loss(self, outputs: Tensor, target: Tensor, *, smoothing: float, balance: Tensor | None) -> Tensor:
        """Sum over the images of a batch, in float32."""
        ...

    # Evaluation

    def readout(self, raw: Tensor) -> Tensor:
        """A batch of what the network gives as outputs that are scored and kept: numbers in the unit of the labels."""
        return raw

    def scores(self, outputs: Tensor, labels: Tensor) -> Scores:
        """Scores on images of which all labels may be known only in part.

        Raises:
            UserError: there is no image, the shapes do not match, or an output is not a number.
        """
        ...

    def judged(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """What `contributions` needs of the outputs, kept for every trial, (N, ...); outputs of NaN are unreadable."""
        return outputs

    def contributions(
        self, judged: NDArray[np.generic], labels: NDArray[np.generic], metric: Metric
    ) -> NDArray[np.float64]:
        """One value per image, NaN where it could not be read: their mean is the metric, their spread how much it
        depends on the images. Of a metric that is no mean: the metric plus the image's influence on it."""
        ...

    def kept(self, outputs: Tensor) -> Tensor:
        """Outputs as they are kept for `predictions`, (N, ...)."""
        return outputs

    def predictions(self, kept: Tensor) -> Tensor:
        """Probabilities, numbers or classes; NaN where unreadable, (N, ...)."""
        return kept

    @property
    def averages(self) -> bool:
        """Whether predictions may be averaged over networks."""
        ...

    def score_of(self, predictions: Tensor, labels: Tensor) -> float | None:
        """The task's first metric of predictions, over the readable images; None where it is undefined."""
        readable = ~predictions.isnan().any(1)
        return value_of(self.scores(predictions[readable], labels[readable]), self.metric)

    # Frozen encoders

    def can_probe(self, labels: Tensor) -> bool:
        """Whether `probe` can be fitted to these labels."""
        return True

    def probe(self, known: Labeled, features: Tensor, *, val: Labeled, metric: Metric, balanced: bool = False) -> Probe:
        """A linear model on frozen features, whose strength validation chooses; its outputs for `features`."""
        ...

    def neighbor_scores(self, known: Tensor, labels: Tensor, features: Tensor, truth: Tensor) -> dict[str, Any]:
        """Further fields of the scores, by the nearest of the known features; none where neighbors have no vote."""
        return {}


def can_be_learnt(task: Task | None) -> bool:
    """Whether there are labels, and of one class per image at least two classes."""
    return task is not None and (label_form(task.name) != "class" or len(task.names) > 1)


def weights_of(counts: Tensor) -> Tensor:
    """w_c = N / (K n_c) for N labels of K classes that occur, n_c of class c; 0 for one that does not. float32 [K]."""
    counts = counts.float()
    return torch.where(counts > 0, counts.sum() / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)
