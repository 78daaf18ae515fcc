"""The scores by which classifiers are chosen and judged."""

from typing import Literal

Metric = Literal["accuracy", "balanced_accuracy", "macro_f1"]
METRIC_NAMES: dict[str, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
}
"""What a reader calls them."""
