"""Position tables on other grids and in other windows: what they say of a place stays."""

from pathlib import Path

import pytest
import torch

from unmask.config import EncoderConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.encoders.build import build_model
from unmask.weights.adapt import resample_grid, resample_offsets
from unmask.weights.card import Card, save_weights
from unmask.weights.start import initialize


def test_a_grid_keeps_its_table() -> None:
    """Bit by bit; and a constant stays constant on every grid."""
    table = torch.randn(1, 17, 3)
    assert resample_grid(table, (4, 4), (4, 4)) is table
    assert torch.allclose(resample_grid(torch.ones(1, 16, 2), (4, 4), (7, 2)), torch.ones(1, 14, 2))


@pytest.mark.parametrize(
    "encoder",
    [
        EncoderConfig(
            encoder="swin_tiny_patch4_window7_224",
            encoder_options={"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4},
        ),
        EncoderConfig(
            encoder="beit_base_patch16_224",
            encoder_options={"patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 2},
        ),
    ],
    ids=lambda one: one.encoder,
)
def test_relative_positions_go_by_the_window(encoder: EncoderConfig, tmp_path: Path) -> None:
    """Windows of 8 x 2 and 2 x 8 have tables of one length, in other places."""
    tall, wide = (build_model(encoder, in_chans=1, image_size=size, seed=3) for size in ((64, 16), (16, 64)))
    state = tall.state_dict()
    for name in state:
        if name.endswith("relative_position_bias_table"):
            state[name].normal_()
    save_weights(tmp_path / "x.safetensors", state, Card(encoder, ImageFormat.plain((64, 16), 1, "uint8")))
    start = initialize(wide, str(tmp_path / "x.safetensors"), encoder, ImageFormat.plain((16, 64), 1, "uint8"))
    names = [name for name in state if name.endswith("relative_position_bias_table")]
    windows = [tuple(wide.get_submodule(name.rpartition(".")[0]).window_size) for name in names]  # type: ignore[arg-type]
    moved = [not torch.equal(wide.state_dict()[name], state[name]) for name in names]
    assert moved == [a != b for a, b in windows]
    assert ("relative positions" in " ".join(start.notes)) == any(moved)


def test_offsets_keep_their_meaning_in_another_window() -> None:
    """A table that tells the offset as a share of the window: no offset stays none, up stays up, extra rows stay."""
    rows, columns = torch.meshgrid(torch.arange(-3.0, 4.0) / 3.5, torch.arange(-3.0, 4.0) / 3.5, indexing="ij")
    table = torch.cat([torch.stack([rows.flatten(), columns.flatten()], 1), torch.full((3, 2), 9.0)])
    found = resample_offsets(table, (4, 4), (2, 8))
    assert found.shape == (3 * 15 + 3, 2)
    assert bool((found[-3:] == 9.0).all())
    grid = found[:-3].unflatten(0, (3, 15))
    assert grid[1, 7].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert grid[:, 7, 0].tolist() == pytest.approx([-2 / 3, 0, 2 / 3], abs=0.03)
    assert grid[1, 2:13, 1].tolist() == pytest.approx([i / 7.5 for i in range(-5, 6)], abs=0.03)
