"""The recommendation: chosen on validation, judged on test images against every arm that could be the best."""

import numpy as np
import pytest

from unmask.config import ARMS, CompareConfig
from unmask.inference.answers import contest_of, ranking_of, recommendations
from unmask.inference.baseline import Ranking, rank_on_validation
from unmask.inference.estimate import estimate_mean
from unmask.inference.evidence import Evidence
from unmask.inference.recommend import compared_with, other_starts, other_ways, recommend, same_start, with_way
from unmask.inference.table import Table
from unmask.inference.verdict import Place, word_of
from unmask.runs.summary_records import Recommendation

CLEAR = np.array([0.050, 0.052, 0.047, 0.051])


def _recommend(ranking: Ranking, **differences: np.ndarray) -> Recommendation:
    estimates = {arm: estimate_mean(values) for arm, values in differences.items()}
    return recommend(ranking, estimates, Place(10, "test", ""), smallest=0.01, confidence=0.95)


def test_the_best_other_arm_is_judged_even_where_validation_rules_it_out() -> None:
    assert compared_with(Ranking("mrp", (), ("given", "scratch_same"))) == ("given",)
    assert compared_with(Ranking("mrp", ("given", "scratch_best"), ("scratch_same",))) == ("given", "scratch_best")


def test_schedules_of_one_way_are_one_choice() -> None:
    """Scratch is not compared with scratch; a probe of the same weights is another choice."""
    ranking = Ranking("scratch_compute", ("scratch_best", "mrp"), ("scratch_same", "probe_mrp"))
    assert other_ways(ranking) == Ranking("scratch_compute", ("mrp",), ("probe_mrp",))
    assert other_ways(Ranking("mrp", (), ("probe_mrp",))).beaten == ("probe_mrp",)


def test_arms_of_one_start_do_not_keep_a_comparison_open() -> None:
    """A probe of the same weights is no rival where the question is which weights to start from."""
    ranking = Ranking("mrp", ("probe_mrp", "scratch_best", "given"), ("scratch_same",))
    assert other_starts(ranking) == Ranking("mrp", ("scratch_best", "given"), ("scratch_same",))
    assert other_starts(Ranking("probe_mrp", ("mrp", "scratch_best"))).rivals == ("scratch_best",)
    assert other_starts(Ranking("mrp", ("probe_mrp",))).rivals == ("probe_mrp",)  # there is no other start


WHERE = (10, "test", "accuracy")
CONFIG = CompareConfig(budgets=(10,))


def _told(rng: np.random.Generator, pretrainings: int = 3, **levels: float) -> tuple[Table, Evidence]:
    """Nine draws whose arms vary by a point, and validation images that cannot tell near levels apart."""
    table: Table = {
        (arm, *WHERE): {
            (None if arm.startswith("scratch") else draw % pretrainings, draw): level + float(rng.normal(0, 0.01))
            for draw in range(9)
        }
        for arm, level in levels.items()
    }
    return table, Evidence(tuning={10: {arm: level + rng.normal(0, 0.02, (3, 300)) for arm, level in levels.items()}})


def test_a_tie_with_a_probe_leaves_the_start_decided() -> None:
    """Fine-tuned and under a linear classifier, the pretrained encoder is as good; scratch is clearly worse."""
    table, evidence = _told(np.random.default_rng(0), mrp=0.80, probe_mrp=0.80, scratch_best=0.70)
    ranking, decided = ranking_of(table, WHERE, evidence), contest_of(table, WHERE, evidence)
    assert ranking is not None
    assert {"mrp", "probe_mrp"} == {ranking.best, *compared_with(same_start(ranking))}
    assert decided is not None
    assert decided.rivals == ()
    assert decided.estimate.mean == pytest.approx(0.1, abs=0.02)
    assert word_of(decided, decided.p_zero, decided.p_equivalent(0.01), 0.05) == "gain"
    (found,) = recommendations(table, "test", CONFIG, evidence)
    assert (found.verdict, found.against, found.draws_needed) == ("gain", "scratch_best", None)
    assert found.mean == pytest.approx(0.1, abs=0.02)
    first, second = found.sentence.split(". Not decided: ")
    assert "than the best choice from other weights, to train from scratch (95% interval" in first
    assert second.startswith("whether that is better than another way to use these weights, to pretrain")
    assert second.count("points") == second.count("95% interval") == 1


@pytest.mark.parametrize(("pretrainings", "start"), [(1, ", for this encoder: pretrain"), (3, ": pretrain")])
def test_what_holds_for_one_encoder_is_said_to(pretrainings: int, start: str) -> None:
    table, evidence = _told(np.random.default_rng(0), pretrainings, mrp=0.80, scratch_best=0.70)
    (found,) = recommendations(table, "test", CONFIG, evidence)
    assert found.sentence.startswith(f"With 10 labels per class{start}")


def test_the_way_is_asked_of_rivals_and_only_beside_other_weights() -> None:
    """What validation has ruled out is not asked again; without other weights, ways are what there is to choose."""
    ranking = Ranking("mrp", ("probe_mrp", "scratch_best"), ("given",))
    assert same_start(ranking) == Ranking("mrp", ("probe_mrp",), ())
    assert same_start(Ranking("mrp", ("scratch_best",), ("probe_mrp",))).rivals == ()
    assert same_start(Ranking("mrp", ("probe_mrp",))).rivals == ()
    assert same_start(Ranking("given", ("mrp", "probe_given", "given_mrp"))).rivals == ("probe_given",)


