"""The baseline is chosen on validation, and a gain holds against every arm that validation cannot tell from it."""

import numpy as np
from numpy.typing import NDArray

from unmask.inference.baseline import rank_on_validation, rank_scratch
from unmask.inference.estimate import estimate_mean
from unmask.inference.table import Table
from unmask.inference.verdict import Contest, decide


def _tuning(rng: np.random.Generator, accuracy: float, images: int, draws: int = 3) -> NDArray[np.float64]:
    return (rng.random((draws, images)) < accuracy).astype(np.float64)


def test_many_validation_images_leave_one_arm_and_few_leave_all() -> None:
    rng = np.random.default_rng(0)
    accuracies = {"good": 0.8, "bad": 0.5, "fair": 0.7}
    found = rank_on_validation({arm: _tuning(rng, value, 3000) for arm, value in accuracies.items()})
    assert (found.best, found.rivals, found.beaten) == ("good", (), ("fair", "bad"))
    few = rank_on_validation({arm: _tuning(rng, value, 12) for arm, value in accuracies.items()})
    assert "fair" in few.rivals


def test_one_tuning_draw_tells_nothing_about_other_draws() -> None:
    rng = np.random.default_rng(0)
    found = rank_on_validation({"good": _tuning(rng, 0.9, 3000, 1), "bad": _tuning(rng, 0.2, 3000, 1)})
    assert (found.best, found.rivals) == ("good", ("bad",))


def test_draws_count_and_not_only_images() -> None:
    """Better on a thousand images, but better on one draw and worse on another."""
    ahead, behind = np.zeros((2, 1000)), np.zeros((2, 1000))
    ahead[0, :300] = behind[1, :200] = 1.0
    assert rank_on_validation({"ahead": ahead, "behind": behind}).rivals == ("behind",)


def test_arms_that_tuning_lacks_and_arms_without_tuning_are_rivals() -> None:
    arms = ("scratch_same", "scratch_best", "scratch_compute")
    table: Table = {
        (arm, 10, split, "accuracy"): {(None, s): 0.5 + 0.1 * i for s in range(3)}
        for i, arm in enumerate(arms)
        for split in ("val", "test")
    }
    found = rank_scratch(table, arms, 10)
    assert found is not None
    assert (found.best, found.rivals) == ("scratch_compute", ("scratch_best", "scratch_same"))
    rng = np.random.default_rng(0)
    tuning = {"scratch_same": _tuning(rng, 0.9, 2000), "scratch_best": _tuning(rng, 0.3, 2000)}
    found = rank_scratch(table, arms, 10, tuning)
    assert found is not None
    assert (found.best, found.rivals, found.beaten) == ("scratch_same", ("scratch_compute",), ("scratch_best",))


def test_a_gain_must_hold_against_every_rival_and_a_loss_against_the_chosen_one() -> None:
    clear, unclear = np.array([0.02, 0.03, 0.025, 0.022]), np.array([0.02, -0.02, 0.03, -0.01])
    gain, doubt, loss = (estimate_mean(one) for one in (clear, unclear, -clear))
    words = [one.word for one in decide([Contest(gain), Contest(gain, (doubt,))], None, 0.01, 0.90)]
    assert words == ["gain", "undecided"]
    assert decide([Contest(loss, (doubt,))], 0, 0.01, 0.95)[0].word == "loss"
    found = Contest(gain, (doubt,)).interval(0.95, "accuracy")
    assert found.low is not None
    assert found.low < 0 < clear.mean() == found.mean


def test_with_few_validation_images_false_gains_stay_few() -> None:
    """Two scratch arms, the worse one often chosen on 40 validation images: the rival keeps the error, alone it rises.

    The judged arm is as good as the better one. sd of a draw 2.5 points, validation images binomial.
    """
    rng = np.random.default_rng(0)
    guarded, alone = 0, 0
    for _ in range(600):
        tuning = {
            arm: np.stack([(rng.random(40) < 0.7 + gap + rng.normal(0, 0.025)).astype(float) for _ in range(3)])
            for arm, gap in (("better", 0.0), ("worse", -0.04))
        }
        ranking = rank_on_validation(tuning)
        noise = {arm: rng.normal(0, 0.02, 8) for arm in ("judged", "better", "worse")}
        difference = {
            "better": estimate_mean(noise["judged"] - noise["better"]),
            "worse": estimate_mean(noise["judged"] - noise["worse"] + 0.04),
        }
        chosen = difference[ranking.best]
        alone += Contest(chosen).p_zero < 0.05 and Contest(chosen).is_gain
        both = Contest(chosen, tuple(difference[arm] for arm in ranking.rivals))
        guarded += both.p_zero < 0.05 and both.is_gain
    assert alone > 60
    assert guarded < 28  # 600 at 0.025: mean 15, standard deviation 3.8
