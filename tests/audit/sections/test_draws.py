"""The arms of a comparison over its label draws: means, paired differences, and what the draws have in common."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from unmask.audit.measures.health import Health
from unmask.audit.measures.part_units import Purity
from unmask.audit.protocol import Finding
from unmask.audit.sections.draws import ArmAgreement, DrawFindings, arms_section, quantities
from unmask.audit.sections.health import HealthNumbers
from unmask.audit.sections.parts import PartNumbers
from unmask.audit.sections.sufficient_views import ViewCounts, ViewNumbers
from unmask.report.blocks import Section
from unmask.runs.records import AuditDifference, Interval

MEANS = {"mrp": [2.0, 2.5, 3.1], "scratch_best": [1.5, 1.4, 2.2], "scratch_masked": [1.9, None, 2.0]}
APART = {"scratch_best": [0.4, 1.3, 0.8], "scratch_masked": [0.2, None, 1.1]}


def findings(draw: int) -> DrawFindings:
    """What two measures found on the networks of one draw."""

    def counted(mean: float | None) -> ViewNumbers:
        counts = {"images": 4, "kept": 0 if mean is None else 4, "mean": mean, "distribution": {}}
        half = None if mean is None else Interval(0.5, None, None, 1, "single")
        return ViewNumbers(
            **counts,
            shuffled=ViewCounts(**counts),
            interval=None,
            two_or_more=half,
            left_out_fill=0,
            left_out_missed=0,
            out_of_budget=0,
            evaluations=0,
            per_class={},
            per_image=[],
        )

    views = {arm: counted(means[draw]) for arm, means in MEANS.items()}
    apart = [
        AuditDifference.of("views", "mrp", arm, None if one[draw] is None else Interval(one[draw], None, None, 1, ""))
        for arm, one in APART.items()
    ]
    ranks = {arm: HealthNumbers({"first": _health(9.0), "last": _health(4.0 + draw)}) for arm in MEANS}
    return DrawFindings(
        Finding("sufficient_views", Section(""), views, apart), None, Finding("health", Section(""), ranks)
    )


def _health(rank: float) -> Health:
    return Health(12, 4, rank, rank, 0.1, 0.0, ())


AGREEMENT = {arm: ArmAgreement(0.031, 0.5) for arm in MEANS}


def test_the_last_stage_is_followed_and_parts_where_they_are_known() -> None:
    found = findings(1)
    assert quantities(found, "mrp")["effective rank of the last stage"] == 5
    assert "parts captured" not in quantities(found, "mrp")
    parts = PartNumbers(
        stage="last",
        units=2,
        signed=False,
        captured=7,
        captured_shuffled=0,
        parts=9,
        classes_whole=3,
        classes=3,
        purity=Purity(2, None, None, None),
        accuracy_whole=None,
        accuracy_alone=[0.9, 0.4],
        per_part={},
        auroc=[],
        common={},
    )
    values = quantities(replace(found, parts=Finding("parts", Section(""), {"mrp": parts})), "mrp")
    assert (values["parts captured"], values["accuracy on part 2 alone"]) == (7, 0.4)


def test_means_and_paired_differences_over_draws_are_those_of_scipy() -> None:
    """Views are paired on the images that both kept, so their difference is not that of the means."""
    finding = arms_section([findings(draw) for draw in range(3)], AGREEMENT, 0.95)
    views = finding.models["mrp"].over_draws["views per image"]
    low, high = stats.t.interval(0.95, 2, np.mean(MEANS["mrp"]), stats.sem(MEANS["mrp"]))
    assert (views.low, views.high, views.n) == (pytest.approx(low), pytest.approx(high), 3)
    rows = {(row.quantity, row.baseline): row for row in finding.differences}
    row = rows["views per image", "scratch_best"]
    assert row.mean == pytest.approx(np.mean(APART["scratch_best"]))
    assert row.low == pytest.approx(stats.t.interval(0.95, 2, row.mean, stats.sem(APART["scratch_best"]))[0])
    assert rows["views per image", "scratch_masked"].n == 2
    assert finding.models["scratch_masked"].over_draws["views per image"].n == 2
    assert rows["effective rank of the last stage", "scratch_best"].mean == 0


def test_the_table_says_every_arm_and_every_difference() -> None:
    table, together = arms_section([findings(draw) for draw in range(3)], AGREEMENT, 0.95).section.tables
    assert table.columns[1:] == (*MEANS, "mrp minus scratch_best", "mrp minus scratch_masked")
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert together.rows[0] == ("mrp", "+3.1", "0.50")
