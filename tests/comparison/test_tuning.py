"""The tuning draws: every alternative is tried with each of its recipes, and validation images choose what goes on."""

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from unmask.comparison.candidates import arms_of, candidates, leader
from unmask.comparison.plan import Materials, TuningKey, all_trials, trial_config, tuning_config
from unmask.comparison.run import compare
from unmask.comparison.tasks import Work, newly_decided
from unmask.comparison.tuning import Choice, choose_recipes, first_keys, following_keys, read_correct, tuned_arms
from unmask.config import ARMS, ClassifyRecipe, CompareConfig, OptimizerConfig
from unmask.data.load import load_data
from unmask.errors import UserError
from unmask.runs.files import read_json, write_json
from unmask.runs.layout import TUNING, TUNING_OUTPUTS
from unmask.runs.trial_records import TuningResult
from unmask.runs.trials import read_tuning
from unmask.tasks.classification import Classification
from unmask.training.checkpoint import save_tensors

SCRATCH = ("scratch_same", "scratch_best")
TASK = Classification(classes=("a", "b"))
RECIPE = ClassifyRecipe(optimizer=OptimizerConfig(steps=4, batch_size=8, lr=3e-3), head_steps=1)


@pytest.fixture
def config() -> CompareConfig:
    """Nothing asked for: all arms are tried."""
    return tiny.comparison(
        finetune=RECIPE,
        scratch_schedules=("4", "6", "6@1e-3"),
        budgets=(3, 5),
        tuning_draws=2,
        jobs=1,
    )


def test_every_alternative_is_tried_with_each_of_its_recipes(config: CompareConfig) -> None:
    """Controls that nobody would use are not; arms that follow another arm's recipe come after it, with that recipe."""
    first = first_keys(config)
    assert len(set(first)) == len(first)
    counts = {arm: len({key.candidate for key in first if key.arm == arm}) for arm in {key.arm for key in first}}
    assert counts == {"mrp": 2, "scratch_best": 3, "probe_mrp": 1}
    chosen = {(b, arm.name): b % len(candidates(config, arm)) for b in config.budgets for arm in arms_of(config)}
    follow = following_keys(config, chosen)
    assert {key.arm for key in follow} == {"scratch_same", "scratch_compute", "scratch_masked"}
    assert all(key.candidate == chosen[key.budget, key.arm] for key in follow)
    assert {(key.budget, key.draw) for key in first} == {(b, t) for b in (3, 5) for t in (0, 1)}
    assert tuned_arms(replace(config, arms=("scratch_same",))) == []


def test_an_arm_follows_as_soon_as_its_leader_has_chosen(config: CompareConfig, tmp_path: Path) -> None:
    """At each budget by itself; the last missing trial of its leader holds it back, those of other arms do not."""
    keys = [key for key in first_keys(config) if key.arm == "scratch_best"]
    for key in keys[:-1]:
        result = TuningResult(
            arm=key.arm,
            budget=key.budget,
            draw=key.draw,
            candidate=key.candidate,
            val_score=key.candidate / 2,
            seconds=1,
        )
        write_json(TUNING.path(tmp_path, key.name), result)
    open_budget = keys[-1].budget
    (decided,) = {key.budget for key in keys} - {open_budget}
    chosen = choose_recipes(config, tmp_path)
    assert chosen[decided, "scratch_compute"] == 2
    assert (open_budget, "scratch_compute") not in chosen
    assert (decided, "scratch_same") not in chosen, "mrp has not chosen"
    follow = following_keys(config, chosen)
    assert {(key.arm, key.budget, key.candidate) for key in follow} == {("scratch_compute", decided, 2)}
    assert len(follow) == config.tuning_draws
    work = Work(config, tmp_path, load_data(tiny.DATA, labels=True, progress=False))
    assert [task[1][1] for task in work.decided_trials(chosen)] == follow


