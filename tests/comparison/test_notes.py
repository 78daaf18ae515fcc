"""What label draws have in common is said, with the share that draws really have in common."""

import itertools

import pytest
import torch

from unmask.comparison.notes import shared_draws
from unmask.data.subsets import nested_subsets


def test_draws_of_few_of_many_images_need_no_note() -> None:
    labels = torch.arange(3).repeat_interleave(20)
    assert shared_draws([1, 10], labels, "abc") == []
    assert len(shared_draws([10, 11], labels, "abc")) == 1


def test_the_share_is_that_of_real_draws() -> None:
    """Classes of 20 and 40 images at 16 labels each: 80 % and 40 %, 60 % together; unlabeled ones do not count."""
    labels = torch.cat([torch.zeros(20), torch.ones(40), -torch.ones(50)]).long()
    (note,) = shared_draws([16], labels, ("few", "many", "none"))
    assert "share about 60% of their images (80% in class few, which has 20)" in note
    draws = [set(nested_subsets(labels, [16], seed)[16].tolist()) for seed in range(12)]
    common = [len(a & b) / 32 for a, b in itertools.combinations(draws, 2)]
    assert sum(common) / len(common) == pytest.approx(0.6, abs=0.03)


def test_a_budget_of_whole_classes_leaves_one_draw() -> None:
    """Where classes are alike the draws are the same images; where one is larger its draws still differ."""
    labels = torch.arange(3).repeat_interleave(20)
    (note,) = shared_draws([20], labels, "abc")
    assert "the draws are the same images" in note
    assert "over training seeds" in note
    (note,) = shared_draws([20], torch.cat([labels, torch.full((20,), 2)]), "abc")
    assert "share about 83% of their images (100% in class a, which has 20)" in note
