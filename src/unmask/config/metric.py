"""The tasks, and the scores by which networks are chosen and judged: names, units and directions."""

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["classification"]
"""What is learnt of an image."""

Metric = Literal["accuracy", "balanced_accuracy", "macro_f1"]
"""What choices and verdicts can be about."""


@dataclass(frozen=True)
class Score:
    """What a reader must know of a score."""

    title: str
    """What it is called."""
    lower_is_better: bool = False

    @property
    def sign(self) -> int:
        """1 where more is better, else -1: times this, more is better for every score."""
        return -1 if self.lower_is_better else 1


SCORES: dict[str, Score] = {
    "accuracy": Score("accuracy"),
    "balanced_accuracy": Score("balanced accuracy"),
    "macro_f1": Score("macro-F1"),
    "auroc": Score("AUROC"),
    "knn_accuracy": Score("accuracy of nearest neighbors"),
}
"""Every score of every task, in the order of tables."""

TASK_METRICS: dict[TaskName, tuple[Metric, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "macro_f1"),
}
"""What choices and verdicts of a task can be about; the first is what they are about by default."""

METRIC_NAMES: dict[str, str] = {name: SCORES[name].title for names in TASK_METRICS.values() for name in names}
"""What a reader calls them."""
