"""The checks themselves: they hold where they must, and can fail."""

import json
import math
from dataclasses import replace

import pytest
import torch

from unmask.cli.theory import Verify
from unmask.errors import UserError
from unmask.theory import problem
from unmask.theory.broken_assumptions import BREAKS, broken
from unmask.theory.capture import captured, coverage, features_per_kernel, purity, views_per_class
from unmask.theory.checks_binding import bound_share
from unmask.theory.checks_coverage import chance_check, coverage_checks, unbound_check
from unmask.theory.checks_data import data_checks, labels_check
from unmask.theory.checks_exact import (
    activation_check,
    bisect_mask_ratio,
    decoupling_check,
    fixed_point_check,
    gradient_check,
    growth_window_check,
    mask_integral_check,
    pixel_gradient_check,
    plain,
    supervised_gradient_check,
)
from unmask.theory.checks_objectives import block_integral_check, contrastive_integral_check
from unmask.theory.distribution import Distribution
from unmask.theory.experiment import Experiment, run_experiment
from unmask.theory.jobs import JobsHere, threads
from unmask.theory.laws import OneFeature, critical_mask_ratio, one_feature
from unmask.theory.occupancy import coverage_bands, covered, time_of_full_coverage
from unmask.theory.presets import paper_small
from unmask.theory.problem import world
from unmask.theory.setting import Setting, require_growth_window
from unmask.theory.teacher_student_flow import pretrain
from unmask.theory.verdict import Verdict, as_text, attempt, failed, tally
from unmask.theory.verify import all_checks

SMALL = paper_small()


def verdict(measured: float, kind: str = "law") -> Verdict:
    return Verdict(claim="c", kind=kind, measured=measured, predicted=1.0, low=0.9, high=1.1, n=3)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("check", [gradient_check, mask_integral_check, decoupling_check, supervised_gradient_check])
def test_exact_on_the_preset(check) -> None:
    assert check(SMALL).holds


@pytest.mark.parametrize("check", [activation_check, fixed_point_check, growth_window_check, pixel_gradient_check])
def test_exact_in_general(check) -> None:
    assert check().holds


@pytest.mark.parametrize("first", range(1000, 1200, 10))
def test_identities_hold_for_other_seeds(first: int) -> None:
    """The seeds of benchmarks/theory_seed_ranges.py, which has the laws, too."""
    drawn = [gradient_check(SMALL, first), supervised_gradient_check(SMALL, first), pixel_gradient_check(first)]
    assert failed([*drawn, block_integral_check(first), contrastive_integral_check(first)]) == []


def test_another_seed_draws_another_identity_check() -> None:
    assert gradient_check(SMALL, 1000).measured != gradient_check(SMALL, 1010).measured


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 2])
def test_critical_mask_ratio_by_bisection(members: int) -> None:
    equal = replace(SMALL.data, own=(1.0, 1.0), others=0.0, noise=0.0)
    s = replace(SMALL, data=equal, samples=60)
    predicted = critical_mask_ratio(s.power, s.teacher_scale, s.gain, members)
    assert abs(bisect_mask_ratio(s, members) - predicted) < 0.005


def test_masking_binds_a_partner_view_and_no_mask_does_not() -> None:
    s = replace(SMALL, samples=150)
    assert bound_share(s)[0] == 1.0
    assert bound_share(replace(s, mask_ratio=0.0))[0] == 0.0


def test_occupancy_law_has_its_closed_form() -> None:
    s = replace(SMALL, samples=200)
    w = world(s, 0)
    law = one_feature(w.unlabeled(), w.v, s)
    when = time_of_full_coverage([law], s.init_scale, 40, 0.6)
    bands = coverage_bands([law], s.init_scale, torch.tensor([when, 1e14], dtype=torch.float64), [40], replicates=600)
    some = 1 - float((1 - law.chance(when, s.init_scale)).prod())
    assert abs(float(bands.mean[0, 0]) - (1 - (1 - some / 20) ** 40)) < 0.03
    assert abs(float(bands.mean[1, 0]) - (1 - (1 - 1 / 20) ** 40)) < 0.02
    assert 2 < bands.critical < 5
    assert torch.allclose(bands.high - bands.mean, bands.critical * bands.spread)


def test_covered_counts_leaders_that_are_in_time() -> None:
    time = torch.tensor([[1.0, 5.0, torch.inf, 2.0]], dtype=torch.float64)
    leader = torch.tensor([[0, 1, -1, 0]])
    share = covered(time, leader, torch.tensor([0.5, 1.5, 9.0], dtype=torch.float64), [1, 4], 4)
    assert share[0].tolist() == [[0.0, 0.0], [0.25, 0.25], [0.25, 0.5]]


