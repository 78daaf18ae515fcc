"""The audit of a comparison: the arms over all label draws, paired, and the networks of the first draw side by side."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmask.audit.protocol import AuditData, Audited, Finding, Measure
from unmask.audit.sections.agreement import measure_agreement
from unmask.audit.sections.all_measures import MEASURES
from unmask.audit.sections.health import HealthNumbers, measure_health
from unmask.audit.sections.parts import PartNumbers, measure_parts
from unmask.audit.sections.sufficient_views import ViewNumbers, measure_views
from unmask.config import AuditConfig
from unmask.inference.estimate import paired_interval, within
from unmask.report.blocks import Section, Table
from unmask.report.words import decimal, interval_text, points, signed
from unmask.runs.records import AuditDifference, Interval

KEY = "arms"
OVER_DRAWS: tuple[Measure, ...] = (measure_views, measure_parts, measure_health)
VIEWS_AN_IMAGE = "views per image"


@dataclass(frozen=True)
class DrawFindings:
    """The quantities tracked over the label draws, for one draw."""

    views: Finding[ViewNumbers]
    parts: Finding[PartNumbers] | None
    """None if the parts are not known."""
    health: Finding[HealthNumbers]


@dataclass(frozen=True)
class ArmAgreement:
    """How far the networks of an arm, one per draw, agree."""

    ensemble_gap: float
    cka_debiased: float | None
    """CKA of the last stage, mean over all pairs; None if it cannot be measured."""


@dataclass(frozen=True)
class ArmNumbers:
    """All numbers of one arm."""

    over_draws: dict[str, Interval | None]
    """By quantity."""
    draws: list[dict[str, float | None]]
    """The quantities of every draw."""
    agreement: ArmAgreement


def audit_arms(
    draws: Sequence[Sequence[Audited]],
    controls: Sequence[Audited],
    data: AuditData,
    config: AuditConfig,
    tell: Callable[[float], None] | None = None,
) -> list[Finding[Any]]:
    """The findings of a comparison's audit.

    Args:
        draws: the networks of each label draw; a draw has one network per arm, with its name, in the same order.
        controls: networks shown beside those of the first draw.
        data: the images, the same for all.
        tell: called with the finished share of measures and draws, 0 to 1.

    Returns:
        First the arms over the draws, if there are several; then every measure of the networks of the first draw.
    """
    count, done = len(MEASURES) + (len(draws) - 1) * len(OVER_DRAWS), itertools.count(1)

    def look(measure: Measure, networks: Sequence[Audited]) -> Any:
        """What a measure finds, counted as done."""
        finding = measure(networks, data, config)
        if tell is not None:
            tell(next(done) / count)
        return finding

    first = {measure: look(measure, [*draws[0], *controls]) for measure in MEASURES}
    found = [DrawFindings(*(first[measure] for measure in OVER_DRAWS))]
    found += [DrawFindings(*(look(measure, draw) for measure in OVER_DRAWS)) for draw in draws[1:]]
    findings = [finding for finding in first.values() if finding is not None]
    if len(draws) == 1:
        return findings
    return [arms_section(found, _agreement(draws, data, config), config.confidence), *findings]


def _agreement(draws: Sequence[Sequence[Audited]], data: AuditData, config: AuditConfig) -> dict[str, ArmAgreement]:
    """Ensemble gap, and mean debiased CKA of all pairs, of each arm's networks over the draws."""
    found = {}
    for members in zip(*draws, strict=True):
        named = [Audited(str(i), one.model, one.prepare) for i, one in enumerate(members)]
        finding = measure_agreement(named, data, config)
        assert finding is not None  # there are at least two
        alike = [v for numbers in finding.models.values() for v in numbers.cka_debiased.values() if v is not None]
        gap = finding.models["0"].ensemble
        assert gap is not None  # none of them is a control
        found[members[0].name] = ArmAgreement(gap.gap, float(np.mean(alike)) if alike else None)
    return found


