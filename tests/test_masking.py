"""Masks: exact counts, keyed reproducibility, patterns, projection."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.config import MaskConfig
from unmask.errors import UserError
from unmask.masking import draw_masks, draw_predicted, expand

PATTERNS = ("random", "block", "grid")


@pytest.mark.case("masks drawn with replacement hid too few cells")
@settings(deadline=None, max_examples=60)
@given(
    pattern=st.sampled_from(PATTERNS),
    ratio=st.floats(0.01, 0.99),
    height=st.integers(1, 9),
    width=st.integers(2, 9),
    seed=st.integers(0, 2**31),
)
def test_every_row_hides_exactly_the_rounded_share(
    pattern: str, ratio: float, height: int, width: int, seed: int
) -> None:
    hidden = draw_masks(
        MaskConfig(mask_pattern=pattern, mask_ratio=ratio), (height, width), seed=seed, epoch=0, ids=range(17)
    )
    assert hidden.shape == (17, height, width)
    cells = height * width
    assert hidden.flatten(1).sum(1).tolist() == [min(max(round(ratio * cells), 1), cells - 1)] * 17


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_mask_depends_on_seed_epoch_and_id_only(pattern: str) -> None:
    config = MaskConfig(mask_pattern=pattern)
    whole = draw_masks(config, (8, 8), seed=1, epoch=2, ids=np.arange(40))
    part = draw_masks(config, (8, 8), seed=1, epoch=2, ids=np.array([39, 3, 17]))
    assert torch.equal(part, whole[[39, 3, 17]])
    for other in ({"seed": 2, "epoch": 2}, {"seed": 1, "epoch": 3}):
        assert not torch.equal(whole, draw_masks(config, (8, 8), ids=np.arange(40), **other))
    assert len({tuple(row.flatten().tolist()) for row in whole}) > 20


def test_random_masks_are_uniform_over_cells() -> None:
    hidden = draw_masks(MaskConfig(mask_ratio=0.6), (4, 5), seed=0, epoch=0, ids=np.arange(20000))
    rate = hidden.float().mean(0)
    assert (rate - 0.6).abs().max() < 5 * (0.24 / 20000) ** 0.5  # five standard errors of a Bernoulli(0.6) mean


def test_a_ratio_range_is_covered_uniformly() -> None:
    config = MaskConfig(mask_ratio=0.25, mask_ratio_max=0.75)
    counts = draw_masks(config, (10, 10), seed=0, epoch=0, ids=np.arange(5000)).flatten(1).sum(1).double()
    assert counts.min() >= 25
    assert counts.max() <= 75
    assert abs(counts.mean() - 50) < 5 * 50 / 12**0.5 / 5000**0.5


def test_a_grid_mask_at_three_quarters_keeps_one_cell_of_every_two_by_two() -> None:
    hidden = draw_masks(MaskConfig(mask_pattern="grid", mask_ratio=0.75), (8, 8), seed=0, epoch=0, ids=range(30))
    visible = (~hidden).unfold(1, 2, 2).unfold(2, 2, 2).sum((-1, -2))
    assert (visible == 1).all()


def test_blocks_hold_together_more_than_random_cells() -> None:
    def neighbors(pattern: str) -> float:
        hidden = draw_masks(MaskConfig(mask_pattern=pattern, mask_ratio=0.5), (14, 14), seed=0, epoch=0, ids=range(50))
        return (hidden[:, 1:] & hidden[:, :-1]).float().mean().item()

    assert neighbors("block") > neighbors("random") + 0.1


def test_one_cell_is_refused_with_the_mend() -> None:
    with pytest.raises(UserError, match="smaller cell"):
        draw_masks(MaskConfig(cell=32), (1, 1), seed=0, epoch=0, ids=[0])


@settings(deadline=None, max_examples=60)
@given(cells=st.tuples(st.integers(1, 7), st.integers(1, 7)), size=st.tuples(st.integers(1, 15), st.integers(1, 15)))
def test_a_position_is_visible_iff_a_cell_it_overlaps_is_visible(cells: tuple[int, int], size: tuple[int, int]) -> None:
    hidden = torch.from_numpy(np.random.default_rng(0).random((3, *cells)) < 0.6)
    fine = hidden.repeat_interleave(size[0], 1).repeat_interleave(size[1], 2)  # common refinement of both grids
    expected = fine.reshape(3, size[0], cells[0], size[1], cells[1]).all(4).all(2)
    assert torch.equal(expand(hidden, *size), expected)


@given(share=st.floats(0.01, 1.0), ratio=st.floats(0.1, 0.9), epoch=st.integers(0, 9))
def test_predicted_cells_are_a_share_of_the_hidden_ones(share: float, ratio: float, epoch: int) -> None:
    """Exactly so many of each image, at least one, whatever other images are beside it."""
    hidden = draw_masks(MaskConfig(mask_ratio=ratio, mask_ratio_max=0.9), (4, 5), seed=0, epoch=0, ids=range(6))
    chosen = draw_predicted(hidden, share, seed=1, epoch=epoch, ids=range(6))
    assert not (chosen & ~hidden).any()
    for mine, cells in zip(chosen, hidden, strict=True):
        assert mine.sum() == max(1, round(share * int(cells.sum())))
    assert torch.equal(draw_predicted(hidden[2:3], share, seed=1, epoch=epoch, ids=[2])[0], chosen[2])
