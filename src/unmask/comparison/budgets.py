"""The budgets if none are given: the default ones, as far as the data have enough labels."""

from dataclasses import replace

from unmask.config import CompareConfig
from unmask.config.comparison import DEFAULT_BUDGETS
from unmask.config.metric import label_form
from unmask.data.load import Dataset


def fitting_budgets(config: CompareConfig, data: Dataset) -> tuple[CompareConfig, list[str]]:
    """The comparison with budgets, if none are given; and a note if the smallest class is too small for some defaults.

    The default budgets that are possible. If the smallest class has at least twice as many images as the largest of
    them, or none is possible, all of its images are a budget too.
    """
    if config.budgets or data.train is None:
        return config, []
    if data.task is not None and label_form(data.task.name) != "class":
        return _of_images(config, len(data.train))
    labels = data.train.labels
    sizes = labels[labels >= 0].unique(return_counts=True)[1]
    fewest = int(sizes.min()) if len(sizes) else 0
    possible = tuple(budget for budget in DEFAULT_BUDGETS if budget <= fewest)
    if possible == DEFAULT_BUDGETS or fewest < 1:
        return replace(config, budgets=DEFAULT_BUDGETS), []
    if not possible or fewest >= 2 * possible[-1]:
        possible = (*possible, fewest)
    told = " ".join(map(str, possible))
    return replace(config, budgets=possible), [
        f"budgets are {told}: the smallest class has {fewest} training images, fewer than the default budgets take"
    ]


def _of_images(config: CompareConfig, images: int) -> tuple[CompareConfig, list[str]]:
    """The default budgets as totals of images, as far as enough are labeled."""
    possible = tuple(f"total:{budget}" for budget in DEFAULT_BUDGETS if budget <= images) or (f"total:{images}",)
    told = " ".join(possible)
    notes = [f"budgets are {told}: {images} training images are labeled"] * (len(possible) < len(DEFAULT_BUDGETS))
    return replace(config, budgets=possible), notes
