"""What a comparison claims, at any budget and for any question, before it trains the rivals that must confirm it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tiny
from unmask.comparison import table
from unmask.comparison.tuning import Choice
from unmask.config import CompareConfig
from unmask.data.load import load_data


@pytest.mark.parametrize("word", ["gain", "loss", "equivalent", "undecided"])
@pytest.mark.parametrize("place", ["verdicts", "recommendations"])
def test_a_gain_or_equivalence_anywhere_is_a_claim(
    config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, place: str
) -> None:
    """In a verdict or a recommendation, at the level that is asked for."""
    asked: list[float] = []

    def summary(config: CompareConfig, *_: Any, **__: Any) -> SimpleNamespace:
        asked.append(config.confidence)
        rows = {"verdicts": [SimpleNamespace(verdict="loss")], "recommendations": []}
        rows[place] = [*rows[place], SimpleNamespace(verdict=word)]
        return SimpleNamespace(**rows)

    monkeypatch.setattr(table, "build_summary", summary)
    data = load_data(tiny.DATA, labels=True, progress=False)
    found = table.claims(config, tmp_path, data, Choice({}, {}), 0.03)
    assert found == (word in ("gain", "equivalent"))
    assert asked == [0.97]