def test_every_tuning_record_is_read_once(
    config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often is asked what is decided; each decided trial joins once, and all of them do."""
    read, joined = list[Path](), list[TuningKey]()

    def noted(file: Path) -> TuningResult:
        read.append(file)
        return read_tuning(file)

    monkeypatch.setattr("unmask.comparison.tuning.read_tuning", noted)
    joining = newly_decided(Work(config, tmp_path, load_data(tiny.DATA, labels=True, progress=False)))
    for key in first_keys(config):
        value = 1 / (1 + key.candidate)
        result = TuningResult(
            arm=key.arm, budget=key.budget, draw=key.draw, candidate=key.candidate, val_score=value, seconds=1
        )
        write_json(TUNING.path(tmp_path, key.name), result)
        joined += [task[1][1] for task in joining()]
    assert len(read) == len(set(read)) == len(first_keys(config))
    everything = following_keys(config, choose_recipes(config, tmp_path))
    assert sorted(map(str, joined)) == sorted(str(key) for key in everything if not ARMS[key.arm].is_pretrained)


def test_arms_that_follow_differ_from_their_leader_in_one_thing(config: CompareConfig) -> None:
    """scratch_same is mrp with other weights whatever mrp chose; scratch_compute is scratch_best, for longer."""
    materials = Materials(encoders={"mrp": [Path("p0")]}, seen=600, sizes=(20, 20, 20))
    assert leader(config, ARMS["scratch_same"]) is ARMS["mrp"]
    for candidate in range(2):
        mrp, same = (
            tuning_config(config, TuningKey(3, 1, arm, candidate), materials) for arm in ("mrp", "scratch_same")
        )
        assert replace(mrp, init=None) == same
    best, longer = (tuning_config(config, TuningKey(3, 0, f"scratch_{a}", 2), materials) for a in ("best", "compute"))
    assert (best.recipe.optimizer.steps, best.recipe.optimizer.lr, best.recipe.head_steps) == (6, 1e-3, 0)
    changed = replace(longer.recipe.optimizer, steps=best.recipe.optimizer.steps)
    assert replace(longer, recipe=replace(longer.recipe, optimizer=changed)) == best
    assert longer.recipe.optimizer.steps > 6


def test_given_weights_have_recipes_that_do_not_forget(config: CompareConfig) -> None:
    own, low, kept, head_first = candidates(replace(config, given="x"), ARMS["given"])
    assert own == RECIPE
    assert (low.encoder_lr_scale, low.freeze_batchnorm) == (0.1, False)
    assert kept == replace(low, freeze_batchnorm=True)
    assert head_first.head_steps >= low.head_steps
    assert {"given", "given_mrp", "probe_given"} <= {arm.name for arm in arms_of(replace(config, given="x"))}


@pytest.mark.parametrize("text", ["", "many", "3@fast", "@1e-3"])
def test_a_schedule_that_is_none_is_refused(config: CompareConfig, text: str) -> None:
    with pytest.raises(UserError, match="expected steps, or steps@rate"):
        replace(config, scratch_schedules=(text,))


def _write(config: CompareConfig, out: Path, keys: list[TuningKey], shares: dict[tuple[str, int], float]) -> None:
    """Tuning trials that get a share of 400 validation images of class 0 right, others at random for each."""
    for key in keys:
        share = shares.get((key.arm, key.candidate), 0.3)
        right = np.random.default_rng(zlib.crc32(key.name.encode())).permutation(400) < 400 * share
        save_tensors(TUNING_OUTPUTS.path(out, key.name), {"val": torch.from_numpy(~right).int()}, {})
        result = TuningResult(
            arm=key.arm, budget=key.budget, draw=key.draw, candidate=key.candidate, val_score=share, seconds=1.0
        )
        write_json(TUNING.path(out, key.name), result)


def test_validation_chooses_recipes_baseline_and_answer(config: CompareConfig, tmp_path: Path) -> None:
    """The best recipe of each arm; of the arms the best scratch arm and the two best alternatives, beside mrp."""
    shares = {("mrp", 1): 0.4, ("scratch_best", 2): 0.6, ("scratch_compute", 2): 0.9, ("probe_mrp", 0): 0.8}
    _write(config, tmp_path, first_keys(config), shares)
    recipes = choose_recipes(config, tmp_path)
    assert {name: recipes[3, name] for name in ("mrp", "scratch_same", "scratch_best", "scratch_compute")} == {
        "mrp": 1,
        "scratch_same": 1,
        "scratch_best": 2,
        "scratch_compute": 2,
    }
    _write(config, tmp_path, following_keys(config, recipes), shares)
    correct = read_correct(config, tmp_path, recipes, TASK, torch.zeros(400, dtype=torch.int64))
    assert {arm: float(values.mean()) for arm, values in correct[5].items()} == pytest.approx(
        {"mrp": 0.4, "scratch_compute": 0.9, "scratch_best": 0.6, "scratch_same": 0.3, "probe_mrp": 0.8}
        | {"scratch_masked": 0.3}
    )
    choice = Choice(recipes, correct)
    assert choice.reported(config) == ("mrp", "scratch_compute", "probe_mrp", "probe_random")
    asked = replace(config, arms=("scratch_same", "mrp"))
    assert choice.reported(asked) == choice.needed(asked) == ("scratch_same", "mrp")


def test_rivals_are_reported_and_not_needed(config: CompareConfig, tmp_path: Path) -> None:
    """Of arms that validation cannot tell apart one is needed; arms that were asked for all are."""
    recipes = choose_recipes(config, tmp_path)
    equal = {arm: np.random.default_rng(0).permutation(400)[None].repeat(2, 0) % 2.0 for arm in ("mrp", "scratch_best")}
    rivals = {"scratch_same": np.random.default_rng(1).permutation(400)[None].repeat(2, 0) % 2.0}
    choice = Choice(recipes, {3: {**equal, **rivals}})
    assert choice.reported(config) == ("mrp", "scratch_same", "scratch_best", "probe_mrp", "probe_random")
    assert choice.needed(config) == ("mrp", "scratch_best", "probe_mrp", "probe_random")


def test_the_best_arms_of_other_weights_are_needed(config: CompareConfig) -> None:
    """The recommended arm is judged against the best from other starting weights, wherever validation ranks it."""
    shares = {"mrp": 0.95, "probe_mrp": 0.8, "given": 0.6, "given_mrp": 0.4, "scratch_best": 0.2, "scratch_same": 0.1}
    correct = {arm: np.tile(np.arange(400.0) < 400 * share, (2, 1)) * 1.0 for arm, share in shares.items()}
    choice = Choice({}, {3: correct})
    needed = set(choice.needed(replace(config, given="weights.safetensors")))
    assert {"mrp", "given", "scratch_best"} <= needed
    assert not {"given_mrp", "scratch_same"} & needed


def test_scratch_arms_that_are_equally_good_are_all_reported(config: CompareConfig) -> None:
    """A gain must hold against each of them, however far they are behind the pretrained arm."""
    half = {arm: np.random.default_rng(seed).permutation(400) % 2.0 for seed, arm in enumerate(SCRATCH)}
    correct = {arm: np.tile(values, (2, 1)) for arm, values in half.items()} | {"mrp": np.ones((2, 400))}
    choice = Choice({}, {3: correct})
    assert set(SCRATCH) <= set(choice.reported(config))
    assert len(set(SCRATCH) & set(choice.needed(config))) == 1


def test_recipes_are_chosen_by_the_least_error(config: CompareConfig, tmp_path: Path) -> None:
    """Where the metric is an error, the highest one is not taken for the best."""
    one = replace(config, arms=("scratch_best",), budgets=("total:5",), metric="mae")
    for key in first_keys(one):
        error = {0: 0.9, 1: 0.2}.get(key.candidate, 0.5)
        found = {"arm": key.arm, "budget": key.budget, "draw": key.draw, "candidate": key.candidate}
        write_json(TUNING.path(tmp_path, key.name), TuningResult(val_score=error, seconds=1.0, **found))
    assert choose_recipes(one, tmp_path)["total:5", "scratch_best"] == 1


def test_images_that_could_not_be_read_are_unknown(config: CompareConfig, tmp_path: Path) -> None:
    one = replace(config, arms=("mrp", "probe_mrp"), budgets=(3,), tuning_draws=1)
    recipes = {(3, "mrp"): 0, (3, "probe_mrp"): 0}
    for key in first_keys(one):
        save_tensors(TUNING_OUTPUTS.path(tmp_path, key.name), {"val": torch.tensor([0, 1, -1]).int()}, {})
    right = read_correct(one, tmp_path, recipes, TASK, torch.zeros(3, dtype=torch.int64))[3]["mrp"]
    np.testing.assert_array_equal(right, [[1.0, 0.0, float("nan")]])


@pytest.mark.slow
def test_what_the_tuning_leaves_is_trained_and_no_more(config: CompareConfig, tmp_path: Path) -> None:
    """The whole way; tuning draws share no image with reported ones. More draws leave finished trials as they are."""
    small = replace(config, budgets=(3,))
    folder = compare(small, tmp_path / "run", progress=False)
    tuned = {read_json(file)["arm"] for file in (folder / "tuning").glob("*.json")}
    assert tuned == {arm.name for arm in tuned_arms(small)}
    reported = {read_json(file)["arm"] for file in (folder / "trials").glob("*.json")}
    assert {"mrp", "probe_mrp", "probe_random"} < reported
    keys = all_trials(replace(small, arms=tuple(reported)))
    assert {key.name for key in keys} == {file.stem for file in (folder / "trials").glob("*.json")}
    materials = Materials(encoders={"mrp": [Path("p0")]}, seen=60, sizes=(20, 20, 20))
    used = {trial_config(small, key, 0, materials).subset_index for key in keys}
    assert not used & {tuning_config(small, key, materials).subset_index for key in first_keys(small)}
    before = {file.name: file.read_bytes() for file in (folder / "trials").iterdir()}
    compare(replace(small, draws=3), folder, resume=True, progress=False)
    after = {file.name: file.read_bytes() for file in (folder / "trials").iterdir()}
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) * 3 // 2
    assert read_json(folder / "config.json")["draws"] == 3
    with pytest.raises(UserError, match=r"draws = 2: .* has 3; give as many or more"):
        compare(small, folder, resume=True, progress=False)
