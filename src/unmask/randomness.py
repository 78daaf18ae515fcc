"""Keyed randomness: every random number is a pure function of (seed, purpose, epoch, sample id, position).

No generator is carried along, so masks and augmentations do not depend on workers, ranks, batch size, order or
resume: sample 17 of epoch 3 is masked and cropped alike wherever and whenever it is computed. The mixing function is
SplitMix64's finalizer (Steele, Lea and Flood, OOPSLA 2014), applied to a chain of keys.
The words of a purpose are part of every number: to change their spelling is to change seeded runs.
"""

from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's output function: a bijection of 64-bit integers with full avalanche."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _absorb(state: NDArray[np.uint64], key: ArrayLike) -> NDArray[np.uint64]:
    return _mix(state + _GOLDEN + _mix(np.asarray(key).astype(np.int64).astype(np.uint64) + _GOLDEN))


def uniform(seed: int, purpose: str, epoch: int, ids: ArrayLike, n: int) -> NDArray[np.float64]:
    """Return uniform numbers in [0, 1), one row of `n` per sample id.

    Args:
        seed: the run's seed.
        purpose: what the numbers are for ("mask", "crop", ...); different purposes are independent streams.
        epoch: epoch, or any other outer counter.
        ids: integer sample ids, shape (B,).
        n: numbers per sample.

    Returns:
        float64 array of shape (B, n). A row depends only on its own id, never on the rest of the batch.
    """
    with np.errstate(over="ignore"):
        state = _absorb(_absorb(_absorb(np.zeros(1, np.uint64), seed), crc32(purpose.encode())), epoch)
        rows = _absorb(state, np.atleast_1d(ids))[:, None]
        bits = _mix(rows + _GOLDEN * np.arange(1, n + 1, dtype=np.uint64)[None, :])
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, purpose: str, epoch: int, size: int) -> NDArray[np.int64]:
    """Return a permutation of range(size): the ranks of one keyed uniform number per sample."""
    return np.argsort(uniform(seed, purpose, epoch, np.arange(size), 1)[:, 0], kind="stable")


def derive_seed(seed: int, *keys: str | int) -> int:
    """Return a separate seed for a named part of a run: a 63-bit integer that depends on the seed and on all keys."""
    with np.errstate(over="ignore"):
        state = _absorb(np.zeros(1, np.uint64), seed)
        for key in keys:
            state = _absorb(state, crc32(key.encode()) if isinstance(key, str) else key)
    return int(state[0] >> np.uint64(1))
