"""Budgets: their text, the images that each class gets, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.cli.main import parse
from unmask.config import ClassifyConfig, CompareConfig, from_json, to_json
from unmask.config.budget import (
    Budget,
    budget_name,
    class_counts,
    in_order,
    labeled_count,
    labels_in_words,
)
from unmask.errors import UserError

SIZES = st.lists(st.integers(0, 60), min_size=2, max_size=6).filter(lambda sizes: sum(size > 0 for size in sizes) > 1)
_BALANCED = "40 labels in all balanced by class"


@pytest.mark.parametrize(
    ("budget", "counts", "name", "words"),
    [
        (5, [5, 5, 0, 5], "b5", "5 labels per class"),
        (1, [1, 1, 0, 1], "b1", "1 label per class"),
        ("total:10", [7, 1, 0, 2], "total10", "10 labels in all"),
        ("total:110", [80, 10, 0, 20], "total110", "110 labels in all"),
        ("10%", [8, 1, 0, 2], "10percent", "10% of the labels"),
        ("0.5%", [1, 1, 0, 1], "0.5percent", "0.5% of the labels"),
        ("all", [80, 10, 0, 20], "all", "all labels"),
        ("random:110", [80, 10, 0, 20], "random110", "110 labels in all at random"),
        ("balanced:40", [15, 10, 0, 15], "balanced40", "40 labels in all balanced by class"),
    ],
)
def test_every_form(budget: Budget, counts: list[int], name: str, words: str) -> None:
    """Of classes with 80, 10, 0 and 20 images."""
    assert class_counts(budget, [80, 10, 0, 20]) == counts
    assert (budget_name(budget), labels_in_words(budget)) == (name, words)
    config = CompareConfig(budgets=(budget,))
    assert from_json(CompareConfig, json.loads(json.dumps(to_json(config)))) == config
    words_given = ["scratch", "--data", "digits", "--budget", str(budget), "--out", "x"]
    assert parse(words_given).config.budget == budget


@pytest.mark.parametrize("budget", [0, -3, True, "", "10", "total:0", "total:x", "0%", "100%", "1e1%", "half", "ALL"])
def test_what_is_no_budget_is_refused(budget: Budget) -> None:
    """With the forms that there are."""
    with pytest.raises(UserError, match=r"budgets = .* a number per class, total:NUMBER, a share such as 10%, or all"):
        CompareConfig(budgets=(budget,))
    with pytest.raises(UserError, match=r"budget = .* or all"):
        ClassifyConfig(budget=budget)


@given(SIZES, st.integers(1, 300))
def test_totals_are_dealt_out_whole_and_grow(sizes: list[int], total: int) -> None:
    """One image at least of each class, as many as asked for, none beyond what there is; more take from no class."""
    present = sum(size > 0 for size in sizes)
    total = max(total, present)
    counts, more = (class_counts(f"total:{one}", sizes) for one in (total, total + 1))
    assert sum(counts) == labeled_count(f"total:{total}", sizes) == min(total, sum(sizes))
    assert all(min(1, size) <= count <= size for count, size in zip(counts, sizes, strict=True))
    assert all(one <= other for one, other in zip(counts, more, strict=True))


def test_totals_are_in_proportion() -> None:
    """As near as whole images come."""
    assert class_counts("total:100", [700, 200, 100]) == [70, 20, 10]


def test_numbers_are_shown_in_rising_order() -> None:
    """Other budgets as they are given."""
    assert in_order((50, 10)) == [10, 50]
    assert in_order(("all", 10)) == ["all", 10]
