"""The plan of a comparison: which trials there are, what pairs them, and how long each trains."""

import itertools
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from unmask.comparison.candidates import arms_of, candidates, compute_steps
from unmask.comparison.cost import with_pretrainings
from unmask.comparison.plan import (
    Materials,
    TrialKey,
    TuningKey,
    all_trials,
    audited_trials,
    trial_config,
    tuning_config,
)
from unmask.comparison.pretrained_runs import images_seen
from unmask.comparison.tuning import first_keys, following_keys
from unmask.config import ARMS, AugmentConfig, CompareConfig
from unmask.config.comparison import DEFAULT_DRAWS


def test_trials_cover_the_design_once(config: CompareConfig) -> None:
    """Diagonal: every arm once per budget and draw. Crossed: as often as there are pretrainings, scratch too."""
    for design, times in (("diagonal", 1), ("crossed", 3)):
        trials = all_trials(replace(config, pretrainings=3, design=design))
        assert len({key.name for key in trials}) == len(trials)
        assert Counter(key.arm for key in trials) == dict.fromkeys(config.arms, 2 * 2 * times)


@given(st.integers(1, 5), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_pretrainings_take_turns(pretrainings: int, draws: int) -> None:
    """No encoder has two draws more than another, the crossed design gives all to each, and scratch has as many."""
    config = CompareConfig(arms=("mrp", "scratch_same"), pretrainings=pretrainings, draws=draws, budgets=(10,))
    even = draws // pretrainings
    for design, allowed in (("diagonal", {even, even + (draws % pretrainings > 0)}), ("crossed", {draws})):
        trials = [key for key in all_trials(replace(config, design=design)) if key.budget == 10]
        turns = Counter(key.pretraining for key in trials if key.arm == "mrp")
        assert {turns[index] for index in range(pretrainings)} <= allowed
        assert sum(turns.values()) == sum(key.arm == "scratch_same" for key in trials)


def test_draws_and_training_seeds_are_told_apart(config: CompareConfig) -> None:
    """Trainings of one draw share its images and differ in their seed; tuning has images of its own."""
    crossed = replace(config, pretrainings=2, design="crossed", arms=("mrp", "scratch_same"))
    materials = Materials(encoders={"mrp": [Path("p0"), Path("p1")]}, seen=60, sizes=(20, 20, 20))
    made = {key: trial_config(crossed, key, 0, materials) for key in all_trials(crossed)}
    for (key, one), (other, two) in itertools.combinations(made.items(), 2):
        assert (one.subset_index == two.subset_index) == (key.draw == other.draw)
        assert (one.seed == two.seed) == ((key.draw, key.repeat) == (other.draw, other.repeat))
    keys = [TuningKey(3, draw, "mrp", 0) for draw in range(crossed.tuning_draws)]
    tuned = {tuning_config(crossed, key, materials).subset_index for key in keys}
    assert len(tuned) == len(keys)
    assert not tuned & {one.subset_index for one in made.values()}


@pytest.mark.parametrize(("epochs", "expected"), [(1, 5), (20, 3), (1000, 1)])
def test_several_pretrainings_where_they_are_cheap(config: CompareConfig, epochs: int, expected: int) -> None:
    """Less than a third of the comparison, whatever the draws asked for: with more of them it goes on unchanged."""
    recipe = tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, epochs=epochs, batch_size=16)
    for draws in (1, 20):
        asked = replace(config, pretrainings=None, pretrain=recipe, draws=draws)
        settled = with_pretrainings(asked, pretrain_images=60, sizes=(20, 20, 20), evaluated=0)
        assert settled == replace(asked, pretrainings=expected)
    assert with_pretrainings(config, pretrain_images=60, sizes=(20, 20, 20), evaluated=0) == config


def test_evaluation_makes_pretrainings_cheaper(config: CompareConfig) -> None:
    """P pretrainings of 30,000 images cost a third where trainings cost 2 P 30,000 images: here by evaluation, an image
    at a third; the few labeled images of the trainings are less than 5 % of it."""
    recipe = tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, epochs=500, batch_size=16)
    asked = replace(config, pretrainings=None, pretrain=recipe)
    best = {(budget, arm.name): 0 for budget in asked.budgets for arm in arms_of(asked)}
    tuning = [*first_keys(asked), *following_keys(asked, best)]
    trainings = len(tuning) + len(all_trials(replace(asked, draws=DEFAULT_DRAWS)))
    for count, fewer in ((5, 3), (3, 1)):
        enough = 3 * 2 * count * 30_000 / trainings
        for share, expected in ((1.0, count), (0.95, fewer)):
            settled = with_pretrainings(
                asked, pretrain_images=60, sizes=(20, 20, 20), evaluated=math.ceil(share * enough)
            )
            assert settled.pretrainings == expected


