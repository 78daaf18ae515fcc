"""The multi-view data distribution D = (1 - μ) D_multi + μ D_single of the theory (Allen-Zhu & Li 2020; arXiv
2206.03826).

Letters: k classes, L views per class, F = k·L features, d patch dimension, P patches, N samples, C_p patches per
feature. A feature has the index f = i·L + l for view l of class i. Its direction is row f of V ∈ R^{F×d}, orthonormal.
"""

from dataclasses import dataclass

from unmask.errors import UserError

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Every parameter of the data. The sums are Σ_p z_p over the C_p patches of one present feature."""

    classes: int = 10
    """k: number of classes; y is uniform on them."""
    views: int = 2
    """L: discriminative features of each class."""
    dim: int = 24
    """d: dimension of a patch, at least L·k because the features are orthonormal."""
    patches: int = 12
    """P: patches of a sample. At most floor(P / (L·C_p)) classes fit; further other classes are dropped."""
    patches_per_feature: int = 1
    """C_p: disjoint patches a present feature occupies."""
    others: float = 3.0
    """s: every class besides y appears, with all its views, with probability s/k."""
    single_share: float = 0.0
    """μ: probability that a sample is single-view."""
    own: Range = (1.0, 1.2)
    """Sum of a class's own views (multi-view) or of the shown own view (single-view)."""
    other: Range = (0.2, 0.4)
    """Sum of the other classes' views in a multi-view sample."""
    weak: Range = (0.01, 0.02)
    """[ρ, O(ρ)]: sum of the own other views in a single-view sample."""
    single_other: Range = (0.1, 0.2)
    """[Ω(Γ), Γ]: sum of the other classes' views in a single-view sample."""
    feature_noise: float = 0.0
    """γ: every patch also carries α_v v for all features v, α_v uniform on [0, γ]."""
    noise: float = 0.002
    """σ_p: standard deviation of the Gaussian noise of a patch, per coordinate."""
    fade: float = 1.0
    """View l of a class is fade^l times as strong as its first view everywhere: features of unequal strength."""
    background: float = 0.0
    """Strength of a feature that every sample shows on a separate patch, whatever its class; 0: none. Its
    direction is row F of the basis."""
    equal_patches: bool = False
    """Divide a sum equally over its C_p patches; otherwise at random (uniform weights in [0.5, 1.5], normalized)."""

    @property
    def features(self) -> int:
        """F = L·k."""
        return self.views * self.classes

    @property
    def directions(self) -> int:
        """Directions that a kernel can capture: F, and the background's."""
        return self.features + (self.background > 0)

    @property
    def classes_that_fit(self) -> int:
        """Number of classes whose views fit into the patches of one sample."""
        return self.patches // (self.views * self.patches_per_feature)

    def __post_init__(self) -> None:
        for field in ("classes", "views", "patches", "patches_per_feature"):
            _require(getattr(self, field) >= 1, field, getattr(self, field), "at least 1")
        _require(0 <= self.others <= self.classes, "others", self.others, f"between 0 and classes = {self.classes}")
        _require(self.dim >= self.directions, "dim", self.dim, f"at least {self.directions}, one for each feature")
        _require(
            self.classes_that_fit >= 1 and self.classes_that_fit >= min(self.classes, 1 + self.others),
            "patches",
            self.patches,
            f"at least {self._patches_needed()} for the views of y and of {self.others:g} other classes",
        )
        _require(0 <= self.single_share <= 1, "single_share", self.single_share, "between 0 and 1")
        for field in ("own", "other", "weak", "single_other"):
            low, high = getattr(self, field)
            _require(0 <= low <= high, field, (low, high), "a pair 0 <= low <= high")
        _require(self.feature_noise >= 0, "feature_noise", self.feature_noise, "at least 0")
        _require(self.noise >= 0, "noise", self.noise, "at least 0")
        _require(0 < self.fade <= 1, "fade", self.fade, "above 0, at most 1")
        _require(self.background >= 0, "background", self.background, "at least 0")

    def _patches_needed(self) -> int:
        return self.views * self.patches_per_feature * min(self.classes, int(-(-(1 + self.others) // 1)))


def _require(condition: bool, field: str, value: object, allowed: str) -> None:
    if not condition:
        raise UserError(f"{field} = {value!r} is out of range: expected {allowed}")
