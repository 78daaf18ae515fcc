"""What a check says: one claim, its kind, what was measured and what was predicted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Kind = Literal["proven", "paper", "ours"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One claim and its outcome. `holds` is low <= measured <= high."""

    claim: str
    kind: Kind
    """proven: from the equations, must hold; paper: of arXiv 2206.03826 or Allen-Zhu & Li; ours: beyond them."""
    measured: float
    predicted: float
    low: float
    high: float
    n: int
    """Independent units behind `measured` (kernels, samples, configurations or seeds; the claim says which)."""
    regime: str = ""
    """Where it was tested."""

    @property
    def holds(self) -> bool:
        """Whether the measured value lies in [low, high]; NaN (there was nothing to test) never does."""
        return self.low <= self.measured <= self.high

    @property
    def outcome(self) -> Literal["holds", "fails", "empty"]:
        """holds or fails; empty where nothing was there to test."""
        return "holds" if self.holds else "fails" if self.measured == self.measured else "empty"

    def as_dict(self) -> dict[str, object]:
        """The row that is printed and stored; infinities become None, which JSON can hold."""
        row = {**asdict(self), "holds": self.holds}
        return {
            key: None if isinstance(v, float) and (v != v or abs(v) == float("inf")) else v for key, v in row.items()
        }


def failed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The proven claims that do not hold."""
    return [v for v in verdicts if v.kind == "proven" and not v.holds]


def as_text(verdicts: Sequence[Verdict]) -> str:
    """A table for a terminal; "empty" marks claims of which nothing was there to test."""
    lines = [f"{'':5} {'kind':7} {'measured':>10} {'predicted':>10} {'low':>9} {'high':>9} {'n':>6}  claim"]
    for v in verdicts:
        mark = "FAILS" if v.outcome == "fails" else v.outcome
        numbers = f"{v.measured:10.4g} {v.predicted:10.4g} {v.low:9.4g} {v.high:9.4g} {v.n:6d}"
        lines.append(f"{mark:5} {v.kind:7} {numbers}  {v.claim}")
    return "\n".join(lines)
