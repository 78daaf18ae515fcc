"""The order in which trainings are handed to workers: a pure function of their durations and dependencies."""

from collections import Counter
from collections.abc import Collection, Sequence

PER_WORKER = 2
"""Least number of trainings of a round per worker."""


def longest_chains(seconds: Sequence[float], after: Sequence[Collection[int]]) -> list[float]:
    """For each piece the seconds from its start to the end of the longest chain of pieces that wait for it.
    `after`: indices of the pieces that must be done before each; none waits for itself."""
    chains = list(seconds)
    waiting = [0] * len(seconds)
    for before in after:
        for index in before:
            waiting[index] += 1
    ends = [index for index, count in enumerate(waiting) if not count]
    for piece in ends:  # grows during iteration
        for index in after[piece]:
            chains[index] = max(chains[index], seconds[index] + chains[piece])
            waiting[index] -= 1
            if not waiting[index]:
                ends.append(index)
    return chains


def order_of_work(chains: Sequence[float], draws: Sequence[int | None], workers: int) -> list[int]:
    """Indices of pieces in the order in which workers should get them: in rounds, those of the longest chain first.

    A round is as many whole label draws as give every worker `PER_WORKER` pieces, so that an interrupted table is
    balanced over arms except for its last round; pieces without a draw belong to the first round. A single worker takes
    pieces in the given order.

    Args:
        chains: `longest_chains` of the pieces; pieces with equal chains keep their order.
        draws: the label draw of each piece; None if every draw needs it.
        workers: number of parallel workers.
    """
    if workers == 1:
        return list(range(len(chains)))
    sizes = Counter(draw for draw in draws if draw is not None)
    rounds: dict[int | None, int] = {None: 0}
    found = count = 0
    for draw in sorted(sizes):
        rounds[draw] = found
        count += sizes[draw]
        if count >= PER_WORKER * workers:
            found, count = found + 1, 0
    return sorted(range(len(chains)), key=lambda index: (rounds[draws[index]], -chains[index]))
