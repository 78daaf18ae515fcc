"""Decoders: shapes on every grid, hidden cells told by the token alone, linear where it says so."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unmask.config import TargetConfig
from unmask.decoders import Fill, build_decoder

SIZES = [((4, 6), (4, 6)), ((8, 12), (4, 6)), ((2, 3), (4, 6)), ((1, 1), (2, 2))]


@pytest.mark.parametrize("kind", ["convolution", "transformer", "linear"])
@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_one_vector_a_cell(kind: str, size: tuple[int, int], grid: tuple[int, int]) -> None:
    """Maps finer than, equal to and coarser than the cells; every parameter gets a gradient."""
    config = TargetConfig(decoder=kind, decoder_width=16)  # type: ignore[arg-type]
    decoder = build_decoder(config, channels=5, size=size, dimension=7, grid=grid, seed=0)
    hidden = torch.zeros(2, *size, dtype=torch.bool)
    hidden[:, 0, 0] = True
    out = decoder(torch.randn(2, 5, *size, generator=torch.Generator().manual_seed(0)), hidden)
    assert out.shape == (2, 7, *grid)
    out.square().sum().backward()
    assert all(parameter.grad is not None for parameter in decoder.parameters())


@given(st.integers(0, 2**20))
def test_a_hidden_cell_is_the_token(seed: int) -> None:
    """Whatever the map holds there: nothing can leak through the filling."""
    generator = torch.Generator().manual_seed(seed)
    fill = Fill(3, 4, (4, 4), (2, 2))
    features = torch.randn(1, 3, 4, 4, generator=generator)
    hidden = torch.zeros(1, 4, 4, dtype=torch.bool)
    hidden[:, :2, :2] = True
    filled = fill(features, hidden)
    assert torch.equal(filled[0, :, 0, 0], fill.mask_token.flatten())
    changed = features.masked_fill(hidden.unsqueeze(1), 9.0)
    assert torch.equal(fill(changed, hidden), filled)


def test_positions_in_a_cell_are_told_apart() -> None:
    """Swapping two positions of one cell changes what is decoded: they are not averaged."""
    fill = Fill(1, 4, (2, 2), (1, 1))
    features = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    nothing = torch.zeros(1, 2, 2, dtype=torch.bool)
    assert not torch.allclose(fill(features, nothing), fill(features.flip(3), nothing))


def test_the_linear_decoder_is_affine() -> None:
    """f(a x + (1 - a) y) = a f(x) + (1 - a) f(y), as the theory's decoder; with a block it is not."""
    nothing = torch.zeros(1, 3, 3, dtype=torch.bool)
    x, y = torch.randn(2, 1, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    for kind, affine in (("linear", True), ("convolution", False)):
        config = TargetConfig(decoder=kind, decoder_width=8)  # type: ignore[arg-type]
        f = build_decoder(config, channels=2, size=(3, 3), dimension=4, grid=(3, 3), seed=0)
        both = f(0.3 * x + 0.7 * y, nothing)
        assert torch.allclose(both, 0.3 * f(x, nothing) + 0.7 * f(y, nothing), atol=1e-5) == affine


def test_weights_are_of_the_seed_alone() -> None:
    """Two decoders of a seed are equal, and the caller's random state is untouched."""
    state = torch.random.get_rng_state()
    made = [build_decoder(TargetConfig(), channels=2, size=(2, 2), dimension=3, grid=(2, 2), seed=s) for s in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [torch.cat([p.flatten() for p in decoder.parameters()]) for decoder in made]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("kind", ["convolution", "linear", "transformer"])
def test_wanted_cells_alone_get_the_same_prediction_and_gradients(kind: str) -> None:
    """Convolutions: as if all were decoded; a transformer: equal where all hidden cells are wanted."""
    config = TargetConfig(decoder=kind, decoder_width=16, decoder_depth=2)  # type: ignore[arg-type]
    decoder = build_decoder(config, channels=5, size=(4, 6), dimension=7, grid=(4, 6), seed=0).double()
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 5, 4, 6, generator=generator, dtype=torch.float64)
    hidden = torch.rand(3, 4, 6, generator=generator) < 0.6
    wanted = hidden if kind == "transformer" else hidden & (torch.rand(3, 4, 6, generator=generator) < 0.5)
    found = []
    for some in (None, wanted):
        decoder.zero_grad()
        out = decoder(features, hidden, some) * wanted[:, None]
        out.square().sum().backward()
        found.append([out, *(parameter.grad for parameter in decoder.parameters())])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dimension", [3, 16])
def test_the_last_convolution_and_the_head_are_as_one_after_the_other(dimension: int) -> None:
    """Whether their product is taken (fewer numbers than the width) or not: output and gradients, in float64."""
    config = TargetConfig(decoder="convolution", decoder_width=8, decoder_depth=2)
    decoder = build_decoder(config, channels=5, size=(4, 6), dimension=dimension, grid=(4, 6), seed=0).double()
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 5, 4, 6, generator=generator, dtype=torch.float64)
    hidden = torch.rand(3, 4, 6, generator=generator) < 0.6
    x = decoder.fill(features, hidden)
    for block in decoder.blocks:
        x = x + block(torch.nn.functional.gelu(x))
    found = []
    for out in (decoder.head(x), decoder(features, hidden)):
        out.square().sum().backward()
        found.append([out, *(parameter.grad for parameter in decoder.parameters())])
        decoder.zero_grad()
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


def test_a_transformer_leaves_out_what_is_not_wanted() -> None:
    """Its prediction there is 0, and what stood there does not matter."""
    config = TargetConfig(decoder="transformer", decoder_width=16)
    decoder = build_decoder(config, channels=5, size=(4, 4), dimension=7, grid=(4, 4), seed=0)
    hidden = torch.zeros(2, 4, 4, dtype=torch.bool)
    hidden[:, 1:] = True
    wanted = torch.zeros_like(hidden)
    wanted[:, 2] = True
    out = decoder(torch.randn(2, 5, 4, 4, generator=torch.Generator().manual_seed(0)), hidden, wanted)
    assert bool(out.permute(0, 2, 3, 1)[wanted].all())
    assert not out.permute(0, 2, 3, 1)[hidden & ~wanted].any()
