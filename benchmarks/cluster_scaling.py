"""Simulated: the trainings of a comparison on 1 to 1,000 workers, with the times that a real one recorded.

Pieces are those of the default comparison with several pretrainings: pretrainings, tuning trials, trials. Each takes as
long as in the recording, or, if it is not recorded, as long as another of its kind. A free worker takes the next
piece that can start, in the order of `unmask.comparison.order`. The bound is the work divided by the workers, or the
longest chain of pieces that wait for each other, whichever is longer. Exits 1 if 64 workers, none of which fails,
take more than bound / 0.85.

    python benchmarks/cluster_scaling.py                   # replays benchmarks/results/cluster_scaling.csv
    python benchmarks/cluster_scaling.py runs/answer       # replays your own finished comparison
    python benchmarks/cluster_scaling.py runs/answer --record times.csv
"""

import argparse
import csv
import heapq
import random
import statistics
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from unmask.comparison.candidates import arms_of, candidates, leader
from unmask.comparison.order_of_work import longest_chains, order_of_work
from unmask.comparison.plan import all_trials, turn_of
from unmask.comparison.tuning import first_keys, following_keys
from unmask.config import ARMS, JUDGED, CompareConfig
from unmask.config.budget import Budget
from unmask.runs.contents import ComparisonRun, read_run

RECORDED = Path(__file__).parent / "results" / "cluster_scaling.csv"
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
GATE, WANTED = 64, 0.85
FIELDS = ("kind", "arm", "budget", "candidate", "draw", "seconds")
Key = tuple[str, str, str, str, int]


@dataclass(frozen=True)
class Times:
    """How long the trainings of a comparison took."""

    rows: Sequence[tuple[Key, float]]
    """The first `FIELDS` of each, and its seconds."""

    @cached_property
    def _exact(self) -> dict[Key, float]:
        return dict(self.rows)

    def of(self, key: Key) -> float:
        """Seconds of a training; if it is not recorded, those of another draw, candidate or budget."""
        if key in self._exact:
            return self._exact[key]
        for same in (4, 3, 2):
            alike = [seconds for other, seconds in self.rows if other[:same] == key[:same]]
            if alike:
                return alike[key[4] % len(alike)]
        raise SystemExit(f"no {key[0]} like {key[1]} was recorded")

    def column(self, kind: str, place: int) -> list[str]:
        """Distinct values of a field over the trainings of a kind."""
        return list(dict.fromkeys(str(key[place]) for key, _ in self.rows if key[0] == kind))


def recorded(run: ComparisonRun) -> Times:
    """The times in the files of a finished comparison."""
    made = [one.environment.seconds for one in run.pretrainings if one.environment is not None]
    rows: list[tuple[Key, float]] = [(("pretraining", "", "", "", i), s) for i, s in enumerate(made) if s]
    rows += [(("tuning", t.arm, str(t.budget), str(t.candidate), t.draw), t.seconds) for t in run.tuning]
    rows += [(("trial", t.arm, str(t.budget), "", t.draw), t.seconds) for t in run.trials]
    return Times(sorted((key, round(seconds, 2)) for key, seconds in rows))


def read_times(file: Path) -> Times:
    """Read the table of a recording."""
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))[1:]
    return Times([((kind, arm, budget, one, int(draw)), float(s)) for kind, arm, budget, one, draw, s in rows])


