"""The results that a comparison draws from its trials: summary.json. Scores are in [0, 1]."""

from dataclasses import dataclass
from typing import Literal

from unmask.config.budget import Budget
from unmask.config.metric import DEFAULT_TASK, METRIC_NAMES, TASK_METRICS, Metric, TaskName
from unmask.runs.look_records import LookRow
from unmask.runs.ranges import Count, NotNegative, Share
from unmask.runs.records import Interval, Word
from unmask.runs.scores import UNEQUAL


@dataclass(frozen=True, kw_only=True)
class Score:
    """One value of one trial."""

    arm: str
    budget: Budget
    draw: Count
    pretraining: Count | None
    repeat: Count = 0
    """Which of the trainings of this arm on this draw."""
    split: str
    metric: str
    value: float
    seconds: NotNegative
    """Seconds of the trial."""


@dataclass(frozen=True, kw_only=True)
class Mean(Interval):
    """The mean score of an arm over its trials."""

    arm: str
    budget: Budget
    split: str
    metric: str


@dataclass(frozen=True, kw_only=True)
class Difference(Interval):
    """An arm minus a baseline, paired over label draws."""

    arm: str
    baseline: str
    """An arm, or "best scratch arm"."""
    budget: Budget
    split: str
    metric: str
    baseline_arm: str
    """The arm behind `baseline`."""


@dataclass(frozen=True, kw_only=True)
class Verdict(Interval):
    """The difference of the metric, pretrained minus the best scratch arm, and what follows from it."""

    budget: Budget
    split: str
    baseline: str
    verdict: Word
    scope: str
    """"for this encoder" if there is one pretraining: the word then says nothing about others; else empty."""
    detectable: float | None
    """The true difference that would have been found four times in five; None if there is no interval."""
    primary: bool
    """Whether it is for the budget declared beforehand."""
    sentence: str
    p: Share
    """P-value of no difference; adjusted if the verdict is not primary."""
    p_equivalent: Share
    """P-value of a difference that matters; adjusted if the verdict is not primary."""


@dataclass(frozen=True, kw_only=True)
class VarianceRow:
    """One source of the uncertainty of a mean difference."""

    source: str
    sd: NotNegative
    """Standard deviation of a single unit's effect, in the metric's unit."""
    count: Count
    """Units the mean is taken over."""
    share: Share
    """Share of the variance of the mean."""


@dataclass(frozen=True, kw_only=True)
class Recommendation(Interval):
    """The arm that validation recommends minus the best one from other starting weights, on test images; or minus the
    best one from the same weights, if that is better or there are no others."""

    budget: Budget
    split: str
    arm: str
    against: str
    """The other arm: the best of them by validation."""
    verdict: Word
    """gain: the recommended weights are better than all others. loss: the other arm is better."""
    p: Share
    draws_needed: Count | None
    """Total label draws that would probably decide (four times in five); None if it is decided, or draws alone would
    not decide."""
    sentence: str


@dataclass(frozen=True, kw_only=True)
class LabelsWorth:
    """How many times as many labels give the same score without pretraining; None beyond the measured budgets."""

    budget: Budget
    split: str
    times: float | None
    low: float | None
    high: float | None
    sentence: str


@dataclass(frozen=True, kw_only=True)
class LabelsGain(Interval):
    """The paired gain of another way to find so many labels, of pretraining, or of both."""

    what: Literal["labels", "pretraining", "both"]
    split: str
    arm: str
    budget: Budget
    """Including how the labels are found, as in chosen:100."""
    sd: NotNegative | None
    """Standard deviation of the scores of this arm over its trials; None for one."""
    against_arm: str
    against_budget: Budget
    against_sd: NotNegative | None
    verdict: Word
    p: Share
    """P-value of no difference, adjusted for all rows of a split."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The headline: what to do now and next. Its interval and arms are those of the first recommendation."""

    sentence: str
    score: float
    """The recommended arm's score at the primary budget on test images, by the comparison's metric, as the next two."""
    chance: float | None
    """Score of guessing among all classes; None if an image has no class."""
    majority: float | None
    """Score of always naming the most frequent class of the test images; None if they have none."""
    test_images: Count
    context: str
    """The three above, in words."""
    next_step: str
    draws: Count | None
    """Total label draws with which the comparison should continue; None if it need not."""
    seconds: NotNegative | None
    """Approximate time of these draws beyond those that are done."""


@dataclass(frozen=True, kw_only=True)
class EnsembleGap:
    """What averaging the predictions of an arm's label draws gains."""

    arm: str
    budget: Budget
    split: str
    n: Count
    """Trials."""
    metric: str = "accuracy"
    """Quantity of the next three fields."""
    ensemble: float
    mean: float
    gap: float
    """The first minus the second."""


