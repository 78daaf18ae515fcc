"""In which order trainings are handed to workers: a pure function of how long they take and what waits for them."""

from collections import Counter
from collections.abc import Collection, Sequence

PER_WORKER = 2
"""Trainings of a round for every worker, at least."""


def longest_chains(seconds: Sequence[float], after: Sequence[Collection[int]]) -> list[float]:
    """For each piece the seconds from its beginning to the end of the longest chain of pieces that wait for it.
    `after`: indices of the pieces that must be done before each; none waits for itself."""
    chains = list(seconds)
    waiting = [0] * len(seconds)
    for before in after:
        for index in before:
            waiting[index] += 1
    ends = [index for index, count in enumerate(waiting) if not count]
    for piece in ends:  # grows while it is walked through
        for index in after[piece]:
            chains[index] = max(chains[index], seconds[index] + chains[piece])
            waiting[index] -= 1
            if not waiting[index]:
                ends.append(index)
    return chains


def order_of_work(chains: Sequence[float], draws: Sequence[int | None], workers: int) -> list[int]:
    """Indices of pieces in the order in which workers should get them: in rounds, those of the longest chain first.

    A round is as many whole label draws as give every worker `PER_WORKER` pieces, so that an interrupted table is
    balanced over arms but for its last round; what belongs to no draw is of the first round. One worker takes pieces in
    the order given.

    Args:
        chains: of each piece, by `longest_chains`; pieces of equal chains keep their order.
        draws: the label draw of each piece; None where every draw needs it.
        workers: that work side by side.
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
