"""The outcome of a check: one claim, its kind, its source, what was measured and what was predicted."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Literal

from unmask.errors import UserError

Kind = Literal["identity", "law", "paper", "ours"]
Outcome = Literal["holds", "fails", "empty", "not in its regime"]
KINDS: tuple[Kind, ...] = ("identity", "law", "paper", "ours")
COUNTED = {"identity": "identities", "law": "laws", "paper": "of the papers", "ours": "of ours"}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One claim and its outcome. `holds` is low <= measured <= high."""

    claim: str
    kind: Kind
    """identity: exact, up to rounding; law: a closed form with the error that [low, high] states; paper: a statement of
    arXiv 2206.03826 or of Allen-Zhu & Li, asymptotic there; ours: beyond them.
    """
    measured: float
    predicted: float
    low: float
    high: float
    n: int
    """Independent units behind `measured` (kernels, samples, configurations or seeds; the claim says which)."""
    regime: str = ""
    """Where it was tested."""
    source: str = ""
    """Where it is stated: theorem, assumption or section of a paper, or the file that derives it."""
    applies: bool = True
    """Whether the setting lies in the regime in which the claim is made."""

    @property
    def holds(self) -> bool:
        """Whether the measured value lies in [low, high]; NaN (nothing to test) never does."""
        return self.low <= self.measured <= self.high

    @property
    def outcome(self) -> Outcome:
        """holds or fails; empty if there was nothing to test, and "not in its regime" if it is not claimed."""
        if not self.applies:
            return "not in its regime"
        return "holds" if self.holds else "fails" if self.measured == self.measured else "empty"

    def as_dict(self) -> dict[str, object]:
        """The row that is printed and stored; infinities become None, which JSON can hold."""
        row = {**asdict(self), "holds": self.holds, "outcome": self.outcome}
        return {
            key: None if isinstance(v, float) and (v != v or abs(v) == float("inf")) else v for key, v in row.items()
        }


def failed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The identities and laws that do not hold although they are claimed."""
    return [v for v in verdicts if v.kind in ("identity", "law") and v.applies and not v.holds]


def tally(verdicts: Sequence[Verdict]) -> str:
    """One sentence: how many claims of each kind hold, among those in their regime, and how many are outside it."""
    parts = []
    for kind in KINDS:
        mine = [v for v in verdicts if v.kind == kind and v.applies]
        parts.append(f"{sum(v.holds for v in mine)} of {len(mine)} {COUNTED[kind]}")
    outside = sum(not v.applies for v in verdicts)
    return "Claims that hold: " + ", ".join(parts) + (f"; {outside} not in their regime" if outside else "") + "."


def as_text(verdicts: Sequence[Verdict]) -> str:
    """A table for a terminal and the tally; "empty" marks claims with nothing to test, "outside" those
    that are not claimed for this setting."""
    lines = [f"{'':7} {'kind':8} {'measured':>10} {'predicted':>10} {'low':>9} {'high':>9} {'n':>6}  claim"]
    marks = {"fails": "FAILS", "not in its regime": "outside"}
    for v in verdicts:
        numbers = f"{v.measured:10.4g} {v.predicted:10.4g} {v.low:9.4g} {v.high:9.4g} {v.n:6d}"
        lines.append(f"{marks.get(v.outcome, v.outcome):7} {v.kind:8} {numbers}  {v.claim}")
    return "\n".join([*lines, tally(verdicts)])


def attempt(name: str, check: Callable[[], Sequence[Verdict]]) -> list[Verdict]:
    """The verdicts of a check. A check that cannot be computed is a law that fails, with the reason as its regime.

    Closed forms divide by each other and integrators give up on unbounded growth: a system that is not that of the
    theory ends in a row of the table, not in a traceback.
    """
    try:
        return list(check())
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, ValueError, UserError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        return [impossible(f"{name} can be computed", reason)]


def impossible(claim: str, reason: str) -> Verdict:
    """A law that fails because there is no value to compare."""
    return Verdict(claim=claim, kind="law", measured=0.0, predicted=1.0, low=1.0, high=1.0, n=1, regime=reason)


def identity(claim: str, off: float, tolerance: float, n: int, source: str, regime: str = "") -> Verdict:
    """Two computations of one quantity, `off` apart; NaN counts as infinitely far."""
    off = off if isfinite(off) else float("inf")
    return Verdict(
        claim=claim, kind="identity", measured=off, predicted=0.0, low=0.0, high=tolerance, n=n, source=source,
        regime=regime,
    )  # fmt: skip


def law(claim: str, off: float, allowed: float, n: int, source: str, regime: str = "", applies: bool = True) -> Verdict:
    """A closed form from which the measurement is `off` by at most `allowed`, its stated error."""
    return Verdict(
        claim=claim, kind="law", measured=off if off == off else nan, predicted=0.0, low=0.0, high=allowed, n=n,
        source=source, regime=regime, applies=applies,
    )  # fmt: skip
