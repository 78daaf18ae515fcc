"""A resumed comparison keeps the defaults it found at its start, even where they would now be others."""

from dataclasses import replace
from pathlib import Path

import pytest

from unmask.comparison import compare, cost
from unmask.comparison import run as comparison_run
from unmask.comparison.earlier_defaults import with_earlier_defaults
from unmask.config import CompareConfig
from unmask.errors import UserError
from unmask.runs.files import write_json
from unmask.runs.layout import LOOKS_FILE
from unmask.runs.look_records import LookRows
from unmask.runs.read import read_config, write_config


def begin(config: CompareConfig, out: Path, *, resume: bool, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """Interrupt a comparison before its first training, and return the number of pretrainings in its config.json."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(comparison_run, "live_page", interrupt)
        with pytest.raises(KeyboardInterrupt):
            compare(config, out, resume=resume, progress=False)
    kept = read_config(out)
    assert isinstance(kept, CompareConfig)
    return kept.pretrainings


def test_the_number_of_pretrainings_is_kept(
    config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """config.json has the number that was found; resumed, the comparison keeps it, and refuses another one."""
    asked = replace(config, pretrainings=None)
    assert begin(asked, tmp_path / "run", resume=False, monkeypatch=monkeypatch) == 5
    monkeypatch.setattr(cost, "SHARE", 0.0)
    assert begin(asked, tmp_path / "run", resume=True, monkeypatch=monkeypatch) == 5
    assert begin(asked, tmp_path / "new", resume=True, monkeypatch=monkeypatch) == 1
    with pytest.raises(UserError, match="pretrainings"):
        compare(replace(asked, pretrainings=3), tmp_path / "run", resume=True, progress=False)


def test_a_run_of_an_earlier_version_is_resumed(
    config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its config.json has no number, and stays as it is."""
    asked = replace(config, pretrainings=None)
    begin(asked, tmp_path / "run", resume=False, monkeypatch=monkeypatch)
    kept = read_config(tmp_path / "run")
    assert isinstance(kept, CompareConfig)
    write_config(tmp_path / "run", replace(kept, pretrainings=None))
    assert begin(asked, tmp_path / "run", resume=True, monkeypatch=monkeypatch) is None


def test_what_is_given_counts(config: CompareConfig, tmp_path: Path) -> None:
    """Earlier defaults replace nothing that was asked for, and nothing without `resume`."""
    write_config(tmp_path, replace(config, pretrainings=5, budgets=(4,)))
    asked = replace(config, pretrainings=None, budgets=())
    assert with_earlier_defaults(asked, tmp_path, resume=True) == replace(asked, pretrainings=5, budgets=(4,))
    assert with_earlier_defaults(asked, tmp_path, resume=False) == asked
    assert with_earlier_defaults(asked, tmp_path / "other", resume=True) == asked
    given = replace(config, pretrainings=2, budgets=(3,))
    assert with_earlier_defaults(given, tmp_path, resume=True) == given


def test_what_has_looked_continues_in_looks(config: CompareConfig, tmp_path: Path) -> None:
    """Its draws have spent error; also where the resumed command names neither the looks nor the number of draws."""
    write_config(tmp_path, replace(config, until="decided", draws=12))
    asked = replace(config, until="draws", draws=None)
    assert with_earlier_defaults(asked, tmp_path, resume=True) == replace(asked, draws=12)
    write_json(tmp_path / LOOKS_FILE, LookRows(looks=()))
    assert with_earlier_defaults(asked, tmp_path, resume=True) == replace(asked, draws=12, until="decided")
    timed = replace(asked, within="40m")
    assert with_earlier_defaults(timed, tmp_path, resume=True) == replace(timed, draws=12)
    assert with_earlier_defaults(asked, tmp_path, resume=False) == asked