@dataclass(frozen=True, kw_only=True)
class ArmSeconds:
    """The time of all trials of an arm; pretraining and the tuning of recipes are not included."""

    arm: str
    seconds: NotNegative
    trials: Count


@dataclass(frozen=True, kw_only=True)
class BestScratch:
    """The arm that a verdict is measured against; None if validation scores are missing."""

    budget: Budget
    arm: str | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the summary was drawn with."""

    budgets: tuple[Budget, ...]
    primary_budget: Budget
    primary_split: str | None
    """None if nothing is scored."""
    task: TaskName = DEFAULT_TASK
    """What is learned of the images."""
    metric: Metric = "accuracy"
    """The metric of choices, verdicts and recommendations."""
    majority: Share | None = None
    """Share of the most frequent class among the images of the primary split; None if nothing is scored."""
    chance: Share | None = None
    """Balanced accuracy of guessing there."""
    smallest_effect: NotNegative
    confidence: Share
    best_scratch: tuple[BestScratch, ...]

    @property
    def unequal(self) -> bool:
        """Whether one class is so frequent that accuracy must not be shown alone."""
        return self.majority is not None and self.majority > UNEQUAL

    @property
    def in_the_open(self) -> tuple[Metric, ...]:
        """Metrics shown first, the chosen one leading; accuracy is not shown alone if classes are unequal."""
        if "accuracy" not in TASK_METRICS[self.task]:
            return (self.metric,)
        return tuple(dict.fromkeys((self.metric, "accuracy", *(("balanced_accuracy",) if self.unequal else ()))))

    def best(self, budget: Budget) -> str | None:
        """The best scratch arm of a budget."""
        return next((one.arm for one in self.best_scratch if one.budget == budget), None)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """summary.json."""

    task: TaskName = DEFAULT_TASK
    """What is learned of the images."""
    scores: tuple[Score, ...]
    """Every value of every finished trial."""
    means: tuple[Mean, ...]
    """The mean of every arm over its trials, by budget, split and metric."""
    differences: tuple[Difference, ...]
    """Differences of two arms, paired over label draws."""
    verdicts: tuple[Verdict, ...]
    """For every split and budget, on the metric; the first is for the primary budget."""
    answer: Answer | None
    """The headline; None if there is no choice, or the comparison is not finished."""
    recommendations: tuple[Recommendation, ...]
    """What to do, per budget, on the primary split; empty if tuning draws did not measure the alternatives."""
    labels_worth: tuple[LabelsWorth, ...]
    """Per budget, on the primary split; empty with one budget."""
    labels_gains: tuple[LabelsGain, ...]
    """What choosing labels gains, on the primary split; empty if labels were found in only one way."""
    variance: tuple[VarianceRow, ...]
    """Where the uncertainty of the headline comes from, the largest source first."""
    advice: str
    """What to add for a narrower interval of the headline; empty without a verdict."""
    ensembles: tuple[EnsembleGap, ...]
    """What averaging the predictions of an arm's label draws gains."""
    seconds: tuple[ArmSeconds, ...]
    """Time of all trials of an arm; pretraining and the tuning of recipes are not included."""
    settings: Settings
    """What the summary was drawn with."""
    looks: tuple[LookRow, ...]
    """Looks at draws that came in looks, in order; empty if all draws came in one go."""
    answered: tuple[Count, ...] = ()
    """Numbers of label draws after which there was an answer at the full level before this one; see
    `unmask.comparison.earlier_answers`."""
    notes: tuple[str, ...]
    """What else a reader must know: caps, conditional intervals, labels spent on validation."""
    wall_seconds: NotNegative | None = None
    """From start to summary, as in wall.json; None for a comparison that is not finished."""

    def beside_accuracy(self) -> str:
        """Scores of all arms at the primary budget in one line, if one class is frequent; else nothing.

        By the comparison's metric, or by balanced accuracy if that is accuracy.
        """
        settings = self.settings
        if not settings.unequal:
            return ""
        metric: Metric = "balanced_accuracy" if settings.metric == "accuracy" else settings.metric
        place = (settings.primary_budget, settings.primary_split, metric)
        rows = [one for one in self.means if (one.budget, one.split, one.metric) == place]
        chance = f", chance {settings.chance:.1%}" if metric == "balanced_accuracy" else ""
        return (
            f"{METRIC_NAMES[metric]}: {', '.join(f'{one.arm} {one.mean:.1%}' for one in rows)} (the most frequent "
            f"class is {settings.majority:.1%} of the images{chance})"
        )
