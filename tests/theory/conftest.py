"""A setting small enough for tests: every run of it takes about a second."""

import pytest

from unmask.theory.distribution import Distribution
from unmask.theory.setting import Setting

TINY = Setting(
    data=Distribution(classes=4, dim=10, patches=8, others=2.0),
    kernels_per_class=12,
    samples=120,
    labeled=120,
    test_samples=200,
)


@pytest.fixture(scope="session")
def tiny() -> Setting:
    """Four classes, eight features, 48 kernels."""
    return TINY
