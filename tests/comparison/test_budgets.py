"""Default budgets are those that the data have; what was asked for is never another."""

from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from unmask.comparison import run as comparison_run
from unmask.comparison.budgets import fitting_budgets
from unmask.comparison.run import compare
from unmask.config import CompareConfig
from unmask.config.comparison import DEFAULT_BUDGETS
from unmask.data.load import Dataset, load_data
from unmask.errors import UserError
from unmask.runs.read import read_config

CONFIG = CompareConfig(
    data=tiny.DATA,
    encoder=tiny.OVERLAPPING_PATCHNET,
    pretrain=tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=1, batch_size=20),
    arms=("mrp", "scratch_same"),
    given=None,
    jobs=1,
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """20 training images of each of three classes."""
    return load_data(tiny.DATA, labels=True, progress=False)


def _with_fewest(data: Dataset, fewest: int) -> Dataset:
    """The first class has so many training images."""
    assert data.train is not None
    rows = [i for i, label in enumerate(data.train.labels.tolist()) if label != 0]
    first = [i for i, label in enumerate(data.train.labels.tolist()) if label == 0][:fewest]
    return replace(data, train=data.train.select(sorted(rows + first)))


@pytest.mark.parametrize(("fewest", "expected"), [(20, (10, 20)), (19, (10,)), (10, (10,)), (9, (9,)), (1, (1,))])
@pytest.mark.case("the default budgets ended with 'the largest possible budget is 23'")
def test_default_budgets_shrink(fewest: int, expected: tuple[int, ...], data: Dataset) -> None:
    """Those that are possible, and all images of the class where they are many more or none is possible."""
    config, notes = fitting_budgets(CONFIG, _with_fewest(data, fewest))
    assert config.budgets == expected
    assert f"has {fewest} training images" in notes[0]


def test_what_was_asked_for_stays(data: Dataset) -> None:
    """So do default budgets that are possible, and data without labels for others to refuse."""
    for budgets in ((10, 50), DEFAULT_BUDGETS):
        asked = replace(CONFIG, budgets=budgets)
        assert fitting_budgets(asked, data) == (asked, [])
    assert fitting_budgets(CONFIG, replace(data, train=None)) == (CONFIG, [])
    many = load_data(tiny.multiview(images=330), labels=True, progress=False)
    assert fitting_budgets(CONFIG, many) == (replace(CONFIG, budgets=DEFAULT_BUDGETS), [])


def test_the_run_has_the_budgets_it_could_have_and_goes_on_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """config.json tells them; the same command resumes; one that was asked for and is impossible is one line."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison_run, "live_page", interrupt)
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            compare(CONFIG, tmp_path / "run", resume=resume, progress=False)
        config = read_config(tmp_path / "run")
        assert isinstance(config, CompareConfig)
        assert config.budgets == (10, 20)
    for budgets in ((10, 50), DEFAULT_BUDGETS):
        with pytest.raises(UserError, match="50 labeled images per class were requested"):
            compare(replace(CONFIG, budgets=budgets), tmp_path / "other", progress=False)
    assert not (tmp_path / "other").exists()
