"""Appearance and titles of arms. Colors of Okabe and Ito (2008), distinguishable with all common types of color
vision."""

from dataclasses import dataclass

from unmask.config import ARMS

INK = "#010203"
"""Color of axes and text in figures; on the page it becomes the color of the surrounding text."""

BLUE, SKY, VERMILION, ORANGE = "#0072b2", "#56b4e9", "#d55e00", "#e69f00"
GREEN, PURPLE, GRAY = "#009e73", "#cc79a7", "#8a8a8a"


@dataclass(frozen=True)
class Look:
    """Color, line and marker of an arm in figures; its title and explanation in words."""

    color: str
    marker: str
    line: str
    title: str
    meaning: str


_LOOKS = {
    "mrp": (BLUE, "o", "-"),
    "scratch_same": (ORANGE, "s", "-"),
    "scratch_best": (VERMILION, "D", "-"),
    "scratch_compute": (INK, "^", "-"),
    "scratch_masked": (PURPLE, "v", "-"),
    "probe_mrp": (SKY, "o", "--"),
    "probe_random": (GRAY, "x", "--"),
    "given": (GREEN, "P", "-"),
    "given_mrp": (GREEN, "X", "--"),
}
_SPARE = [(color, marker, "-.") for marker in "*hp<>" for color in (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)]


def look(arm: str) -> Look:
    """The look of an arm; one without an entry above gets a spare one, an unknown arm is gray."""
    if arm not in ARMS:
        return Look(GRAY, "d", ":", arm, "")
    others = [name for name in ARMS if name not in _LOOKS]
    drawn = _LOOKS[arm] if arm in _LOOKS else _SPARE[others.index(arm) % len(_SPARE)]
    return Look(*drawn, ARMS[arm].title, ARMS[arm].meaning)
