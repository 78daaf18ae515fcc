"""An arm is one entry: planned, trained, paired, judged and shown by its fields alone."""

from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from unmask.comparison.plan import Materials, TrialKey, audited_trials, trial_config
from unmask.comparison.run import compare
from unmask.config import ARMS, JUDGED, Arm, ClassifyRecipe, CompareConfig, OptimizerConfig
from unmask.errors import UserError
from unmask.inference.baseline import comparisons, rank_scratch
from unmask.inference.table import Table
from unmask.report.palette import look
from unmask.runs.files import read_json

PROBE = Arm(
    name="probe_made_up",
    title="Probe of given weights",
    meaning="linear probe on the frozen encoder that was given",
    start="given",
    frozen=True,
    baseline_of=("probe_mrp",),
    default=False,
)
RECIPE = ClassifyRecipe(optimizer=OptimizerConfig(steps=4, batch_size=8, lr=3e-3), head_steps=1)


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> CompareConfig:
    """A comparison of the judged arm, two probes and an arm that nothing but this file knows."""
    monkeypatch.setitem(ARMS, PROBE.name, PROBE)
    return tiny.comparison(
        finetune=RECIPE,
        arms=(JUDGED, "probe_mrp", PROBE.name),
        given="weights.safetensors",
        jobs=1,
    )


@pytest.mark.slow
def test_an_arm_is_one_entry(config: CompareConfig, tmp_path: Path) -> None:
    """A made-up frozen arm from given weights is trained, paired and on the page, though nothing else knows it."""
    first = compare(replace(config, arms=(JUDGED,), given=None), tmp_path / "first", progress=False)
    weights = first / "pretrain" / "seed_0" / "encoder.safetensors"
    folder = compare(replace(config, given=str(weights)), tmp_path / "table", progress=False)
    trials = sorted(file.stem for file in (folder / "trials").glob("probe_made_up*.json"))
    assert trials == ["probe_made_up-b3-d0", "probe_made_up-b3-d1"]
    known, own = (read_json(folder / "trials" / f"{name}.json") for name in ("probe_mrp-b3-d0-p0", trials[0]))
    assert own["metrics"] == known["metrics"]  # frozen, and from the same weights: the same probe
    pairs = {(row["arm"], row["baseline"]) for row in read_json(folder / "summary.json")["differences"]}
    assert ("probe_mrp", "probe_made_up") in pairs
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert PROBE.title in page
    assert PROBE.meaning in page


def test_it_needs_its_weights(config: CompareConfig) -> None:
    """As every arm that starts from given weights."""
    with pytest.raises(UserError, match="give weights with `given`: probe_made_up starts from them"):
        replace(config, given=None)
    with pytest.raises(UserError, match="`given` has no effect"):
        replace(config, arms=(JUDGED,))


def test_every_field_is_planned(config: CompareConfig) -> None:
    """Start, schedule and hidden cells each become their part of the training, together too."""
    arm = replace(PROBE, frozen=False, schedule="best", hides_cells=True, audited=True)
    ARMS[PROBE.name] = arm
    other = replace(RECIPE, head_steps=0)
    config = replace(config, scratch_candidates=(RECIPE, other))
    one = trial_config(config, TrialKey(3, 0, arm.name, None), 1, Materials(encoders={}, seen=60, sizes=(20, 20, 20)))
    assert (one.init, one.recipe.head_steps, one.hide_cells, one.hide_cell) == (config.given, 0, 0.75, 4)
    assert arm.name in {key.arm for key in audited_trials(config)[0]}


def test_who_competes_is_a_field(config: CompareConfig) -> None:
    """The baseline of the verdict is chosen among the arms that say so, whatever they are called."""
    table: Table = {
        (name, 10, "val", "accuracy"): {(None, 0): value} for name, value in (("scratch_same", 0.5), (PROBE.name, 0.7))
    }
    arms = ("scratch_same", PROBE.name)
    assert _best(table, arms) == "scratch_same"
    ARMS[PROBE.name] = replace(PROBE, competes=True, baseline_of=(JUDGED,))
    assert _best(table, arms) == PROBE.name
    assert [pair[1:] for pair in comparisons(arms, PROBE.name)] == [
        ("best scratch arm", PROBE.name),
        *((arm, arm) for arm in arms),
    ]


def _best(table: Table, arms: tuple[str, ...]) -> str | None:
    ranking = rank_scratch(table, arms, 10)
    return None if ranking is None else ranking.best


def test_arms_look_different(config: CompareConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those without a look of their own, and a name that no arm has."""
    monkeypatch.setitem(ARMS, "another", replace(PROBE, name="another"))
    looks = {(seen.color, seen.marker, seen.line) for seen in map(look, [*ARMS, "unknown"])}
    assert len(looks) == len(ARMS) + 1


def test_names_are_those_of_the_table() -> None:
    """An entry is found by its own name, and pairs name arms that exist."""
    for name, arm in ARMS.items():
        assert arm.name == name
        assert arm.title
        assert arm.meaning
        assert set(arm.baseline_of) <= set(ARMS)
