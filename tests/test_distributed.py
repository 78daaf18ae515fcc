"""What processes exchange: alone every function is the identity, and three processes agree on every answer."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from forks import Forks
from unmask.distributed import (
    all_gather_objects,
    all_reduce_sum,
    any_process,
    fail_together,
    is_main,
    on_main,
    rank,
    require_alike,
    share_of,
    world_size,
)
from unmask.errors import PreemptionError, UserError


def heard(action: Callable[[], Any]) -> Any:
    """What an action returns, or raises for people."""
    try:
        return action()
    except (UserError, OSError, PreemptionError) as error:
        return f"{type(error).__name__}: {error}"
    except SystemExit as error:
        return f"exit {error.code}"


def exchange(folder: str) -> None:
    """What one of three processes does; writes what it got."""
    index = int(os.environ["RANK"])
    dist.init_process_group("gloo")

    def failing(*who: int, error: type[Exception] = UserError) -> None:
        with fail_together():
            if index in who:
                raise error(f"met by {index}")

    def main_only() -> None:
        raise OSError("full disk")

    rows = torch.arange(14).reshape(7, 2)
    found = {
        "place": [rank(), world_size(), is_main()],
        "sum": all_reduce_sum(torch.tensor([1, index])).tolist(),
        "flags": [any_process(index == 2), any_process(False)],
        "objects": [[index, part.tolist()] for index, part in all_gather_objects((index, rows[:index]))],
        "nobody": heard(failing),
        "last": heard(lambda: failing(2)),
        "two": heard(lambda: failing(1, 2)),
        "sigterm": heard(lambda: failing(0, error=PreemptionError)),
        "main": heard(lambda: on_main(lambda: ["of", rank()])),
        "main fails": heard(lambda: on_main(main_only)),
        "alike": heard(lambda: require_alike("data", "a")),
        "unlike": heard(lambda: require_alike("data", f"of {index // 2}")),
    }
    with pytest.raises(KeyError):
        failing(0, 1, 2, error=KeyError)
    found["bug"] = "raised at once"
    Path(folder, f"{index}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of three processes got."""
    folder = tmp_path_factory.mktemp("three")
    ended = forks.run(Path(__file__), "exchange", str(folder), world=3)
    assert ended.codes == [0, 0, 0], ended.said
    return [json.loads((folder / f"{i}.json").read_text()) for i in range(3)]


def test_sums_flags_and_rows_are_those_of_all(found: list[dict[str, Any]]) -> None:
    """Every process gets the same; tensors may be empty or of unequal length."""
    for index, own in enumerate(found):
        assert own["place"] == [index, 3, index == 0]
        assert own["sum"] == [3, 3]
        assert own["flags"] == [True, False]
        assert own["objects"] == [[0, []], [1, [[0, 1]]], [2, [[0, 1], [2, 3]]]]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("nobody", [None, None, None]),
        ("last", ["exit 2", "exit 2", "UserError: met by 2"]),
        ("two", ["exit 2", "UserError: met by 1", "exit 2"]),
        ("sigterm", ["PreemptionError: met by 0", "exit 143", "exit 143"]),
        ("main", [["of", 0], ["of", 0], ["of", 0]]),
        ("main fails", ["OSError: full disk", "exit 2", "exit 2"]),
        ("alike", [None, None, None]),
        (
            "unlike",
            ["UserError: data differs between processes (of 0, of 1): give every process the same", "exit 2", "exit 2"],
        ),
        ("bug", ["raised at once"] * 3),
    ],
)
def test_one_process_speaks_and_all_end(found: list[dict[str, Any]], case: str, said: list[Any]) -> None:
    """The first process with an error raises it, the others exit with the same code; a bug is raised where it is."""
    assert [own.get(case) for own in found] == said


def test_alone_everything_is_the_identity() -> None:
    """No process group is needed, and errors pass through."""
    values = torch.arange(3)
    assert (rank(), world_size(), is_main()) == (0, 1, True)
    assert all_reduce_sum(values) is values
    assert all_gather_objects(values)[0] is values
    assert [any_process(True), any_process(False), on_main(lambda: 7)] == [True, False, 7]
    require_alike("data", "mine")
    for error in (UserError, PreemptionError, KeyError):
        with pytest.raises(error), fail_together():
            raise error("x")


@given(st.integers(0, 40), st.integers(1, 9))
def test_shares_are_a_partition(number: int, processes: int) -> None:
    """Each item is in one share, and sizes differ by one at most."""
    shares = [share_of(torch.arange(number), index, processes) for index in range(processes)]
    assert sorted(torch.cat(shares).tolist()) == list(range(number))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