@pytest.mark.parametrize(
    ("start", "shift", "word", "against", "words"),
    [
        (0.05, 0.05, "gain", "given", ". That is better than another way to use these weights, to pretrain"),
        (0.05, 0.0, "gain", "given", ". Another way to use these weights is as good, to pretrain"),
        (0.05, -0.05, "loss", "probe_mrp", "then train a linear classifier on the frozen network. Validation images"),
        (-0.05, -0.05, "loss", "given", ": fine-tune the weights you have. Validation images"),
        (0.0, -0.05, "equivalent", "given", "take the cheaper: pretrain on your own images, then fine-tune; or fine"),
    ],
)
def test_the_way_is_a_second_question(start: float, shift: float, word: str, against: str, words: str) -> None:
    """It is asked where the weights are better than all others, and nowhere else."""
    place, noise = Place(10, "test", ""), CLEAR - CLEAR.mean()
    starts = _recommend(Ranking("mrp", ("given",)), given=start + noise)
    way = _recommend(Ranking("mrp", ("probe_mrp",)), probe_mrp=shift + noise)
    found = with_way(starts, way, place, 0.95)
    assert (found.verdict, found.against) == (word, against)
    assert words in found.sentence
    assert not {name for name in ARMS if "_" in name and name in found.sentence}


def test_both_questions_together_err_as_often_as_one() -> None:
    """Equally good arms of three starts: a false gain or loss in at most 5 %."""
    rng = np.random.default_rng(1)
    levels = dict.fromkeys(("mrp", "probe_mrp", "given", "probe_given", "scratch_best"), 0.7)
    false = 0
    for _ in range(300):
        table, evidence = _told(rng, **levels)
        false += recommendations(table, "test", CONFIG, evidence)[0].verdict in ("gain", "loss")
    assert false <= 22  # 300 at 0.05: mean 15, standard deviation 3.8


@pytest.mark.parametrize(
    ("shift", "word", "words"),
    [
        (0.0, "gain", ": pretrain on your own images, then fine-tune. It is 5 points better"),
        (-0.1, "loss", ": fine-tune the weights you have. Validation images preferred another choice"),
        (-0.05, "equivalent", "take the cheaper: pretrain on your own images"),
    ],
)
def test_words(shift: float, word: str, words: str) -> None:
    found = _recommend(Ranking("mrp", ("given",)), given=CLEAR + shift)
    assert (found.arm, found.against, found.verdict) == ("mrp", "given", word)
    assert words in found.sentence
    assert found.draws_needed is None
    assert not {name for name in ARMS if "_" in name and name in found.sentence}


def test_it_must_beat_every_rival() -> None:
    found = _recommend(Ranking("mrp", ("given", "scratch_same")), given=CLEAR, scratch_same=CLEAR - 0.05)
    assert found.verdict == "undecided"
    assert "probably: " in found.sentence


def test_what_seems_worse_is_not_called_probable() -> None:
    """Validation preferred it; test images do not, and cannot tell."""
    found = _recommend(Ranking("mrp", ("given",)), given=np.array([-0.1, 0.06, -0.09, 0.03]))
    assert found.verdict == "undecided"
    assert found.sentence.startswith("With 10 labels per class, not decided: to pretrain on your own images, then fine")
    assert "was best on validation images, but seems 2.5 points worse on test images than the best" in found.sentence


def test_one_draw_decides_nothing() -> None:
    found = _recommend(Ranking("mrp", ("given",)), given=np.array([0.1]))
    assert (found.verdict, found.low) == ("undecided", None)
    assert "the spread is unknown" in found.sentence


def test_the_best_of_many_equal_arms_is_no_lucky_one() -> None:
    """Five equally good arms: a false "better than every other" or "worse" in at most 5 %, where judging the best on
    test images against the next best, both picked there, errs far more often."""
    rng = np.random.default_rng(0)
    arms = ["mrp", "given", "probe_given", "scratch_same", "scratch_best"]
    false, lucky = 0, 0
    for _ in range(300):
        tuning = {
            arm: np.stack([(rng.random(60) < 0.7 + rng.normal(0, 0.02)).astype(float) for _ in range(3)])
            for arm in arms
        }
        ranking = rank_on_validation(tuning)
        test = {arm: rng.normal(0.7, 0.02, 6) for arm in arms}
        estimates = {arm: estimate_mean(test[ranking.best] - test[arm]) for arm in compared_with(ranking)}
        found = recommend(ranking, estimates, Place(10, "test", ""), smallest=0.001, confidence=0.95)
        false += found.verdict in ("gain", "loss")
        best, *_, worst = sorted(arms, key=lambda arm: -test[arm].mean())
        chosen = estimate_mean(test[best] - test[worst])
        lucky += chosen.error is not None and chosen.mean / chosen.error > 2.57
    assert false <= 22  # 300 at 0.05: mean 15, standard deviation 3.8
    assert lucky > 60
