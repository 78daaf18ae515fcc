"""The labeled training images of a data set that a budget takes."""

from collections.abc import Sequence

from torch import Tensor, from_numpy

from unmask.config.budget import Budget, parse_budget, totals
from unmask.data.load import Dataset
from unmask.data.subsets import nested_subsets


def draw_labeled(data: Dataset, budgets: Sequence[Budget], seed: int, index: int = 0) -> dict[Budget, Tensor]:
    """The indices of the labeled training images of each budget, nested over budgets; see `nested_subsets`.

    Without classes a number counts images in all.

    Raises:
        UserError: there are too few images for a budget.
    """
    asked = dict(zip(budgets if data.classes else totals(budgets), budgets, strict=True))
    most = min((int(amount.value) for amount in map(parse_budget, asked) if amount.kind == "total"), default=None)
    groups = None if data.train is None else data.groups_of(data.train)
    found = nested_subsets(strata_of(data, most), list(asked), seed, groups, data.classes, index)
    return {own: found[budget] for budget, own in asked.items() if budget in found}


def strata_of(data: Dataset, most: int | None = None) -> Tensor:
    """The stratum of each training image, -1 without a label, int64 (N,); see `Task.strata`."""
    assert data.train is not None
    assert data.task is not None
    return from_numpy(data.task.strata(data.train.labels.numpy(), most))