def write_times(times: Times, file: Path) -> None:
    """Write the table of a recording."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([FIELDS, *((*key, s) for key, s in times.rows)])


@dataclass(frozen=True)
class Piece:
    """A training, and what it waits for."""

    name: str
    seconds: float
    after: frozenset[str]
    draw: int | None = None
    """Draw of a trial."""
    phase: int = 0
    """Its phase in a comparison that works phase by phase."""


def pieces_of(times: Times, pretrainings: int) -> list[Piece]:
    """The default comparison with the budgets, draws and reported arms of a recording, in the order of its plan."""
    budgets = tuple(int(text) if text.isdigit() else text for text in times.column("trial", 2))
    draws, tuning = (1 + max(map(int, times.column(kind, 4))) for kind in ("trial", "tuning"))
    config = CompareConfig(budgets=budgets, draws=draws, tuning_draws=tuning, pretrainings=pretrainings)
    numbers = range(pretrainings)
    made = [Piece(f"pretraining {k}", times.of(("pretraining", "", "", "", k)), frozenset()) for k in numbers]
    tried = _tuning(config, times)
    reported = replace(config, arms=tuple(arm for arm in ARMS if arm in times.column("trial", 1)))
    return [*made, *tried, *_trials(reported, config, times, [piece.name for piece in tried])]


def _tuning(config: CompareConfig, times: Times) -> list[Piece]:
    """Recipes of arms that choose for themselves, then those of arms that use the recipe of another one."""
    chosen = {(b, arm.name): len(candidates(config, arm)) - 1 for b in config.budgets for arm in arms_of(config)}
    found = []
    for phase, keys in ((1, first_keys(config)), (2, following_keys(config, chosen))):
        for key in keys:
            after = _encoder(config, key.arm, key.draw) | (_tried(config, key.arm, key.budget) if phase == 2 else set())
            seconds = times.of(("tuning", key.arm, str(key.budget), str(key.candidate), key.draw))
            own = phase if after else 0
            found.append(Piece(f"tuning {key.name}", seconds, frozenset(after), phase=own))
    return found


def _trials(config: CompareConfig, asked: CompareConfig, times: Times, tuning: Sequence[str]) -> list[Piece]:
    """Arms that are always reported wait for their recipe; others for all tuning, which may leave them out."""
    found = []
    for key in all_trials(config):
        arm, seconds = ARMS[key.arm], times.of(("trial", key.arm, str(key.budget), "", key.draw))
        after = _encoder(config, key.arm, key.draw) | (set() if arm.frozen else _tried(asked, key.arm, key.budget))
        if not arm.frozen and arm.name != JUDGED:
            after |= set(tuning)
        found.append(Piece(f"trial {key.name}", seconds, frozenset(after), key.draw, 3 if after else 0))
    return found


def _encoder(config: CompareConfig, arm: str, draw: int) -> set[str]:
    return {f"pretraining {turn_of(config, draw)}"} if ARMS[arm].is_pretrained else set()


def _tried(config: CompareConfig, arm: str, budget: Budget) -> set[str]:
    """The tuning trials by which the recipe of an arm is chosen."""
    led = leader(config, ARMS[arm]).name
    return {f"tuning {key.name}" for key in first_keys(config) if (key.arm, key.budget) == (led, budget)}


def in_phases(pieces: Sequence[Piece], phases: Sequence[int] = (0, 1, 2, 3)) -> list[Piece]:
    """The same, with every phase (some may be merged) waiting for everything before it.

    Args:
        pieces: of a comparison.
        phases: which phase 0 is part of, and so on.
    """
    place = [phases[piece.phase] for piece in pieces]
    before = {
        own: {piece.name for piece, other in zip(pieces, place, strict=True) if other < own} for own in set(place)
    }
    return [replace(piece, after=piece.after | before[own]) for piece, own in zip(pieces, place, strict=True)]


def indices(pieces: Sequence[Piece]) -> list[Collection[int]]:
    """What each piece waits for, as indices."""
    number = {piece.name: index for index, piece in enumerate(pieces)}
    return [[number[name] for name in piece.after] for piece in pieces]


def bound(pieces: Sequence[Piece], workers: int) -> float:
    """Seconds that no order can beat: the work divided by the workers, or the longest chain."""
    seconds = [piece.seconds for piece in pieces]
    return max(sum(seconds) / workers, *longest_chains(seconds, indices(pieces)))


def longest_first(pieces: Sequence[Piece], workers: int) -> list[int]:
    """The order of `order_of_work`. Like a comparison, it sees chains only through pretrainings."""
    seen = [[i for i in before if pieces[i].name.startswith("pretraining")] for before in indices(pieces)]
    chains = longest_chains([piece.seconds for piece in pieces], seen)
    return order_of_work(chains, [piece.draw for piece in pieces], workers)


@dataclass(frozen=True)
class World:
    """What takes time besides training, and what goes wrong; times in seconds."""

    dispatch: float = 0.05
    """Time of the scheduler for every piece, one after the other."""
    start: float = 5.0
    """Time in which workers start, and come back after a loss."""
    between_losses: float = 0.0
    """Mean work of a worker until it and its piece are lost; 0 for never."""
    slow: float = 0.0
    """Share of workers at half the speed."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one simulated comparison."""

    wall: float
    idle: float
    """Share of all workers' time without a piece."""
    lost: int
    """Pieces that were restarted."""


def simulate(pieces: Sequence[Piece], order: Sequence[int], workers: int, world: World, seed: int = 0) -> Outcome:
    """Hand the first piece in order that can start to a free worker, until all are done."""
    rng, before = random.Random(seed), indices(pieces)
    pace = [2.0 if rng.random() < world.slow else 1.0 for _ in range(workers)]
    rank = {index: place for place, index in enumerate(order)}
    missing, followers = [len(one) for one in before], [list[int]() for _ in pieces]
    for index, awaited in enumerate(before):
        for one in awaited:
            followers[one].append(index)
    ready = [place for index, place in rank.items() if not missing[index]]
    heapq.heapify(ready)
    free: list[int] = []
    events: list[tuple[float, int, int | None, bool]] = [(world.start, worker, None, True) for worker in range(workers)]
    left, now, handed, busy, lost = len(pieces), 0.0, 0.0, 0.0, 0
    while left:
        now, worker, ended, whole = heapq.heappop(events)
        if whole:
            free.append(worker)
        else:
            heapq.heappush(events, (now + world.start, worker, None, True))
        if ended is not None and not whole:
            heapq.heappush(ready, rank[ended])
            lost += 1
        elif ended is not None:
            left -= 1
            for other in followers[ended]:
                missing[other] -= 1
                if not missing[other]:
                    heapq.heappush(ready, rank[other])
        while ready and free:
            index, worker = order[heapq.heappop(ready)], free.pop(rng.randrange(len(free)))
            handed = max(now, handed) + world.dispatch
            takes = pace[worker] * pieces[index].seconds
            until = rng.expovariate(1 / world.between_losses) if world.between_losses else takes
            busy += min(takes, until)
            heapq.heappush(events, (handed + min(takes, until), worker, index, until >= takes))
    return Outcome(now, 1 - busy / (workers * now), lost)


