"""A tenth of benchmarks/comparison_statistics.py, and that it falls short where a source of chance is left out."""

from pathlib import Path
from types import ModuleType

import pytest

from scripts import load_script
from unmask.inference.variance import Component

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return load_script(BENCHMARKS / "comparison_statistics.py")


@pytest.mark.slow
def test_a_tenth_of_the_grid_holds(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--tenth", "--nulls", "1000"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("comparison_statistics: 74 rows of 100 nulls")
    assert "0 rows short" in last


def _without(source: str, function: str, monkeypatch: pytest.MonkeyPatch, benchmark: ModuleType) -> None:
    whole = getattr(benchmark, function)

    def parts(*values: object) -> list[Component]:
        return [one for one in whole(*values) if source not in one.source.split(" x ")]

    monkeypatch.setattr(benchmark, function, parts)


@pytest.mark.parametrize("source", ["pretraining", "image"])
def test_without_a_source_of_chance_it_falls_short(
    source: str, benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _without(source, "crossed_parts", monkeypatch, benchmark)
    assert benchmark.main(["--tenth", "--nulls", "1000", "--parts", "design"]) == 1


def test_without_the_correction_for_common_images_it_falls_short(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "widen_for_overlap", lambda components, overlap, draws: components)
    assert benchmark.main(["--tenth", "--parts", "overlap"]) == 1


def test_with_images_of_a_group_as_independent_it_falls_short(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--tenth", "--parts", "groups"]
    assert benchmark.main(arguments) == 0
    monkeypatch.setattr("comparison_choices.per_group", lambda values, groups: values)
    assert benchmark.main(arguments) == 1