def test_capture_measures() -> None:
    held = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    assert float(coverage(held)) == 0.5
    assert float(features_per_kernel(held)) == 1.5
    assert float(purity(held)) == 0.5
    assert views_per_class(held, 2).tolist() == [2, 0]
    assert not captured(torch.full((1, 2, 3), 0.01), SMALL).any()


def test_every_break_is_a_possible_setting_that_differs() -> None:
    for name in BREAKS:
        assert broken(SMALL, name) != SMALL
    with pytest.raises(UserError, match="break"):
        broken(SMALL, "nothing")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quadratic", "window", "mask", "missing", "few_kernels"])
def test_a_broken_assumption_ends_in_verdicts_and_breaks_no_law(
    tiny: Setting, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Laws are claimed where they hold: elsewhere they are outside their regime, or hold still."""
    monkeypatch.setattr("unmask.theory.verify.objective_checks", lambda seed: [])
    monkeypatch.setattr("unmask.theory.verify.learner_checks", lambda seed: [])
    with threads(1) as pool:
        run, verdicts = all_checks(broken(replace(tiny, samples=80, labeled=80), name), [0], JobsHere(pool))
    assert run is not None
    assert failed(verdicts) == []
    assert any(v.outcome == "fails" for v in verdicts)


def test_breaking_the_window_is_refused_without_break_and_changes_growth() -> None:
    for name in ("window", "mask"):
        with pytest.raises(UserError, match="teacher_scale"):
            require_growth_window(broken(SMALL, name))
    w = world(replace(broken(SMALL, "mask"), samples=100), 0)
    law = one_feature(w.unlabeled(), w.v, w.setting)
    assert time_of_full_coverage([law], w.setting.init_scale, w.setting.kernels) == float("inf")


def test_missing_features_are_absent_from_pretraining_only() -> None:
    w = world(replace(broken(SMALL, "missing"), data=replace(SMALL.data, noise=0.0)), 0)
    assert float((w.unlabeled().x @ w.v[:5].T).abs().max()) < 1e-6
    assert float((w.labeled().x @ w.v[:5].T).abs().max()) > 1.0


def test_the_time_of_full_coverage_is_that_of_the_features_the_data_show() -> None:
    w = world(broken(SMALL, "missing"), 0)
    s, law = w.setting, one_feature(w.unlabeled(), w.v, w.setting)
    when = time_of_full_coverage([law], s.init_scale, s.kernels, 0.9, s.missing)
    shares = 1 - (1 - law.chance(when, s.init_scale)) ** s.kernels
    assert float(shares[s.missing :].mean()) == pytest.approx(0.9, abs=1e-6)
    above = 0.5 * math.erfc(float(law.start[-1]) / (s.init_scale * math.sqrt(2)))
    assert shares[: s.missing].tolist() == pytest.approx([1 - (1 - above) ** s.kernels] * s.missing), "the start only"
    assert when < 1e6 < time_of_full_coverage([law], s.init_scale, s.kernels, 0.9)


def test_exit_code_and_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for kind, measured, code in (("law", 1.0, 0), ("identity", float("nan"), 1), ("paper", 2.0, 0)):
        found = [verdict(measured, kind)]
        monkeypatch.setattr("unmask.theory.verify.verify", lambda *_, found=found, **__: found)
        assert Verify(json=True).run() == code
        (row,) = json.loads(capsys.readouterr().out)
        assert {"claim", "kind", "holds", "measured", "predicted", "low", "high", "n"} <= set(row)
    assert "FAILS" in as_text([verdict(2.0)])
    assert "outside" in as_text([replace(verdict(2.0), applies=False)])
    assert failed([verdict(2.0, "paper"), replace(verdict(2.0), applies=False)]) == []


def test_of_starts_above_the_capture_level_the_largest_leads() -> None:
    """As in the flow; no feature is favored by its number."""
    s = replace(broken(SMALL, "large_start"), samples=200)
    w = world(s, 0)
    law = one_feature(w.unlabeled(), w.v, s)
    starts = s.init_scale * torch.randn(4000, s.data.features, generator=torch.Generator().manual_seed(0))
    time, leader = law.capture_times(starts).min(-1)
    above = time < 0
    assert above.double().mean() > 0.9
    assert torch.equal(leader[above], starts.argmax(-1)[above])
    counts = torch.bincount(leader[above], minlength=s.data.features).double()
    assert counts.max() / counts.min() < 2


def test_the_closed_gradient_holds_at_every_power() -> None:
    """What counts as silent depends on the number type: in float64 patches of a/ϱ = 1e-5 still pull at q = 2."""
    for q in (2, 3, 4, 6):
        assert gradient_check(replace(SMALL, power=q, samples=120)).holds


def test_kernels_that_several_features_drive_away_are_held() -> None:
    """b < τ < B: finite with one feature, without bound with two; no preset, no command takes it for a window."""
    s = replace(SMALL, gain=1.2, teacher_scale=1.6, mask_ratio=0.368, kernels_per_class=2, samples=100)
    assert s.gain < s.teacher_scale < s.effective_gain < s.teacher_scale**s.power
    with pytest.raises(UserError, match=r"gain b = 1\.2 must be above tau"):
        require_growth_window(s)
    flow = pretrain([world(s, 0)], torch.tensor([1e5]))
    assert flow.weights.isfinite().all()
    assert float(flow.correlation.max()) < 3 * s.threshold


def test_a_capture_after_the_last_time_is_none() -> None:
    w = world(replace(SMALL, samples=100), 0)
    whole = pretrain([w], torch.tensor([1e6]), through_capture=False).capture_time
    last = float(whole.median())
    part = pretrain([w], torch.tensor([last]), through_capture=False)
    assert torch.equal(part.capture_time.isfinite(), whole <= last)
    assert torch.equal(part.leader < 0, whole > last)


def test_where_nothing_is_captured_purity_is_empty() -> None:
    nothing = torch.zeros(3, 4, dtype=torch.bool)
    assert purity(nothing).isnan()
    assert features_per_kernel(nothing).isnan()
    empty = Verdict(claim="x", kind="ours", measured=float("nan"), predicted=1.0, low=0.0, high=1.0, n=0)
    assert not empty.holds
    assert "empty" in as_text([empty])


def test_rounding_does_not_wake_what_a_kernel_has_nothing_of() -> None:
    """At q = 2, just past the ratio at which one view grows alone, the other view would grow out of float32's noise."""
    assert abs(bisect_mask_ratio(plain(1, power=2, gain=1.6), 1) - critical_mask_ratio(2, 1.4, 1.6, 1)) < 0.03


def test_the_tally_counts_each_kind_where_it_is_claimed() -> None:
    good, bad = verdict(1.0, "paper"), verdict(2.0, "paper")
    outside = replace(bad, applies=False)
    said = "Claims that hold: 0 of 0 identities, 0 of 0 laws, 2 of 3 of the papers, 0 of 0 of ours"
    assert tally([good, good, bad]) == f"{said}."
    assert tally([good, good, bad, outside]) == f"{said}; 1 not in their regime."


def test_a_check_that_cannot_be_computed_is_a_failing_law() -> None:
    (row,) = attempt("the ratio", lambda: [verdict(1.0 / (1.0 - 1.0))])
    assert (row.kind, row.outcome) == ("law", "fails")
    assert "ZeroDivisionError" in row.regime
    assert failed([row]) == [row]


@pytest.fixture(scope="module")
def run(tiny: Setting) -> Experiment:
    return run_experiment(tiny, [0, 1])


@pytest.mark.slow
def test_the_laws_of_capture_hold_on_the_tiny_setting(run: Experiment) -> None:
    assert failed([*coverage_checks(run), unbound_check(run.setting)]) == []


@pytest.mark.slow
def test_twice_the_chance_of_capture_is_noticed(run: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    right = OneFeature.chance
    assert chance_check(run).holds
    monkeypatch.setattr(OneFeature, "chance", lambda *given: 2 * right(*given))
    assert not chance_check(run).holds


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"noise": 0.002}, {"noise": 0.0}),
        ({"others": 2.0}, {"others": 0.0}),
        ({"single_share": 0.0}, {"single_share": 0.3}),
        ({"own": (1.0, 1.2)}, {"own": (1.0, 1.6)}),
    ],
)
def test_data_of_another_distribution_are_noticed(
    tiny: Setting, old: dict, new: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is drawn is not what the setting says."""
    assert failed(data_checks(tiny)) == []
    right = problem.sample

    def wrong(dist: Distribution, *given):
        same = all(getattr(dist, name) == value for name, value in old.items())
        return right(replace(dist, **new) if same else dist, *given)

    monkeypatch.setattr(problem, "sample", wrong)
    assert failed(data_checks(tiny)) != []


def test_more_labels_than_asked_for_are_noticed(tiny: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    w = world(tiny, 0)
    assert labels_check(w).holds
    monkeypatch.setattr(problem.World, "few", lambda self: self.labeled())
    assert not labels_check(w).holds
