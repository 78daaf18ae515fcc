"""The arms of a comparison. An arm is one entry of `ARMS`; everything else reads its fields."""

from dataclasses import dataclass
from typing import Literal

Start = Literal["random", "mrp", "given", "given_mrp"]
"""Weights an arm starts from: random, from a pretraining on the user's images, given by the user, or from a pretraining
that continued from the given ones."""

Schedule = Literal["finetune", "best", "compute"]
"""How long and at which rates an arm trains on labels: as fine-tuning does, with the recipe that was best over tuning
draws, or with that recipe for as many images as pretraining and fine-tuning take together."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to get from images and labels to a classifier."""

    name: str
    title: str
    """Its name in figures and tables."""
    meaning: str
    """What it is, in one line."""
    controls_for: str = ""
    """What cannot explain a gain over it."""
    advice: str = ""
    """The advice to a user, without names of arms; empty for a control that nobody would use."""
    start: Start = "random"
    schedule: Schedule = "finetune"
    frozen: bool = False
    """Whether it is a linear probe: the encoder is not trained on labels."""
    hides_cells: bool = False
    """Whether random cells of the images are hidden in training."""
    competes: bool = False
    """Whether it may be the baseline of the verdict on `JUDGED`."""
    baseline_of: tuple[str, ...] = ()
    """Arms whose paired difference from this one is reported."""
    audited: bool = False
    """Whether an audit covers its networks. Of arms that differ only in schedule it covers the best one."""
    default: bool = True
    """Whether a comparison runs it by default."""

    @property
    def is_pretrained(self) -> bool:
        """Whether it starts from a pretraining that belongs to the comparison."""
        return self.start in ("mrp", "given_mrp")

    @property
    def needs_given(self) -> bool:
        """Whether it needs weights given by the user."""
        return self.start in ("given", "given_mrp")

    @property
    def way(self) -> tuple[Start, bool]:
        """What a user would do, apart from the schedule: arms of the same way are the same choice."""
        return self.start, self.frozen

    @property
    def is_tuned(self) -> bool:
        """Whether its recipe is chosen over tuning draws."""
        return self.schedule != "finetune"


JUDGED = "mrp"
"""The arm that is judged."""

_TABLE = (
    Arm(
        name=JUDGED,
        title="Pretrained",
        meaning="mask-reconstruction pretraining, then fine-tuned",
        advice="pretrain on your own images, then fine-tune",
        start="mrp",
        audited=True,
    ),
    Arm(
        name="scratch_same",
        title="Scratch, same schedule",
        meaning="random weights, the fine-tuning schedule",
        advice="train from scratch",
        controls_for="the starting weights alone",
        competes=True,
        baseline_of=(JUDGED,),
        audited=True,
    ),
    Arm(
        name="scratch_best",
        title="Scratch, best schedule",
        meaning="random weights, its own best schedule",
        advice="train from scratch",
        controls_for="a schedule that suits fine-tuning only",
        schedule="best",
        competes=True,
        baseline_of=(JUDGED,),
        audited=True,
    ),
    Arm(
        name="scratch_compute",
        title="Scratch, long schedule",
        meaning="random weights, for the compute of pretraining and fine-tuning, up to the cap",
        advice="train from scratch, for longer",
        controls_for="longer training",
        schedule="compute",
        competes=True,
        baseline_of=(JUDGED,),
    ),
    Arm(
        name="scratch_masked",
        title="Scratch, masked",
        meaning="random weights, random cells hidden in training",
        advice="train from scratch, with parts of the images hidden",
        controls_for="robustness to hidden cells",
        hides_cells=True,
        competes=True,
        baseline_of=(JUDGED,),
        audited=True,
    ),
    Arm(
        name="probe_mrp",
        title="Probe of pretrained",
        meaning="linear probe on the frozen pretrained encoder",
        advice="pretrain on your own images, then train a linear classifier on the frozen network",
        start="mrp",
        frozen=True,
    ),
    Arm(
        name="probe_random",
        title="Probe of random",
        meaning="linear probe on a frozen random encoder",
        controls_for="features that any network of this shape has",
        frozen=True,
        baseline_of=("probe_mrp",),
    ),
    Arm(
        name="given",
        title="Given weights",
        meaning="the weights given, fine-tuned",
        advice="fine-tune the weights you have",
        controls_for="weights that exist already",
        start="given",
        baseline_of=("given_mrp", JUDGED),
        audited=True,
        default=False,
    ),
    Arm(
        name="given_mrp",
        title="Given, then pretrained",
        meaning="pretraining continued from the weights given",
        advice="continue the pretraining of the weights you have on your own images, then fine-tune",
        start="given_mrp",
        audited=True,
        default=False,
    ),
    Arm(
        name="probe_given",
        title="Probe of given",
        meaning="linear probe on the weights given, as they are",
        advice="use the weights you have as they are, with a linear classifier",
        controls_for="weights that exist already, used without any training of the encoder",
        start="given",
        frozen=True,
        baseline_of=("probe_given_mrp", "probe_mrp"),
        default=False,
    ),
    Arm(
        name="probe_given_mrp",
        title="Probe of given, then pretrained",
        meaning="linear probe on the encoder whose pretraining continued from the weights given",
        advice="continue the pretraining of the weights you have on your own images, then train a linear classifier",
        start="given_mrp",
        frozen=True,
        default=False,
    ),
)

ARMS = {arm.name: arm for arm in _TABLE}
"""Every arm by its name, in the order of tables and figures."""
