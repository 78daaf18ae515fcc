"""CPU seconds of calls, several ways in turn, so that a busy machine slows all of them alike."""

import time
from collections.abc import Callable, Mapping


def seconds(run: Callable[[], object]) -> float:
    """CPU seconds of this process in one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def interleaved(ways: Mapping[str, Callable[[], object]], n: int, warm_up: int = 1) -> dict[str, list[float]]:
    """CPU seconds of each way, n repetitions after some that do not count."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for repetition in range(n + warm_up):
        for way, run in ways.items():
            spent = seconds(run)
            if repetition >= warm_up:
                taken[way].append(spent)
    return taken
