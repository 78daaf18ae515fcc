"""Looks at a comparison whose draws come in looks: looks.json."""

from dataclasses import dataclass
from typing import Literal

from unmask.runs.ranges import Count, Share


@dataclass(frozen=True, kw_only=True)
class LookRow:
    """One look at a comparison whose draws come in looks."""

    draws: Count
    """Label draws it covers."""
    plan: Count
    """The largest number of draws, as planned then."""
    level: Share
    """Two-sided level of this look."""
    word: Literal["gain", "loss", "equivalent", "out of reach", "continue"]
    needs: Count | None
    """Draws that would probably decide; None if it is decided, or no number would."""


@dataclass(frozen=True, kw_only=True)
class LookRows:
    """looks.json."""

    looks: tuple[LookRow, ...]
