"""Attribution maps: high where the evidence is."""

import pytest
import torch

from unmask.audit.measures.cam import eigen_cam


@pytest.mark.case("the sign of Eigen-CAM was arbitrary")
@pytest.mark.parametrize("seed", range(8))
def test_the_peak_is_inside_the_blob(seed: int) -> None:
    """Activations with one blob, channels in any order and of any size: the map is high there, never low."""
    generator = torch.Generator().manual_seed(seed)
    blob = torch.zeros(12, 12)
    blob[3:6, 7:10] = 1
    strength = torch.rand(16, 1, 1, generator=generator)[torch.randperm(16, generator=generator)]
    maps = eigen_cam((strength * blob + 0.01 * torch.rand(16, 12, 12, generator=generator))[None])
    row, column = divmod(int(maps[0].argmax()), 12)
    assert 3 <= row < 6
    assert 7 <= column < 10