def test_arms_are_paired(config: CompareConfig) -> None:
    """All arms of a draw share labels and training seed; mrp and scratch_same differ in the start weights alone."""
    materials = Materials(encoders={"mrp": [Path("p0")]}, seen=60, sizes=(20, 20, 20))
    made = {
        arm.name: trial_config(config, TrialKey(3, 1, arm.name, 0 if arm.is_pretrained else None), 0, materials)
        for arm in arms_of(config)
    }
    assert len({(one.subset_seed, one.subset_index, one.seed, one.budget) for one in made.values()}) == 1
    assert replace(made["mrp"], init=None) == made["scratch_same"]
    assert made["mrp"].init == "p0"
    assert replace(made["scratch_masked"], hide_cells=0.0) == made["scratch_same"]
    other = trial_config(config, TrialKey(3, 0, "mrp", 0), 0, materials)
    assert other.subset_index != made["mrp"].subset_index


def test_compute_is_counted_in_images(config: CompareConfig) -> None:
    """Fine-tuning and head steps + pretraining images / batch really used, cut at the cap."""
    recipe = candidates(config, ARMS["scratch_best"])[0]
    # 60 images at batch 16 are 4 steps of 15; 9 labeled images at batch 8 run as batches of 5
    seen = images_seen(config, 60)
    assert seen == 60
    assert compute_steps(config, recipe, seen=seen, labeled=9) == (20, 6 + 2 + 12, 6)
    steps, matching, fine = compute_steps(config, recipe, seen=6000, labeled=800)
    assert (matching, fine) == (6 + 2 + 750, 6)
    assert steps == 24  # four times the fine-tuning
    twice = replace(config.pretrain, mask=replace(config.pretrain.mask, masks=2))
    assert images_seen(replace(config, pretrain=twice), 60) == 2 * seen


@pytest.mark.parametrize(("batch", "labeled"), [(16, 800), (4, 800), (16, 12), (4, 12)])
def test_compute_of_another_batch_is_the_same_images(config: CompareConfig, batch: int, labeled: int) -> None:
    """A scratch recipe of another batch takes as many images as MRP, not as many steps; the cap is in images too."""
    recipe = replace(config.finetune, optimizer=replace(config.finetune.optimizer, batch_size=batch))
    tuning = {800: 8, 12: 6}[labeled]  # batches really used
    used = {(16, 800): 16, (4, 800): 4, (16, 12): 12, (4, 12): 4}[batch, labeled]
    steps, matching, fine = compute_steps(config, recipe, seen=96, labeled=labeled)
    assert matching * used == pytest.approx((6 + 2) * tuning + 96, abs=used / 2 + 1)
    assert fine * used == 6 * tuning
    assert steps == matching
    capped, _, _ = compute_steps(config, recipe, seen=9600, labeled=labeled)
    assert capped * used == pytest.approx(4 * 6 * tuning, abs=used / 2)


def test_all_arms_vary_images_alike(config: CompareConfig) -> None:
    """Augmentation, mixup and precision of the scratch candidates follow fine-tuning; schedules stay their own."""
    still = AugmentConfig(flip_horizontal=0.0)
    changed = replace(config, finetune=replace(config.finetune, augment=still, mixup=0.3))
    for one, before in zip(candidates(changed, ARMS["scratch_best"]), config.scratch_candidates, strict=True):
        assert (one.augment, one.mixup) == (still, 0.3)
        assert one.optimizer.steps == before.optimizer.steps
        assert one.label_smoothing == before.label_smoothing


def test_pretrainings_take_turns_in_the_audit(config: CompareConfig) -> None:
    """One network of every arm a label draw, at the primary budget; probes and long trainings are not looked at."""
    draws = audited_trials(replace(config, draws=3, pretrainings=2))
    assert [[key.name for key in draw] for draw in draws] == [
        [f"mrp-b3-d{s}-p{s % 2}", f"scratch_best-b3-d{s}", f"scratch_masked-b3-d{s}"] for s in range(3)
    ]
    (draw,) = audited_trials(replace(config, draws=1, arms=("probe_mrp", "scratch_same", "mrp")))
    assert [key.arm for key in draw] == ["mrp", "scratch_same"]