WORLDS = {
    "as it should be": World(),
    "a worker lost after 2 h of work": World(between_losses=7200.0),
    "5 % of workers at half the speed": World(slow=0.05),
    "both": World(between_losses=7200.0, slow=0.05),
}


def orders(pieces: Sequence[Piece], workers: int) -> dict[str, tuple[Sequence[Piece], Sequence[int]]]:
    """What was tried: pieces with what they wait for, and their order."""
    phased, listed, first = in_phases(pieces), range(len(pieces)), longest_first(pieces, workers)
    tuned = in_phases(pieces, (0, 0, 0, 1))
    return {
        "phase by phase, as listed": (phased, listed),
        "phase by phase, longest chain first": (phased, first),
        "tuning in step with pretrainings, as listed": (tuned, listed),
        "tuning in step with pretrainings, longest chain first (product)": (tuned, first),
        "everything as soon as it can begin, longest chain first": (pieces, first),
    }


PRODUCT = 3
"""Which of them a comparison uses."""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    for row in (columns, ["---"] * len(columns), *rows):
        print(f"| {' | '.join(row)} |")
    print()


def compare_orders(pieces: Sequence[Piece]) -> float:
    """Print the time of each order if nothing fails; return the share of the bound that the product reaches."""
    rows, shares = [], list[float]()
    for way, (waiting, order) in orders(pieces, GATE).items():
        found = simulate(waiting, order, GATE, World())
        shares.append(bound(pieces, GATE) / found.wall)
        rows.append((way, f"{found.wall:.0f}", f"{shares[-1]:.0%}", f"{found.idle:.0%}"))
    table((f"{GATE} workers", "wall time, s", "of the bound", "idle"), rows)
    return shares[PRODUCT]


def scale(pieces: Sequence[Piece], repeats: int) -> None:
    """Print the time of the product's order on few and many workers, and if things go wrong."""
    rows = []
    for workers in WORKERS:
        limit, (waiting, order) = bound(pieces, workers), list(orders(pieces, workers).values())[PRODUCT]
        found = {
            name: [simulate(waiting, order, workers, w, seed) for seed in range(repeats)] for name, w in WORLDS.items()
        }
        first = next(iter(found.values()))[0]
        rows.append(
            [str(workers), f"{limit:.0f}", f"{first.idle:.0%}", *(_in_words(many, limit) for many in found.values())]
        )
    table(("workers", "bound, s", "idle", *WORLDS), rows)


def _in_words(many: Sequence[Outcome], limit: float) -> str:
    walls = [one.wall for one in many]
    mean, lost = statistics.mean(walls), statistics.mean(one.lost for one in many)
    spread = f" [{min(walls):.0f}, {max(walls):.0f}]" if max(walls) - min(walls) >= 1 else ""
    return f"{mean:.0f}{spread}, {limit / mean:.0%}" + (f", {lost:.1f} lost" if lost else "")


def main() -> int:
    """Replay, print, and say whether the order is good enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, help="folder of a finished comparison")
    parser.add_argument("--record", type=Path, help="write the times of the run as a table")
    parser.add_argument("--pretrainings", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=20, help="simulations of each kind")
    given = parser.parse_args()
    run = None if given.run is None else read_run(given.run)
    if run is not None and not isinstance(run, ComparisonRun):
        raise SystemExit(f"{given.run}: not a comparison")
    times = read_times(RECORDED) if run is None else recorded(run)
    if given.record is not None:
        write_times(times, given.record)
    pieces = pieces_of(times, given.pretrainings)
    work = sum(piece.seconds for piece in pieces)
    print(f"{len(pieces)} pieces, {given.pretrainings} of them pretrainings; {work:.0f} s of work, the longest chain")
    print(f"{bound(pieces, len(pieces)):.0f} s; n = {given.repeats} simulations, mean [least, most]\n")
    share = compare_orders(pieces)
    scale(pieces, given.repeats)
    print(f"{share:.0%} of the bound at {GATE} workers; wanted: {WANTED:.0%}")
    return 0 if share >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
