"""A comparison whose images are in groups counts groups: in its intervals, its choices, its words and its notes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tiny
from unmask.comparison.notes import group_notes
from unmask.comparison.run import compare
from unmask.comparison.tuning import first_keys, following_keys, read_correct
from unmask.config import CompareConfig, DataConfig
from unmask.data.load import load_data
from unmask.runs.layout import TUNING_OUTPUTS
from unmask.runs.read import read_record
from unmask.runs.summary_records import Summary
from unmask.tasks.classification import Classification
from unmask.training.checkpoint import save_tensors

ALIKE = 4
"""Images of a group."""


def _manifest(folder: Path, *, alike: int = ALIKE) -> DataConfig:
    """Gray images of two classes in groups of so many: 24 for training, 12 for validation and 24 for the test."""
    folder.mkdir()
    lines = ["path,label,group,split"]
    for index in range(60):
        label, split = index // alike % 2, "train" if index < 24 else "val" if index < 36 else "test"
        pixels = np.random.default_rng(index).integers(0, 100 + 100 * label, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        lines.append(f"{index}.png,{'ab'[label]},g{index // alike},{split}")
    (folder / "table.csv").write_text("\n".join(lines))
    return DataConfig(data=str(folder / "table.csv"))


def test_a_note_counts_the_groups(tmp_path: Path) -> None:
    found = group_notes(load_data(_manifest(tmp_path / "alike"), labels=True, progress=False))
    assert len(found) == 1
    assert "the 24 test images are of 6 groups and the 12 validation images are of 3 groups" in found[0]
    assert group_notes(load_data(_manifest(tmp_path / "apart", alike=1), labels=True, progress=False)) == []
    assert group_notes(load_data(tiny.DATA, labels=True, progress=False)) == []


def test_validation_is_read_by_groups(config: CompareConfig, tmp_path: Path) -> None:
    """Two of three groups are right: as one value each, whose mean is that of the images."""
    data = load_data(_manifest(tmp_path / "images"), labels=True, progress=False)
    assert data.val is not None
    one = replace(config, arms=("mrp", "scratch_same"), budgets=(3,), tuning_draws=1)
    recipes = {(3, arm): 0 for arm in one.arms}
    outputs = data.val.labels.clone()
    outputs[:ALIKE] = 1 - outputs[:ALIKE]
    for key in [*first_keys(one), *following_keys(one, recipes)]:
        save_tensors(TUNING_OUTPUTS.path(tmp_path, key.name), {"val": outputs.int()}, {})
    task = Classification(classes=data.classes)
    right = read_correct(one, tmp_path, recipes, task, data.val.labels, data.groups_of(data.val))[3]["mrp"]
    np.testing.assert_allclose(right, [[0.0, 1.0, 1.0]], atol=1e-12)


@pytest.mark.slow
def test_intervals_of_a_comparison_are_over_groups(
    config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = list[int]()

    def read(*arguments: Any) -> Any:
        found = read_correct(*arguments)
        sizes.extend(values.shape[1] for values in found[3].values())
        return found

    monkeypatch.setattr("unmask.comparison.run.read_correct", read)
    small = replace(config, budgets=(3,), arms=("mrp", "scratch_same"))
    methods = {}
    for name, alike in (("alike", ALIKE), ("apart", 1)):
        own = replace(small, data=_manifest(tmp_path / name, alike=alike))
        summary = read_record(Summary, compare(own, tmp_path / f"run {name}", progress=False) / "summary.json")
        methods[name] = {row.method for row in [*summary.differences, *summary.means] if row.split == "test"}
        counted = "6 test groups" if name == "alike" else "24 test images"
        assert all(counted in verdict.sentence for verdict in summary.verdicts)
        assert any("are of 6 groups" in note for note in summary.notes) == (name == "alike")
    assert set(sizes) == {12 // ALIKE, 12}
    assert any("test groups" in method for method in methods["alike"])
    assert not any("test images" in method.split(", for ")[0] for method in methods["alike"])
    assert not any("group" in method for method in methods["apart"])
