"""Keyed randomness: uniform, independent of the batch, and different for every key."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from unmask.randomness import derive_seed, permutation, uniform


@given(st.integers(0, 2**31), st.integers(-5, 10**6), st.lists(st.integers(0, 10**9), min_size=1, max_size=8))
def test_a_row_depends_on_its_own_id_only(seed: int, epoch: int, ids: list[int]) -> None:
    """Bit-equal whatever else is in the batch, and a longer row starts with the shorter one."""
    together = uniform(seed, "mask", epoch, ids, 5)
    for row, one in zip(together, ids, strict=True):
        np.testing.assert_array_equal(row, uniform(seed, "mask", epoch, [one], 5)[0])
        np.testing.assert_array_equal(row[:3], uniform(seed, "mask", epoch, one, 3)[0])


def test_uniform_over_ids_positions_and_epochs() -> None:
    """Kolmogorov-Smirnov against U[0, 1) along each axis; the seed is fixed, so the test is deterministic."""
    table = uniform(0, "mask", 0, np.arange(20000), 2)
    epochs = np.concatenate([uniform(0, "mask", e, [7], 1)[0] for e in range(20000)])
    for sample in (table[:, 0], table[:, 1], uniform(0, "mask", 0, [3], 20000)[0], epochs):
        assert stats.kstest(sample, "uniform").pvalue > 0.01


def test_streams_are_uncorrelated() -> None:
    """Neighboring ids, positions, purposes, epochs and seeds: |r| below 4 / sqrt(n)."""
    ids = np.arange(20000)
    base = uniform(0, "a", 0, ids, 2)
    others = [base[:, 1], np.roll(base[:, 0], 1), uniform(0, "b", 0, ids, 1)[:, 0]]
    others += [uniform(0, "a", 1, ids, 1)[:, 0], uniform(1, "a", 0, ids, 1)[:, 0]]
    for other in others:
        assert abs(np.corrcoef(base[:, 0], other)[0, 1]) < 4 / np.sqrt(len(ids))


@given(st.integers(0, 100), st.integers(0, 300))
def test_permutation_is_one(seed: int, size: int) -> None:
    """Every index exactly once."""
    assert sorted(permutation(seed, "order", 0, size)) == list(range(size))


def test_epochs_have_different_orders() -> None:
    """And the same epoch the same one."""
    first, second = permutation(0, "order", 0, 100), permutation(0, "order", 1, 100)
    assert (first != second).any()
    np.testing.assert_array_equal(first, permutation(0, "order", 0, 100))


def test_derived_seeds_differ_by_every_key() -> None:
    """No two of a thousand named parts share a seed."""
    seeds = {derive_seed(s, name, i) for s in range(10) for name in ("a", "b") for i in range(50)}
    assert len(seeds) == 1000
