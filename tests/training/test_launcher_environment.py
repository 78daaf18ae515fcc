"""What a launcher leaves in the environment, whole or in part."""

import os

import pytest

from unmask.errors import UserError
from unmask.training.launch import require_whole_launch

WHOLE = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture(autouse=True)
def _none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WHOLE:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "given", [{}, WHOLE, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": ""}, {"WORLD_SIZE": "1", "RANK": "0"}]
)
def test_a_launch_or_none(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is refused that a launcher, or a scheduler's job of one process, sets."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    require_whole_launch()
    assert {name: os.environ[name] for name in given} == given


@pytest.mark.case("leftovers of a launcher ended in torch's traceback")
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"LOCAL_RANK": "0"}, "LOCAL_RANK are set, but not WORLD_SIZE, RANK, MASTER_ADDR, MASTER_PORT"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE are set, but not RANK, MASTER_ADDR, MASTER_PORT"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "for a single one unset WORLD_SIZE RANK"),
        ({name: value for name, value in WHOLE.items() if name != "MASTER_PORT"}, "but not MASTER_PORT"),
        (WHOLE | {"RANK": "2"}, "RANK = 2 is not below WORLD_SIZE = 2"),
        ({"RANK": "3"}, "RANK = 3 is not below WORLD_SIZE = 1"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE = 'two' is not a number"),
    ],
)
def test_leftovers_are_named(given: dict[str, str], wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the variables and what to do."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=wanted):
        require_whole_launch()
