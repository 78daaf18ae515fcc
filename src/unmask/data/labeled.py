"""The labeled training images of a data set that a budget takes."""

from collections.abc import Sequence

from torch import Tensor, from_numpy

from unmask.config.budget import Budget, parse_budget, totals
from unmask.data.load import Dataset
from unmask.data.subsets import nested_subsets


def draw_labeled(data: Dataset, budgets: Sequence[Budget], seed: int, index: int = 0) -> dict[Budget, Tensor]:
    """For each budget the indices of its labeled training images, nested over budgets; see `nested_subsets`.

    Raises:
        UserError: there are too few images for a budget.
    """
    asked = dict(zip(as_totals(data, budgets), budgets, strict=True))
    found = _drawn(data, list(asked), seed, index)
    return {own: found[budget] for budget, own in asked.items() if budget in found}


def as_totals(data: Dataset, budgets: Sequence[Budget]) -> tuple[Budget, ...]:
    """Budgets as the task has them: where there are no classes a number is one of images in all."""
    return tuple(budgets) if data.classes else totals(budgets)


def _drawn(data: Dataset, budgets: Sequence[Budget], seed: int, index: int) -> dict[Budget, Tensor]:
    totals = [int(amount.value) for amount in map(parse_budget, budgets) if amount.kind == "total"]
    return nested_subsets(strata_of(data, min(totals, default=None)), budgets, seed, data.groups, data.classes, index)


def strata_of(data: Dataset, most: int | None = None) -> Tensor:
    """The stratum of each training image, -1 without a label, int64 (N,); see `Task.strata`."""
    assert data.train is not None
    assert data.task is not None
    return from_numpy(data.task.strata(data.train.labels.numpy(), most))
