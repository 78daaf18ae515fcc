"""The tasks, and the scores by which networks are chosen and judged: names, units and directions."""

import math
from dataclasses import dataclass
from typing import Literal

from unmask.errors import UserError

TaskName = Literal["classification", "multilabel", "regression", "segmentation"]
"""What is learned: an image's class, which of several labels apply, one or several numbers, a class per pixel."""
DEFAULT_TASK: TaskName = "classification"
"""The task if the labels show no other."""

LabelForm = Literal["class", "names", "numbers", "mask"]
"""What a label is: one of K classes, the names that apply, numbers, or an image of classes. Readers and budgets know
nothing else about a task."""
_LABEL_FORMS: dict[TaskName, LabelForm] = {
    "classification": "class",
    "multilabel": "names",
    "regression": "numbers",
    "segmentation": "mask",
}

Metric = Literal[
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "mean_average_precision",
    "macro_auroc",
    "micro_auroc",
    "micro_f1",
    "mae",
    "rmse",
    "r2",
    "spearman",
    "miou",
    "dice",
]
"""What choices and verdicts can be about."""


@dataclass(frozen=True)
class Score:
    """What a reader must know about a score."""

    title: str
    """Its name."""
    lower_is_better: bool = False
    share: bool = True
    """Shown in per cent, differences in points; else in its own unit."""
    low: float = 0.0
    high: float = 1.0

    @property
    def sign(self) -> int:
        """1 if more is better, else -1: multiplied by this, more is better for every score."""
        return -1 if self.lower_is_better else 1

    def merit(self, value: float | None) -> float:
        """A value for every comparison of values: more is better, -inf if it is undefined."""
        return -math.inf if value is None or math.isnan(value) else self.sign * value

    def change(self, better: float) -> float:
        """A difference of merits as a difference of values."""
        return self.sign * better

    @property
    def span(self) -> float:
        """The largest possible difference; may be infinite."""
        return self.high - self.low

    @property
    def scale(self) -> float:
        """Factor from a value to the number shown: shares in per cent, others in their own unit."""
        return 100.0 if self.share else 1.0

    def text(self, value: float) -> str:
        """A value in words: "73.3%", "3.21"."""
        return f"{value:.1%}" if self.share else f"{value:.3g}"

    def number(self, value: float, *, signed: bool = False) -> str:
        """A value in per cent, or a difference in points, without its unit; or in the score's own unit."""
        if self.share:
            return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
        return f"{value:+.3g}" if signed else f"{value:.3g}"


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
    "mean_average_precision": Score("mean average precision"),
    "macro_auroc": Score("macro AUROC"),
    "micro_auroc": Score("micro AUROC"),
    "micro_f1": Score("micro-F1"),
    "mae": Score("MAE", lower_is_better=True, share=False, high=math.inf),
    "rmse": Score("RMSE", lower_is_better=True, share=False, high=math.inf),
    "r2": Score("R²", share=False, low=-math.inf),
    "spearman": Score("Spearman's ρ", share=False, low=-1.0),
}
"""Every score of every task, in the order of tables."""

TASK_METRICS: dict[TaskName, tuple[Metric, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "macro_f1"),
    "multilabel": ("mean_average_precision", "macro_auroc", "micro_auroc", "macro_f1", "micro_f1"),
    "regression": ("mae", "rmse", "r2", "spearman"),
    "segmentation": ("miou", "dice"),
}
"""What choices and verdicts of a task can be about."""


_DEFAULT: Metric = "accuracy"


def label_form(task: TaskName | None) -> LabelForm | None:
    """What the labels of a task are; None if the task is not set."""
    return None if task is None else _LABEL_FORMS[task]


def metric_of(task: TaskName, asked: Metric) -> Metric:
    """The metric of a run on this task: the one asked for or, if that is the default, the task's first.

    Raises:
        UserError: it belongs to other tasks.
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
"""Their names in text."""
