"""A configuration as a task understands it: its metric, and budgets in images if "per class" has no meaning."""

from dataclasses import replace
from typing import TypeVar

from unmask.config.budget import in_all, totals
from unmask.config.comparison import CompareConfig
from unmask.config.metric import TaskName, label_form, metric_of
from unmask.config.stages import ClassifyConfig, PretrainConfig

C = TypeVar("C", PretrainConfig, ClassifyConfig, CompareConfig)


def for_task(config: C, task: TaskName) -> C:
    """The configuration of a run on this task; unchanged for one class per image.

    For other tasks a number counts labeled images in all. Raises UserError for a metric of other tasks.
    """
    if isinstance(config, PretrainConfig):
        return config
    config = replace(config, metric=metric_of(task, config.metric))
    if label_form(task) == "class":
        return config
    if isinstance(config, ClassifyConfig):
        budget = None if config.budget is None else in_all(config.budget)
        return replace(config, budget=budget, nested_budgets=totals(config.nested_budgets))
    return replace(config, budgets=totals(config.budgets))