def quantities(found: DrawFindings, name: str) -> dict[str, float | None]:
    """The quantities tracked over the draws, for one network: the same keys for every network of an audit."""
    views = found.views.models[name]
    kept = views.two_or_more
    values: dict[str, float | None] = {
        VIEWS_AN_IMAGE: views.mean,
        "share with 2 views or more": None if kept is None else kept.mean,
    }
    if found.parts is not None:
        parts = found.parts.models[name]
        values["parts captured"] = parts.captured
        values["classes with all parts"] = parts.classes_whole
        for part, right in enumerate(parts.accuracy_alone, start=1):
            values[f"accuracy on part {part} alone"] = right
    values["effective rank of the last stage"] = list(found.health.models[name].stages.values())[-1].centered_rank
    return values


def arms_section(
    found: Sequence[DrawFindings], agreement: Mapping[str, ArmAgreement], confidence: float
) -> Finding[ArmNumbers]:
    """The arms over the label draws, and the first arm minus each other, paired over the draws.

    Views are compared on the images kept for both networks of a draw.
    """
    arms = list(agreement)
    values = {arm: [quantities(one, arm) for one in found] for arm in arms}
    names = list(values[arms[0]][0])
    ends = {q: (0.0, 1.0) if q.startswith(("share", "accuracy")) else (0.0, math.inf) for q in names}
    means = {arm: {q: _interval([row[q] for row in values[arm]], confidence, *ends[q]) for q in names} for arm in arms}
    differences = [
        AuditDifference.of(q, arms[0], other, _interval(apart, confidence))
        for other in arms[1:]
        for q, apart in _apart(found, values, arms[0], other).items()
    ]
    section = Section(
        title=f"The arms over {len(found)} label draws",
        intro=(
            "The measures below use the networks of the first label draw; here one network of every draw is used: mean "
            "over the draws and interval. Differences are paired: both arms got the same labeled images."
        ),
        tables=_tables(means, differences, agreement, len(found)),
    )
    return Finding(
        key=KEY,
        section=section,
        models={arm: ArmNumbers(means[arm], values[arm], agreement[arm]) for arm in arms},
        differences=differences,
        setting={"draws": len(found)},
    )


def _apart(
    found: Sequence[DrawFindings], values: Mapping[str, Sequence[Mapping[str, float | None]]], arm: str, baseline: str
) -> dict[str, list[float | None]]:
    """An arm minus another for every draw, by quantity; None if one of them has no value."""
    pairs = {q: [(a[q], b[q]) for a, b in zip(values[arm], values[baseline], strict=True)] for q in values[arm][0]}
    apart = {q: [None if a is None or b is None else a - b for a, b in both] for q, both in pairs.items()}
    pair = (arm, baseline)
    apart[VIEWS_AN_IMAGE] = [
        next(d.mean for d in one.views.differences if (d.model, d.baseline) == pair) for one in found
    ]
    return apart


def _tables(
    means: Mapping[str, Mapping[str, Interval | None]],
    differences: Sequence[AuditDifference],
    agreement: Mapping[str, ArmAgreement],
    draws: int,
) -> list[Table]:
    arms = list(means)
    rows = [
        (q, *(interval_text(means[arm][q], decimal) for arm in arms),
         *(interval_text(row, signed) for row in differences if row.quantity == q))
        for q in means[arms[0]]
    ]  # fmt: skip
    columns = ("quantity", *arms, *(f"{arms[0]} minus {other}" for other in arms[1:]))
    lines = [(arm, points(one.ensemble_gap), decimal(one.cka_debiased)) for arm, one in agreement.items()]
    header = ("arm", "ensemble gap, points", "debiased CKA of the last stage, mean over pairs")
    return [
        Table(f"Mean [interval] over {draws} label draws", columns, rows, numeric=True),
        Table(f"The {draws} networks of an arm, compared with each other", header, lines, numeric=True),
    ]


def _interval(
    values: Sequence[float | None], confidence: float, low: float = -math.inf, high: float = math.inf
) -> Interval | None:
    """Interval of the mean of the values; None if there are none.

    It is cut to the possible range of values.
    """
    known = [value for value in values if value is not None]
    return within(paired_interval(known, confidence), low, high) if known else None
