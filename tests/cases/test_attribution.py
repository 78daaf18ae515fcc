"""CASES 56 to 59: what went wrong elsewhere with attribution.

Tested elsewhere: 56 audit/test_maps (the order of channels does not matter), 57 audit/test_maps (a layer that no class
depends on is an error; agreement for a ViT), 58 audit/test_maps (constant images, hooks, frozen models, batches), 59
audit/test_cells (every pixel belongs to one cell; fillings are named).
"""

import pytest
import torch

from unmask.audit.maps import eigen_cam


@pytest.mark.parametrize("seed", range(8))
def test_56_the_peak_is_inside_the_blob(seed: int) -> None:
    """Activations with one blob, channels in any order and of any size: the map is high there, never low."""
    generator = torch.Generator().manual_seed(seed)
    blob = torch.zeros(12, 12)
    blob[3:6, 7:10] = 1
    strength = torch.rand(16, 1, 1, generator=generator)[torch.randperm(16, generator=generator)]
    maps = eigen_cam((strength * blob + 0.01 * torch.rand(16, 12, 12, generator=generator))[None])
    row, column = divmod(int(maps[0].argmax()), 12)
    assert 3 <= row < 6
    assert 7 <= column < 10
