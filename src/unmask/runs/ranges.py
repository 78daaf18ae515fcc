"""Ranges of numbers that are checked when files are read."""

from typing import Annotated

from unmask.config.serialize import Between

Share = Annotated[float, Between(0, 1)]
NotNegative = Annotated[float, Between(0)]
Count = Annotated[int, Between(0, 2**53)]
"""The largest integer that JSON holds exactly."""
