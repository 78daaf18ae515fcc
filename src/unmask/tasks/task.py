"""The interface of tasks. Everything that differs between tasks is behind these methods; bodies are the common case.

Letters: N images, K outputs of the network. Labels are an array whose first axis is the images and whose form the task
defines; unknown labels have a value that the task defines.
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
    """A task with the names of its labels: a value that compares by content and can be stored as JSON."""

    @property
    def name(self) -> TaskName:
        """The task's name."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the network's outputs: classes, labels, quantities."""
        ...

    @property
    def metric(self) -> Metric:
        """The default metric of choices and verdicts."""
        ...

    @property
    def title(self) -> str:
        """The name of its networks on a model card."""
        ...

    @property
    def hub_tag(self) -> str | None:
        """Its name on model hubs; None if they have none."""
        ...

    def about_outputs(self) -> list[str]:
        """The meaning of the network's outputs, as lines of a model card."""
        ...

    def smallest_effect(self, metric: Metric, labels: NDArray[np.generic]) -> float:
        """The default for the smallest difference of a metric that matters; labels are those of training."""
        return 0.01

    # Labels: which are known, and how images are dealt out

    def known(self, labels: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Which images have a label, (N,)."""
        ...

    def strata(self, labels: NDArray[np.generic], most: int | None = None) -> NDArray[np.int64]:
        """A stratum for each image, -1 without a label, (N,): splits and labeled subsets sample all strata alike.

        Args:
            labels: labels of the images to draw from.
            most: largest number of strata, if each must get an image of a small subset.
        """
        ...

    # Training

    def network(
        self, encoder: EncoderConfig, *, channels: int, size: tuple[int, int], seed: int, plain: bool = False
    ) -> nn.Module:
        """Encoder and head with weights drawn from the seed: images (B, C, H, W) → outputs (B, K, ...).

        `get_classifier()` returns the part outside the encoder. `plain` leaves the head's weights as the library drew
        them, for a network that gets its weights from a file.
        """
        return encoder_with_head(encoder, len(self.names), channels=channels, size=size, seed=seed, plain=plain)

    def fitted(self, labels: Tensor) -> Self:
        """The task with what training needs to know about its labeled images, such as the scale of numbers."""
        return self

    def target(self, labels: Tensor) -> Tensor:
        """Labels as float targets of the loss, which mixup may average, (B, K, ...); NaN where unknown."""
        ...

    def balance(self, labels: Tensor) -> Tensor | None:
        """Weights for `loss` in inverse proportion to the frequency of labels, None for none."""
        return None

    def loss(self, outputs: Tensor, target: Tensor, *, smoothing: float, balance: Tensor | None) -> Tensor:
        """Sum over the images of a batch, in float32."""
        ...

    # Evaluation

    def readout(self, raw: Tensor) -> Tensor:
        """A batch of network outputs in the form that is scored and kept: numbers in the unit of the labels."""
        return raw

    def scores(self, outputs: Tensor, labels: Tensor) -> Scores:
        """Scores on images whose labels may be only partly known.

        Raises:
            UserError: there is no image, the shapes do not match, or an output is not a number.
        """
        ...

    def judged(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The part of outputs that `contributions` needs, kept for every trial, (N, ...); NaN: unreadable."""
        return outputs

    def contributions(
        self, judged: NDArray[np.generic], labels: NDArray[np.generic], metric: Metric
    ) -> NDArray[np.float64]:
        """One value per image, NaN if unreadable: their mean is the metric, their spread shows how much it depends on
        the images. For a metric that is not a mean: the metric plus the image's influence on it."""
        ...

    def kept(self, outputs: Tensor) -> Tensor:
        """Outputs as kept for `predictions`, (N, ...)."""
        return outputs

    def predictions(self, kept: Tensor) -> Tensor:
        """Probabilities, numbers or classes; NaN where unreadable, (N, ...)."""
        return kept

    @property
    def averages(self) -> bool:
        """Whether predictions may be averaged over networks."""
        ...

    def score_of(self, predictions: Tensor, labels: Tensor) -> float | None:
        """The task's first metric of predictions, over the readable images; None if it is undefined."""
        readable = ~predictions.isnan().any(1)
        return value_of(self.scores(predictions[readable], labels[readable]), self.metric)

    # Frozen encoders

    def can_probe(self, labels: Tensor) -> bool:
        """Whether `probe` can be fitted to these labels."""
        return True

    def probe(self, known: Labeled, features: Tensor, *, val: Labeled, metric: Metric, balanced: bool = False) -> Probe:
        """A linear model on frozen features, with a strength chosen by validation; its outputs for `features`."""
        ...

    def neighbor_scores(self, known: Tensor, labels: Tensor, features: Tensor, truth: Tensor) -> dict[str, Any]:
        """Further fields of the scores, from the nearest known features; none for tasks without such a vote."""
        return {}


def can_be_learned(task: Task | None) -> bool:
    """Whether there are labels and, for one class per image, at least two classes."""
    return task is not None and (label_form(task.name) != "class" or len(task.names) > 1)


def weights_of(counts: Tensor) -> Tensor:
    """w_c = N / (K n_c) for N labels of K classes that occur, n_c of class c; 0 for one that does not. float32 [K]."""
    counts = counts.float()
    return torch.where(counts > 0, counts.sum() / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)
