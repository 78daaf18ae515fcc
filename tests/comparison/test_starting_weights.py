"""Pretrainings that are given differ, and a comparison that is resumed starts from the weights it began with."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from unmask.comparison.run import compare
from unmask.comparison.starting_weights import require_same_weights
from unmask.config import CompareConfig
from unmask.errors import UserError


def _weights(folder: Path, value: float) -> Path:
    """A folder that holds the weights of a run."""
    folder.mkdir(exist_ok=True)
    save_file({"stem.weight": torch.full((8, 16), value)}, folder / "encoder.safetensors")
    return folder


@pytest.mark.case("the same pretraining given twice: an interval over 2 pretrainings")
def test_the_same_pretraining_given_twice_is_refused(config: CompareConfig, tmp_path: Path) -> None:
    """By its path or, as for two runs of one seed, by its weights; before images are read."""
    first, second = _weights(tmp_path / "a", 0.5), _weights(tmp_path / "b", 0.5)
    for runs, text in (((first, first), "a is given twice"), ((first, second), "b has the same weights as .*a: ")):
        with pytest.raises(UserError, match=text):
            compare(replace(config, pretrained=runs, pretrainings=None), tmp_path / "table", progress=False)
    assert not (tmp_path / "table").exists()


@pytest.mark.case("weights changed between two sessions: the table mixed trials from both")
@pytest.mark.parametrize("field", ["pretrained", "given"])
def test_weights_that_changed_are_not_resumed_from(field: str, tmp_path: Path) -> None:
    """Their contents count, not their file's name or date."""
    run, out = _weights(tmp_path / "run", 0.5), tmp_path / "table"
    config = CompareConfig(pretrained=(run,)) if field == "pretrained" else CompareConfig(given=str(run))
    require_same_weights(config, out)
    shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(run)
    (tmp_path / "copy").rename(run)
    require_same_weights(config, out)
    _weights(run, 0.25)
    with pytest.raises(UserError, match=r"the weights of .*run are not those the comparison began with"):
        require_same_weights(config, out)


def test_public_weights_have_no_file_to_compare(tmp_path: Path) -> None:
    """Their name says which they are."""
    require_same_weights(CompareConfig(given="timm:pretrained"), tmp_path)
