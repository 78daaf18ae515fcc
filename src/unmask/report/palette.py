"""How an arm looks and what it is called. Colours of Okabe and Ito (2008), told apart by all common colour vision."""

from dataclasses import dataclass

INK = "#010203"
"""Colour of axes and text in figures; on the page it becomes the colour of the surrounding text."""

BLUE, SKY, VERMILION, ORANGE = "#0072b2", "#56b4e9", "#d55e00", "#e69f00"
GREEN, PURPLE, GREY = "#009e73", "#cc79a7", "#8a8a8a"


@dataclass(frozen=True)
class Look:
    """Colour, line and marker of an arm in figures; its title and explanation in words."""

    colour: str
    marker: str
    line: str
    title: str
    meaning: str


_LOOKS = {
    "mrp": Look(BLUE, "o", "-", "Pretrained", "mask-reconstruction pretraining, then fine-tuned"),
    "scratch_same": Look(ORANGE, "s", "-", "Scratch, same schedule", "random weights, the fine-tuning schedule"),
    "scratch_best": Look(VERMILION, "D", "-", "Scratch, best schedule", "random weights, its own best schedule"),
    "scratch_compute": Look(
        INK, "^", "-", "Scratch, equal compute", "random weights, the total compute of pretraining"
    ),
    "scratch_masked": Look(PURPLE, "v", "-", "Scratch, masked", "random weights, random cells hidden in training"),
    "probe_mrp": Look(SKY, "o", "--", "Probe of pretrained", "linear probe on the frozen pretrained encoder"),
    "probe_random": Look(GREY, "x", "--", "Probe of random", "linear probe on a frozen random encoder"),
    "given": Look(GREEN, "P", "-", "Given weights", "the weights given, fine-tuned"),
    "given_mrp": Look(GREEN, "X", "--", "Given, then pretrained", "pretraining continued from the weights given"),
}


def look(arm: str) -> Look:
    """The look of an arm; an arm that is not known is grey and carries its own name."""
    return _LOOKS.get(arm, Look(GREY, "d", ":", arm, ""))
