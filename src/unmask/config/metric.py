"""The tasks, and the scores by which networks are chosen and judged: names, units and directions."""

from dataclasses import dataclass
from typing import Literal

from unmask.errors import UserError

TaskName = Literal["classification", "segmentation"]
"""What is learnt of an image."""

Metric = Literal["accuracy", "balanced_accuracy", "macro_f1", "miou", "dice"]
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
    "miou": Score("mIoU"),
    "dice": Score("Dice"),
    "boundary_iou": Score("boundary IoU"),
    "pixel_accuracy": Score("pixel accuracy"),
}
"""Every score of every task, in the order of tables."""

TASK_METRICS: dict[TaskName, tuple[Metric, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "macro_f1"),
    "segmentation": ("miou", "dice"),
}
"""What choices and verdicts of a task can be about; the first is what they are about by default."""

_DEFAULT: Metric = "accuracy"


def metric_of(task: TaskName, asked: Metric) -> Metric:
    """The metric of a run on this task: the one asked for; where that is the default one, the task's first.

    Raises:
        UserError: it is one of other tasks.
    """
    known = TASK_METRICS[task]
    if asked in known:
        return asked
    if asked == _DEFAULT:
        return known[0]
    raise UserError(f"metric = {asked!r}: {task} is judged by {', '.join(known)}")


def task_of(metric: Metric) -> TaskName:
    """The first task that has this metric."""
    return next(task for task, metrics in TASK_METRICS.items() if metric in metrics)


METRIC_NAMES: dict[str, str] = {name: SCORES[name].title for names in TASK_METRICS.values() for name in names}
"""What a reader calls them."""
