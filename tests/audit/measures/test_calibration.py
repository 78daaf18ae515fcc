"""A small share of benchmarks/audit_calibration.py: networks whose answer is known by construction."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from scripts import load_script


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_script(Path(__file__).parents[3] / "benchmarks" / "audit_calibration.py")


def test_hand_built_detectors_are_read(bench: ModuleType) -> None:
    rows = [bench.network("detectors", views, seed) for views in ("one", "two") for seed in (1, 2)]
    found = bench.summary(rows)
    assert found["captured"]["known, not captured"] == 0
    # A filter may respond to another texture, shifted: that part is seen, though no filter was built for it.
    assert found["captured"]["unknown, captured"] <= 1
    assert found["views_auroc"] == 1
    assert found["views_mean"]["one"] < 1.3 < 1.6 < found["views_mean"]["two"]


def test_a_part_missing_from_training_is_found_missing(bench: ModuleType) -> None:
    known = bench.known_by_construction("mixed", 3)
    assert 0 < (~known).sum() < known.size
    config = bench.setting(3)
    images = bench.training_images(config, known, 400, 3)
    shown = np.zeros((4, 2), bool)
    np.logical_or.at(shown, images.parts.labels, images.parts.shown)
    np.testing.assert_array_equal(shown, known)
    assert not images.parts.faint.any()
    seen = bench.look_at(bench.trained("patchnet", config, known, 3), config, 3, count=450, whole=6)
    assert (np.array(seen["captured"]) == known).mean() >= 7 / 8
    assert np.array(seen["alone"])[known].min() > 0.9
