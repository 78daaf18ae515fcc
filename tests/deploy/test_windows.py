"""Windows on large images: they cover all of it, agree where the network looks at single pixels, and have no seams."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unmask.deploy.windows import window_starts, window_weights, windowed


@given(st.integers(1, 400), st.integers(1, 64))
def test_windows_cover_an_axis_with_half_overlap(length: int, window: int) -> None:
    starts = window_starts(length, window)
    assert starts[0] == 0
    if length <= window:
        assert starts == [0]
        return
    assert starts[-1] == length - window
    steps = [b - a for a, b in pairwise(starts)]
    assert max(steps) <= (window + 1) // 2 + (window == 1)


def test_weights_are_positive_symmetric_and_largest_in_the_middle() -> None:
    weight = window_weights((6, 9))
    assert weight.min() > 0
    torch.testing.assert_close(weight, weight.flip(0, 1))
    assert weight[:, 4].max() == weight.max()


def pixelwise(images: Tensor) -> Tensor:
    return torch.cat([images * 2, images.square()], 1)


@pytest.mark.parametrize("size", [(8, 8), (8, 13), (30, 9), (5, 21), (4, 4)])
def test_a_network_that_sees_single_pixels_gives_the_same_in_windows(size: tuple[int, int]) -> None:
    image = torch.rand(1, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(windowed(pixelwise, image, (8, 8)), pixelwise(image[None])[0])


def test_an_image_of_the_windows_size_goes_through_as_it_is() -> None:
    image = torch.rand(1, 8, 8)
    assert torch.equal(windowed(pixelwise, image, (8, 8)), pixelwise(image[None])[0])


def test_each_window_counts_less_towards_its_edge() -> None:
    """Two windows that disagree: what they give changes from the one to the other without a step."""
    seen = 0

    def numbered(images: Tensor) -> Tensor:
        nonlocal seen
        out = torch.stack([torch.full((1, 8, 8), float(seen + i)) for i in range(len(images))])
        seen += len(images)
        return out

    row = windowed(numbered, torch.zeros(1, 8, 12), (8, 8))[0, 3]
    assert row[0] == 0
    assert row[-1] == 1
    assert (row.diff() >= 0).all()
    assert row.diff().max() < 0.5
