"""Packed execution equals dense execution: features, parameter gradients, BatchNorm statistics."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny import RESNET
from unmask.config import EncoderConfig, MaskConfig
from unmask.encoders.build import build_model
from unmask.encoders.laws import distance, leak
from unmask.encoders.masked import masked_encoder
from unmask.errors import UserError
from unmask.masking import draw_masks

WHITELIST = {  # name: (options, image size, cell)
    "resnet18": ({"layers": [1, 1, 1, 1]}, (96, 64), None),
    "test_resnet": ({"drop_path_rate": 0.3}, (64, 64), 32),
    "resnet26d": ({"layers": [1, 1, 1, 1]}, (64, 64), None),
    "test_convnext": ({"drop_path_rate": 0.2}, (64, 96), None),
    "convnextv2_atto": ({"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}, (64, 64), 32),
    "seresnet18": ({"layers": [1, 1, 1, 1]}, (64, 64), None),
    "regnety_002": ({}, (64, 64), None),
    "test_efficientnet": ({}, (64, 64), None),
    "test_efficientnet_gn": ({}, (64, 64), None),
    "test_nfnet": ({}, (64, 64), None),
    "resnetv2_18": ({"layers": [1, 1, 1, 1]}, (64, 64), None),  # pools values that may all be negative
    "mobilenetv3_small_050": ({}, (64, 64), None),
    "densenet121": ({"block_config": (2, 2, 2, 2), "growth_rate": 8}, (64, 64), None),
    "test_byobnet": ({}, (128, 128), 64),
}


def distances(config: EncoderConfig, size: tuple[int, int], cell: int | None, ratio: tuple[float, float], dtype: Any):
    """Packed from dense execution in training: features, gradients, statistics; relative. And the packed encoder."""
    one = build_model(config, in_chans=2, image_size=size).to(dtype).train()
    two = deepcopy(one)
    dense = masked_encoder(one, image_size=size, cell=cell, execution="dense")
    packed = masked_encoder(two, image_size=size, cell=cell, execution="auto")
    assert (dense.execution, packed.execution) == ("dense", "packed")
    mask = MaskConfig(mask_ratio=ratio[0], mask_ratio_max=ratio[1])
    hidden = draw_masks(mask, dense.grid, seed=0, epoch=0, ids=range(4))
    images = torch.randn(4, 2, *size, generator=torch.Generator().manual_seed(0), dtype=dtype)
    encodings = []
    for encoder in (dense, packed):
        with torch.random.fork_rng():
            torch.manual_seed(1)  # stochastic depth drops whole images, alike in both
            encodings.append(encoder(images, hidden))
        loss = sum(m.square().sum() / m.shape[1] for m in encodings[-1].maps)
        loss.backward()
    found = []
    for a, b, gone, other in zip(encodings[0].maps, encodings[1].maps, *(e.hidden for e in encodings), strict=True):
        found.append(distance(b, a))
        assert torch.equal(gone, other)
        assert not b.masked_select(gone[:, None]).any()
    gradients = {key: p.grad for key, p in one.named_parameters() if p.grad is not None}
    scale = max(g.abs().max() for g in gradients.values())
    found += [((two.get_parameter(key).grad - g).abs().max() / scale).item() for key, g in gradients.items()]
    found += [distance(b, a) for a, b in zip(one.buffers(), two.buffers(), strict=True)]
    return max(found), packed, images, hidden


@pytest.mark.parametrize("name", WHITELIST)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_packed_equals_dense(name: str, dtype: torch.dtype, tolerance: float) -> None:
    options, size, cell = WHITELIST[name]
    config = EncoderConfig(encoder=name, encoder_options=options)
    assert distances(config, size, cell, (0.4, 0.8), dtype)[0] < tolerance


FINE = {  # cells smaller than the total stride, at sizes that strides do not divide
    "test_resnet": ({}, (36, 60), 12),
    "resnet26d": ({"layers": [1, 1, 1, 1]}, (40, 56), 8),  # averages of windows that reach over the border
    "test_convnext": ({}, (56, 64), 8),
    "test_efficientnet": ({}, (48, 64), 8),  # strided depthwise convolution
}


@pytest.mark.parametrize("name", FINE)
def test_packed_equals_dense_beyond_the_stage_of_a_cell(name: str) -> None:
    options, size, cell = FINE[name]
    config = EncoderConfig(encoder=name, encoder_options=options)
    assert distances(config, size, cell, (0.4, 0.8), torch.float64)[0] < 1e-9


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    unstrided=st.integers(0, 2),
    cells=st.sampled_from([1, 2, 3, 4, 8]),
    grid=st.tuples(st.integers(2, 6), st.integers(2, 6)),
    ratio=st.floats(0.05, 0.9),
)
def test_the_laws_hold_at_every_cell_stride_size_and_ratio(
    unstrided: int, cells: int, grid: tuple[int, int], ratio: float
) -> None:
    """The stride of the stem is 2 or 1; a cell is so many of its positions; equal to dense, and nothing leaks."""
    cell = cells * (1 if unstrided else 2)
    size = (grid[0] * cell, grid[1] * cell)
    config = replace(RESNET, unstrided=0 if min(size) < 8 else unstrided)
    cell = cell if config.unstrided or cell % 2 == 0 else 2 * cell
    size = (grid[0] * cell, grid[1] * cell)
    far, encoder, images, hidden = distances(config, size, cell, (ratio, 0.95), torch.float64)
    assert far < 1e-9
    assert leak(encoder, images, hidden) == 0.0


def test_what_is_not_on_the_whitelist_runs_dense_and_says_why_when_forced() -> None:
    model = build_model(EncoderConfig(encoder="resnetblur18"), in_chans=3, image_size=(64, 64))
    dense = masked_encoder(model, image_size=(64, 64))
    assert dense.execution == "dense"
    assert "pads positions; use dense execution" in dense.note
    with pytest.raises(UserError, match="pads positions"):
        masked_encoder(model, image_size=(64, 64), execution="packed")


def test_a_cell_that_is_no_multiple_of_the_first_stride_runs_dense() -> None:
    model = build_model(EncoderConfig(encoder="test_resnet"), in_chans=3, image_size=(60, 60))
    assert masked_encoder(model, image_size=(60, 60), cell=15).execution == "dense"
    with pytest.raises(UserError, match="not a multiple of the first stride"):
        masked_encoder(model, image_size=(60, 60), cell=15, execution="packed")


def test_an_image_without_visible_cells_beside_others_is_harmless() -> None:
    model = build_model(EncoderConfig(encoder="seresnet18"), in_chans=3, image_size=(64, 64)).eval()
    encoder = masked_encoder(model, image_size=(64, 64), execution="packed")
    hidden = torch.tensor([[[True, True], [True, True]], [[False, True], [True, False]]])
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    both, alone = encoder(images, hidden).maps[-1], encoder(images[1:], hidden[1:]).maps[-1]
    assert not both[0].any()
    torch.testing.assert_close(both[1:], alone)
