"""One complete setting of the theory: data, network, objective, sizes. Presets are functions that return one."""

from dataclasses import dataclass, field

from unmask.errors import UserError
from unmask.theory.distribution import Distribution


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything that affects a result of the laboratory, except the seed and the number type."""

    data: Distribution = field(default_factory=Distribution)

    # Network
    power: int = 4
    """q of the smoothed ReLU, at least 2; the theory needs q >= 3."""
    threshold: float = 0.5
    """ϱ of the smoothed ReLU."""
    kernels_per_class: int = 16
    """m; the encoder has K = k·m kernels."""
    init_scale: float = 0.05
    """σ0: standard deviation of the initial weights of pretraining."""
    scratch_init_scale: float = 0.01
    """σ0 of training from scratch: the proof of the lottery between views needs a smaller start than capture does."""

    # Mask-reconstruction pretraining
    teacher_scale: float = 1.4
    """τ: the teacher sees τ times the student's pre-activation."""
    gain: float = 2.0
    """b: gain of the linear decoder."""
    mask_ratio: float = 0.1
    """1 - θ: probability that a patch is hidden."""
    samples: int = 500
    """N: unlabeled samples of pretraining."""

    missing: int = 0
    """Pretraining data lack the first `missing` features (an assumption to break; 0 in every preset)."""

    # Downstream task
    task_classes: int = 0
    """Classes of the downstream task, the first ones; 0: all. Features of the others occur in pretraining only."""
    task_views: int = 0
    """Views that downstream data show of each class, the first ones; 0 means all."""

    # Supervision
    labeled: int = 500
    """Labeled samples of training from scratch."""
    labeled_single_share: float = 0.0
    """Training μ of the labeled samples; 0 is the proof's "about no single-view sample per feature"."""
    labels_per_class: int = 5
    """Labeled samples per class in fine-tuning and probing."""
    stop_loss: float = 0.1
    """Training stops at the first accepted step with training accuracy 1 and mean cross-entropy below this."""
    test_samples: int = 1000
    """Test samples of each kind, multi-view and single-view."""
    test_single_share: float = 0.2
    """μ of the test distribution D for the mixed error."""

    def __post_init__(self) -> None:
        checks = {
            "power": (self.power >= 2, "at least 2"),
            "threshold": (self.threshold > 0, "positive"),
            "init_scale": (self.init_scale > 0, "positive"),
            "scratch_init_scale": (self.scratch_init_scale > 0, "positive"),
            "teacher_scale": (self.teacher_scale > 0, "positive"),
            "gain": (self.gain > 0, "positive"),
            "mask_ratio": (0 <= self.mask_ratio < 1, "in [0, 1)"),
            "labeled_single_share": (0 <= self.labeled_single_share <= 1, "in [0, 1]"),
            "test_single_share": (0 <= self.test_single_share <= 1, "in [0, 1]"),
            "missing": (0 <= self.missing <= self.data.features, f"between 0 and {self.data.features} features"),
            "task_classes": (self.task_classes in (0, *range(2, self.data.classes + 1)), self._subset(2, "classes")),
            "task_views": (0 <= self.task_views <= self.data.views, self._subset(1, "views")),
            "stop_loss": (self.stop_loss > 0, "positive"),
        }
        for name in ("kernels_per_class", "samples", "labeled", "labels_per_class", "test_samples"):
            checks[name] = (getattr(self, name) >= 1, "at least 1")
        for name, (good, allowed) in checks.items():
            if not good:
                raise UserError(f"{name} = {getattr(self, name)!r} is out of range: expected {allowed}")

    def _subset(self, least: int, name: str) -> str:
        return f"0 for all, or {least} to {name} = {getattr(self.data, name)}"

    @property
    def kernels(self) -> int:
        """K = k·m."""
        return self.data.classes * self.kernels_per_class

    @property
    def mask_excess(self) -> float:
        """x = (1 - θ) / θ."""
        return self.mask_ratio / (1.0 - self.mask_ratio)

    @property
    def effective_gain(self) -> float:
        """B = b (1 + (1-θ)/(θ C_p)): the effective gain of a single feature on C_p equal patches."""
        return self.gain * (1.0 + self.mask_excess / self.data.patches_per_feature)


def require_growth_window(setting: Setting) -> None:
    """Raise unless τ < b and B < τ^q, with B of a single feature: otherwise kernels that hold several features grow
    without bound (see `laws`), or nothing grows from small weights."""
    tau, gain, q = setting.teacher_scale, setting.effective_gain, setting.power
    if not (tau < setting.gain and gain < tau**q):
        raise UserError(
            f"teacher_scale = {tau!r} is outside its window: gain b = {setting.gain:.3g} must be above tau, "
            f"and effective gain B = {gain:.3g} below tau^q = {tau**q:.3g}; change teacher_scale, gain or mask_ratio, "
            "or use `break_`"
        )
