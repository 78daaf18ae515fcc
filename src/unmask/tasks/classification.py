"""One class per image."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unmask.config.metric import Metric
from unmask.evaluate.image_scores import image_scores
from unmask.evaluate.knn import knn_predict
from unmask.evaluate.metrics import classification_metrics
from unmask.evaluate.probe import Labeled, Probe, linear_probe
from unmask.runs.scores import ClassificationScores
from unmask.tasks.task import Task, weights_of


@dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """Labels are class indices, int64 (N,), -1 where unknown; outputs are logits (N, K). See `Task`."""

    name: Literal["classification"] = "classification"
    title: ClassVar = "Image classifier"
    hub_tag: ClassVar = "image-classification"
    averages: ClassVar = True
    classes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    @property
    def metric(self) -> Metric:
        """Accuracy."""
        return "accuracy"

    def about_outputs(self) -> list[str]:
        """The classes."""
        return [f"classes: {', '.join(self.classes)}"]

    def known(self, labels: NDArray[np.generic]) -> NDArray[np.bool_]:
        """See `Task`."""
        return labels.astype(np.int64) >= 0

    def strata(self, labels: NDArray[np.generic], most: int | None = None) -> NDArray[np.int64]:
        """The classes, however many."""
        return labels.astype(np.int64, copy=False)

    def target(self, labels: Tensor) -> Tensor:
        """1 for the class, 0 for the others."""
        return F.one_hot(labels, len(self.classes)).float()

    def balance(self, labels: Tensor) -> Tensor:
        """See `weights_of`; their mean over the images is 1."""
        return weights_of(torch.bincount(labels, minlength=len(self.classes)))

    def loss(self, outputs: Tensor, target: Tensor, *, smoothing: float, balance: Tensor | None) -> Tensor:
        """Cross-entropy with soft targets; with weights it is - Σ_c w_c t_c log p_c of each image."""
        return F.cross_entropy(outputs.float(), target, balance, label_smoothing=smoothing, reduction="sum")

    def scores(self, outputs: Tensor, labels: Tensor) -> ClassificationScores:
        """See `classification_metrics`."""
        return classification_metrics(outputs, labels, self.classes)

    def judged(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The class of each image, -1 where it could not be read, int32 (N,): halved logits may tie."""
        return torch.where(outputs.isnan().any(1), -1, outputs.argmax(1)).int()

    def contributions(
        self, judged: NDArray[np.generic], labels: NDArray[np.generic], metric: Metric
    ) -> NDArray[np.float64]:
        """See `image_scores`."""
        return image_scores(judged.astype(np.int64), labels.astype(np.int64), metric)

    def kept(self, outputs: Tensor) -> Tensor:
        """Logits in half precision."""
        return outputs.half()

    def predictions(self, kept: Tensor) -> Tensor:
        """Probabilities of the classes."""
        return kept.float().softmax(1)

    def score_of(self, predictions: Tensor, labels: Tensor) -> float:
        """Accuracy."""
        readable = ~predictions.isnan().any(1)
        return float((predictions.argmax(1) == labels)[readable].float().mean())

    def can_probe(self, labels: Tensor) -> bool:
        """Whether at least two classes have an image."""
        return len(labels.unique()) > 1

    def probe(self, known: Labeled, features: Tensor, *, val: Labeled, metric: Metric, balanced: bool = False) -> Probe:
        """Multinomial logistic regression, see `linear_probe`."""
        return linear_probe(
            *known,
            features,
            classes=len(self.classes),
            val_features=val.features,
            val_labels=val.labels,
            metric=metric,
            balanced=balanced,
        )

    def neighbor_scores(self, known: Tensor, labels: Tensor, features: Tensor, truth: Tensor) -> dict[str, Any]:
        """Accuracy of the nearest neighbors' vote."""
        shares = knn_predict(known, labels, features, classes=len(self.classes))
        return {"knn_accuracy": float((shares.argmax(1) == truth).float().mean())}
