"""Laws of labeled subsets: exact counts, nesting, seeds, few groups."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.config.budget import class_counts
from unmask.data.subsets import mean_overlap, nested_subsets, spread_over_classes
from unmask.errors import UserError


@given(
    st.lists(st.integers(5, 30), min_size=1, max_size=5),
    st.lists(st.integers(1, 5), min_size=1, max_size=4, unique=True),
    st.integers(0, 99),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_counts_are_exact_and_budgets_nest(counts: list[int], budgets: list[int], seed: int, grouped: bool) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = torch.cat([labels, torch.full((7,), -1)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    groups = np.arange(len(labels)) // 3 if grouped else None
    subsets = nested_subsets(labels, budgets, seed, groups)
    for budget, rows in subsets.items():
        assert torch.bincount(labels[rows], minlength=len(counts)).tolist() == [budget] * len(counts)
        assert rows.unique().tolist() == rows.tolist()
    for small, large in zip(sorted(budgets), sorted(budgets)[1:], strict=False):
        assert set(subsets[small].tolist()) <= set(subsets[large].tolist())


@given(
    st.lists(st.integers(4, 40), min_size=2, max_size=5),
    st.integers(0, 99),
    st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_every_kind_of_budget_nests_in_each_class(counts: list[int], seed: int, grouped: bool) -> None:
    """Of each class the fewer images are among the more, whatever the kinds of the two budgets."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    groups = np.arange(len(labels)) // 3 if grouped else None
    budgets = (3, f"total:{len(counts) + 5}", "30%", f"total:{sum(counts)}", "all")
    subsets = nested_subsets(labels, budgets, seed, groups)
    assert subsets["all"].tolist() == list(range(len(labels)))
    assert len(subsets[f"total:{len(counts) + 5}"]) == len(counts) + 5
    for label, size in enumerate(counts):
        own = [subsets[budget][labels[subsets[budget]] == label] for budget in budgets]
        assert [len(one) for one in own] == [class_counts(budget, counts)[label] for budget in budgets]
        assert len(own[2]) == max(1, round(0.3 * size))
        for few, many in itertools.combinations(sorted(own, key=len), 2):
            assert set(few.tolist()) <= set(many.tolist())


@pytest.mark.parametrize("budget", ["total:1", "total:31"])
def test_totals_that_cannot_be_are_refused(budget: str) -> None:
    """Fewer than the classes, more than the images."""
    with pytest.raises(UserError, match=rf"{budget} is out of range: there are 30 labeled .* of 3 classes"):
        nested_subsets(torch.arange(30) % 3, [budget], 0)


def test_another_seed_draws_another_subset() -> None:
    labels = torch.arange(200) % 2
    assert not torch.equal(nested_subsets(labels, [10], 0)[10], nested_subsets(labels, [10], 1)[10])
    assert torch.equal(nested_subsets(labels, [10], 0)[10], nested_subsets(labels, [10, 50], 0)[10])


@given(
    st.lists(st.integers(5, 60), min_size=1, max_size=3),
    st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True),
    st.integers(0, 99),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_subsets_are_disjoint_while_the_images_last(
    counts: list[int], budgets: list[int], seed: int, grouped: bool
) -> None:
    """As many as fit at the largest budget; where smaller budgets divide it, as many as fit at each of them."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    groups = np.arange(len(labels)) // 3 if grouped else None
    divide = all(large % small == 0 for small, large in itertools.pairwise(sorted(budgets)))
    for budget in budgets if divide else [max(budgets)]:
        fit = min(counts) // budget
        drawn = [nested_subsets(labels, budgets, seed, groups, index=index)[budget] for index in range(fit)]
        assert len(torch.cat(drawn).unique()) == fit * budget * len(counts)
        assert mean_overlap(drawn) == 0


@pytest.mark.parametrize(("budget", "count"), [(4, 6), (8, 5), (20, 3)])
def test_the_overlap_is_that_of_the_pairs(budget: int, count: int) -> None:
    """Counted pair by pair; and a class that is taken whole is shared whole."""
    labels = torch.arange(40) % 2
    drawn = [nested_subsets(labels, [4, budget], 7, index=index)[budget] for index in range(count)]
    pairs = [len({*a.tolist()} & {*b.tolist()}) / len(a) for a, b in itertools.combinations(drawn, 2)]
    assert mean_overlap(drawn) == pytest.approx(sum(pairs) / len(pairs))
    assert (mean_overlap(drawn) > 0) == (count * budget > 20)
    assert (mean_overlap(drawn) == 1) == (budget == 20)


def test_as_few_groups_as_possible_are_touched() -> None:
    labels = torch.zeros(60, dtype=torch.int64)
    groups = np.arange(60) // 6
    rows = nested_subsets(labels, [12], 3, groups)[12]
    assert len(np.unique(groups[rows])) == 2


@pytest.mark.case("a class with one image broke a stratified subset")
def test_a_class_with_too_few_images_is_named_with_the_largest_possible_budget() -> None:
    labels = torch.tensor([0] * 9 + [1] * 4 + [2] * 9)
    with pytest.raises(
        UserError, match=r"5 labeled images per class were requested, but class cat has 4 .* budget is 4"
    ):
        nested_subsets(labels, [2, 5], 0, classes=("dog", "cat", "cow"))


@pytest.mark.case("pictures showed the first class alone")
def test_shown_images_are_of_all_classes() -> None:
    """One of each class before a second of any, though a split is sorted by class; unlabeled ones are spread evenly."""
    assert spread_over_classes(torch.tensor([0, 0, 0, 1, 2, 1]), 4).tolist() == [0, 3, 4, 1]
    assert spread_over_classes(torch.tensor([0, 0, 1]), 9).tolist() == [0, 2, 1]
    many = torch.arange(20).repeat_interleave(3)
    assert (spread_over_classes(many, 5) // 3).tolist() == [0, 5, 10, 14, 19]
    assert spread_over_classes(torch.full((21,), -1), 3).tolist() == [0, 10, 20]
    assert spread_over_classes(torch.zeros(0, dtype=torch.int64), 3).tolist() == []
