"""A setting small enough for tests: every run of it takes about a second."""

import pytest

from tiny import LABORATORY
from unmask.theory.setting import Setting


@pytest.fixture(scope="session")
def tiny() -> Setting:
    """Four classes, eight features, 48 kernels."""
    return LABORATORY
