"""Captured parts and purity of units that are built so that the answer is known."""

import numpy as np
import pytest

from unmask.audit.measures.auroc import auroc_matrix
from unmask.audit.measures.known_parts import Contrasts, alternate, contrasts
from unmask.audit.measures.part_units import Capture, captured_parts, purity, whole_classes
from unmask.data.known_parts import KnownParts

K, L = 4, 2


def images(n: int = 360) -> KnownParts:
    rng = np.random.default_rng(0)
    labels, shows = rng.integers(0, K, n), np.arange(n) % (L + 1)
    shown = (shows[:, None] == 0) | (shows[:, None] == np.arange(1, L + 1))
    return KnownParts(tuple("abcd"), labels, shown, np.zeros((n, K, L), bool), np.zeros((n, L, 4), np.int64))


def presence(parts: KnownParts) -> np.ndarray:
    """Which of the P parts is in which image, (N, P)."""
    own = parts.labels[:, None] == np.arange(K)
    return (own[:, :, None] & parts.shown[:, None, :]).reshape(len(parts.labels), -1)


def capture(values: np.ndarray, parts: KnownParts, absent: np.ndarray, which: Contrasts | None = None) -> Capture:
    return captured_parts(values, absent, which or contrasts(parts), alternate(parts))


def test_detectors_of_some_parts_capture_these_parts_and_no_others() -> None:
    parts = images()
    there = [0, 3, 4, 5]
    noise, other = np.random.default_rng(1).normal(0, 0.1, (2, len(parts.labels), 4))
    found = capture(presence(parts)[:, there] + noise, parts, other)
    np.testing.assert_array_equal(np.flatnonzero(found.captured), there)
    np.testing.assert_array_equal(whole_classes(found.captured, K), [False, False, True, False])
    np.testing.assert_array_equal(found.responds.argmax(1), there)
    assert purity(found.responds, K) == type(purity(found.responds, K))(4, 1.0, 1.0, 1.0)


def test_a_unit_of_a_class_captures_its_parts_but_is_not_pure() -> None:
    parts = images()
    classes = parts.labels[:, None] == np.arange(K)
    found = capture(classes.astype(float), parts, np.zeros((len(parts.labels), K)))
    assert found.captured.all()
    pure = purity(found.responds, K)
    assert (pure.units, pure.one_part, pure.one_class, pure.parts_per_unit) == (K, 0.0, 1.0, L)


def test_a_detector_of_the_other_part_of_a_class_is_no_detector_of_this_one() -> None:
    parts = images()
    found = capture(presence(parts)[:, [0]].astype(float), parts, np.zeros((len(parts.labels), 1)))
    assert found.auroc[0, 0] == 1
    assert found.auroc[0, 1] == 0.5


def test_a_unit_for_whatever_is_not_known_is_no_detector_of_the_unknown() -> None:
    parts = images()
    known = presence(parts)
    known[:, 5] = False
    nothing = (~known.any(1)).astype(float)
    found = capture(nothing[:, None], parts, np.ones((len(parts.labels), 1)))
    assert auroc_matrix(nothing[:, None], contrasts(parts).positive, contrasts(parts).negative)[0, 5] == 1
    assert found.auroc[0, 5] == 0.5
    assert not found.captured.any()


def test_the_best_of_many_random_units_is_no_better_than_chance_on_the_other_half() -> None:
    parts = images()
    values, absent = np.random.default_rng(2).normal(size=(2, len(parts.labels), 400))
    found = capture(values, parts, absent)
    assert found.auroc.max(0).mean() > 0.6
    assert 0.4 < found.score.mean() < 0.53  # the lower of two AUROCs is below a half by chance
    assert not found.captured.any()
    assert purity(found.responds, K).one_part is None


def test_the_order_of_units_and_their_scale_change_no_score() -> None:
    parts = images()
    rng = np.random.default_rng(3)
    values = presence(parts) + rng.normal(0, 0.8, (len(parts.labels), K * L))
    absent = rng.normal(0, 0.8, values.shape)
    plain = capture(values, parts, absent)
    order = rng.permutation(K * L)
    moved = capture(np.exp(values[:, order]), parts, np.exp(absent[:, order]))
    np.testing.assert_allclose(moved.score, plain.score, atol=1e-12)
    np.testing.assert_allclose(moved.auroc, plain.auroc[order], atol=1e-12)


def test_a_part_that_no_image_shows_alone_is_not_captured() -> None:
    parts = images()
    which = contrasts(parts)
    which.positive[:, 2] = False
    found = capture(presence(parts).astype(float), parts, np.zeros((len(parts.labels), K * L)), which)
    assert np.isnan(found.score[2])
    assert not found.captured[2]
    assert found.captured.sum() == K * L - 1


@pytest.mark.parametrize(("responds", "expected"), [
    ([[1, 0, 1, 0]], (1, 0.0, 0.0, 2.0)),
    ([[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]], (2, 0.5, 1.0, 1.5)),
])  # fmt: skip
def test_purity_by_hand(responds: list[list[int]], expected: tuple[float, ...]) -> None:
    pure = purity(np.array(responds, bool), 2)
    assert (pure.units, pure.one_part, pure.one_class, pure.parts_per_unit) == expected
