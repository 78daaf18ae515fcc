"""The order of trainings: chains, rounds of whole draws, and that it never takes longer than need be."""

import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import load_script
from unmask.comparison.order_of_work import PER_WORKER, longest_chains, order_of_work


def test_a_chain_is_a_piece_and_the_longest_that_waits_for_it() -> None:
    """Over several steps, and where one piece waits for many."""
    seconds = [10.0, 1.0, 2.0, 5.0, 7.0]
    after = [(), (0,), (0, 1), (2,), ()]
    assert longest_chains(seconds, after) == [18.0, 8.0, 7.0, 5.0, 7.0]
    assert longest_chains([], []) == []


@given(st.data())
def test_chains_hold_for_any_graph(data: st.DataObject) -> None:
    """A chain is at least the piece itself, and that of every piece that waits for it with it; one attains it."""
    count = data.draw(st.integers(1, 8))
    seconds = data.draw(st.lists(st.integers(1, 9).map(float), min_size=count, max_size=count))
    after = [data.draw(st.sets(st.integers(0, i - 1))) if i else set() for i in range(count)]
    chains = longest_chains(seconds, after)
    for i in range(count):
        assert chains[i] == seconds[i] + max((chains[j] for j in range(count) if i in after[j]), default=0.0)


def test_two_workers_go_draw_by_draw_and_many_take_the_longest_first() -> None:
    """Four pieces of each of six draws: a round for two workers is a draw, for many everything."""
    draws = [draw for draw in range(6) for _ in range(4)]
    chains = [1.0, 4.0, 2.0, 3.0] * 6
    assert order_of_work(chains, draws, workers=1) == list(range(24))
    two = order_of_work(chains, draws, workers=2)
    assert [draws[i] for i in two] == sorted(draws)
    assert [chains[i] for i in two[:4]] == [4.0, 3.0, 2.0, 1.0]
    many = order_of_work(chains, draws, workers=12)
    assert [chains[i] for i in many] == sorted(chains, reverse=True)
    assert [draws[i] for i in many[:6]] == list(range(6))


def test_what_every_draw_needs_comes_with_the_first_ones() -> None:
    """A pretraining, however short its own chain; and equal chains keep their order."""
    chains, draws = [9.0, 1.0, 2.0, 2.0, 3.0, 1.0, 8.0], [1, None, 0, 0, 0, 0, 5]
    assert order_of_work(chains, draws, workers=2) == [4, 2, 3, 1, 5, 0, 6]


@given(
    st.lists(st.tuples(st.floats(0, 100), st.none() | st.integers(0, 9)), max_size=60),
    st.integers(2, 20),
)
def test_rounds_are_of_whole_draws(pieces: list[tuple[float, int | None]], workers: int) -> None:
    """Everything is handed out once; no draw begins before all of the draws of earlier rounds have."""
    chains, draws = [chain for chain, _ in pieces], [draw for _, draw in pieces]
    order = order_of_work(chains, draws, workers)
    assert sorted(order) == list(range(len(pieces)))
    later = sorted({draw for draw in draws if draw is not None})
    place = {draw: [at for at, index in enumerate(order) if draws[index] == draw] for draw in later}
    count = 0
    for draw, following in pairwise(later):
        count += len(place[draw])
        if count >= PER_WORKER * workers:
            assert max(place[draw]) < min(place[following])
            count = 0


@pytest.mark.parametrize(("way", "code"), [(None, 0), (0, 1)])
def test_the_simulation_of_64_workers(way: int | None, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with 0: the order of a comparison is good enough. With that of before, phase by phase, it ends with 1."""
    script = load_script(Path(__file__).parents[2] / "benchmarks" / "cluster_scaling.py")
    monkeypatch.setattr(script, "scale", lambda *_: None)
    monkeypatch.setattr(script, "PRODUCT", script.PRODUCT if way is None else way)
    monkeypatch.setattr(sys, "argv", ["cluster_scaling.py"])
    assert script.main() == code
