"""Operations on tiles equal the dense rules, for every window, and those of the library where nothing is hidden."""

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.dense import convolution as dense_convolution
from unmask.encoders.dense import pooling as dense_pooling
from unmask.encoders.dense.layout import Cells, Layout, Masked
from unmask.encoders.packed import convolution, pooling
from unmask.encoders.packed.batch_norm import narrow_batch_norm
from unmask.encoders.packed.gather import Take, as_rows
from unmask.encoders.packed.tiled_map import Packed
from unmask.encoders.packed.tiles import Tiles
from unmask.masking import expand

GEOMETRY = st.fixed_dictionaries(
    {
        "side": st.sampled_from([1, 2, 3, 4]),
        "kernel": st.integers(1, 4),
        "stride": st.integers(1, 3),
        "padding": st.integers(0, 2),
        "dilation": st.integers(1, 2),
    }
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def both(side: int, channels: int, *, ties: bool = False) -> tuple[Masked, Packed]:
    """One map of 3 x 4 cells of two images, as a masked tensor and as tiles; each a leaf."""
    hidden = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(side)) < 0.5
    cells, tiles = Cells(hidden), Tiles.of(hidden)
    gone = expand(hidden, 3 * side, 4 * side)
    drawn = draw(2, channels, 3 * side, 4 * side)
    values = (drawn.round() if ties else drawn).masked_fill(gone[:, None], 0).requires_grad_()
    rows = values.detach().permute(0, 2, 3, 1).reshape(-1, channels)[tiles.scatter(side).order].requires_grad_()
    packed = Packed(rows.reshape(-1, side, side, channels).permute(0, 3, 1, 2), tiles)
    return Masked(values, Layout(cells, gone, (0, 2, 3))), packed


def unpacked(packed: Packed) -> Tensor:
    batch, channels, height, width = packed.shape
    rows = Take.apply(as_rows(packed.values), packed.tiles.scatter(packed.side), 0.0)
    return rows.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


def visible_rows(dense: Tensor, like: Packed) -> Tensor:
    """Those of a map [B, C, H, W], in the order of the tiles."""
    return dense.permute(0, 2, 3, 1).flatten(0, 2)[like.tiles.scatter(like.side).order]


def fits(side: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """A window that tiles are made for: aligned outputs, or single positions that become coarser ones."""
    reach = dilation * (kernel - 1)
    aligned = 0 <= reach - 2 * padding < stride
    return aligned if side % stride == 0 else 3 * side + 2 * padding > reach and stride <= 2 and padding <= reach


@settings(max_examples=60, deadline=None, derandomize=True)
@given(GEOMETRY, st.sampled_from([(3, 5, 1), (16, 4, 1), (4, 4, 4), (4, 8, 2)]))
def test_a_convolution_equals_the_dense_one_with_its_gradients(
    geometry: dict[str, int], shape: tuple[int, int, int]
) -> None:
    assume(fits(**geometry))
    side, (inputs, outputs, groups) = geometry["side"], shape
    one, two = both(side, inputs)
    weights = [draw(outputs, inputs // groups, geometry["kernel"], geometry["kernel"], seed=1) for _ in range(2)]
    biases = [draw(outputs, seed=2) for _ in range(2)]
    for leaf in (*weights, *biases):
        leaf.requires_grad_()
    how = (geometry["stride"], geometry["padding"], geometry["dilation"], groups)
    expected = dense_convolution.convolution(F.conv2d, one, weights[0], biases[0], *how).values
    found = unpacked(convolution.convolution(F.conv2d, two, weights[1], biases[1], *how))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    gradient = draw(*expected.shape, seed=3)
    ours = torch.autograd.grad(found, [two.values, weights[1], biases[1]], gradient)
    theirs = torch.autograd.grad(expected, [one.values, weights[0], biases[0]], gradient)
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(as_rows(ours[0]), visible_rows(theirs[0], two), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("side", [1, 2])
def test_windows_over_the_same_tiles_have_their_own_neighbors(side: int) -> None:
    one, two = both(side, 3)
    for kernel, stride, padding in ((3, 1, 1), (3, 2, 1), (2, 2, 0), (5, 1, 2)):
        weight = draw(4, 3, kernel, kernel, seed=kernel)
        expected = dense_convolution.convolution(F.conv2d, one, weight, None, stride, padding).values
        found = unpacked(convolution.convolution(F.conv2d, two, weight, None, stride, padding))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(GEOMETRY, st.booleans(), st.booleans())
@example({"side": 1, "kernel": 2, "stride": 1, "padding": 1, "dilation": 2}, False, False)
def test_a_maximum_equals_the_dense_one_with_its_gradient(geometry: dict[str, int], ceil: bool, ties: bool) -> None:
    """Of equal values the first one gets the gradient."""
    kernel, padding = geometry["kernel"], geometry["padding"]
    assume(fits(**geometry) and 2 * padding <= kernel)
    side, stride = geometry["side"], geometry["stride"]
    assume(side % stride or not ceil)
    one, two = both(side, 3, ties=ties and side % stride == 0)
    how = (kernel, stride, padding, geometry["dilation"], ceil)
    expected = dense_pooling.max_pool(F.max_pool2d, one, *how).values
    found = unpacked(pooling.max_pool(F.max_pool2d, two, *how))
    assert torch.equal(found, expected)
    gradient = draw(*expected.shape, seed=3)
    (ours,) = torch.autograd.grad(found, [two.values], gradient)
    (theirs,) = torch.autograd.grad(expected, [one.values], gradient)
    torch.testing.assert_close(as_rows(ours), visible_rows(theirs, two), rtol=1e-10, atol=1e-10)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(GEOMETRY, st.booleans())
def test_an_average_equals_the_dense_one_with_its_gradient(geometry: dict[str, int], ceil: bool) -> None:
    geometry = {**geometry, "padding": 0, "dilation": 1}
    assume(fits(**geometry))
    side, stride, kernel = geometry["side"], geometry["stride"], geometry["kernel"]
    assume(side % stride or (not ceil and kernel == stride))
    one, two = both(side, 3)
    how = (kernel, stride, 0, ceil)
    expected = dense_pooling.average_pool(F.avg_pool2d, one, *how).values
    found = unpacked(pooling.average_pool(F.avg_pool2d, two, *how))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    gradient = draw(*expected.shape, seed=3)
    (ours,) = torch.autograd.grad(found, [two.values], gradient)
    (theirs,) = torch.autograd.grad(expected, [one.values], gradient)
    torch.testing.assert_close(as_rows(ours), visible_rows(theirs, two), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_of_narrow_tiles_equals_the_library_with_its_gradients(affine: bool) -> None:
    found = []
    for norm in (narrow_batch_norm, lambda func, x, *rest: func(x, *rest)):
        x = draw(7, 3, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
        weight, bias = (draw(3, seed=s).requires_grad_() if affine else None for s in (1, 2))
        mean, variance = draw(3, seed=3), draw(3, seed=4).square()
        y = norm(F.batch_norm, x, mean, variance, weight, bias, True, 0.1, 1e-5)
        leaves = [x, weight, bias] if affine else [x]
        found.append([y, mean, variance, *torch.autograd.grad(y, leaves, draw(*y.shape, seed=5))])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)
