"""evaluate_on = "val": half of the validation images stands in for the test."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny
from unmask.comparison.half_split import halve_validation
from unmask.comparison.run import compare
from unmask.config import ClassifyRecipe, DataConfig, OptimizerConfig, PretrainConfig
from unmask.data.load import load_data
from unmask.errors import UserError
from unmask.stages.pretrain import pretrain


def _manifest(folder: Path, groups: list[int]) -> DataConfig:
    """Images of two classes in turn, one of each a group, all validation but the first and the last two."""
    lines = ["path,label,group,split"]
    for index, group in enumerate(groups):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        split = "train" if index < 2 else "test" if index >= len(groups) - 2 else "val"
        lines.append(f"{index}.png,{index % 2},{group},{split}")
    (folder / "table.csv").write_text("\n".join(lines))
    return DataConfig(data=str(folder / "table.csv"))


@pytest.mark.parametrize("seed", range(4))
def test_halves_part_no_group(tmp_path: Path, seed: int) -> None:
    """Six images a group: every group lies in one half, both halves have both classes, every image is in one."""
    groups = [100, 100, *[i // 6 for i in range(60)], 101, 101]
    data = load_data(_manifest(tmp_path, groups), labels=True, progress=False)
    halved = halve_validation(data, seed)
    assert halved.val is not None
    assert data.val is not None
    halves = halved.val, halved.tests["test"]
    homes = [{groups[int(i)] for i in half.ids} for half in halves]
    assert homes[0].isdisjoint(homes[1])
    assert len(homes[0]) == len(homes[1]) == 5
    assert all(set(half.labels.tolist()) == {0, 1} for half in halves)
    assert sorted([*halves[0].ids.tolist(), *halves[1].ids.tolist()]) == sorted(data.val.ids.tolist())
    known = halved.groups_of(halved.val)
    assert known is not None
    pairs = set(zip(known.tolist(), (groups[int(i)] for i in halved.val.ids), strict=True))
    assert len(pairs) == len({group for _, group in pairs}) == len({number for number, _ in pairs}) == 5


@pytest.mark.slow
def test_nothing_that_is_written_speaks_of_test_images(tmp_path: Path) -> None:
    """A whole comparison of images in groups, with its audit and a given run: summary, notes and page."""
    data = _manifest(tmp_path, [i // 6 for i in range(60)])
    lines = (tmp_path / "table.csv").read_text().splitlines()
    splits = ["train"] * 30 + ["val"] * 24 + ["test"] * 6
    rows = [f"{line.rpartition(',')[0]},{split}" for line, split in zip(lines[1:], splits, strict=True)]
    (tmp_path / "table.csv").write_text("\n".join([lines[0], *rows]))
    first = pretrain(
        PretrainConfig(data=tiny.DATA, encoder=tiny.PATCHNET, recipe=tiny.pretrain_recipe(steps=1)),
        tmp_path / "first",
        progress=False,
    )
    config = tiny.comparison(
        data=replace(data, image_size=(16, 16)),
        encoder=tiny.PATCHNET,
        finetune=ClassifyRecipe(optimizer=OptimizerConfig(steps=2, batch_size=8)),
        arms=("mrp", "scratch_same"),
        pretrained=(first,),
        evaluate_on="val",
        audit=True,
        jobs=1,
    )
    folder = compare(config, tmp_path / "answer", progress=False)
    written = "".join((folder / name).read_text() for name in ("summary.json", "environment.json", "report.html"))
    assert re.findall(r"test (?:image|group)s?", written) == []
    assert set(re.findall(r"[^,;\"]*test set[^,;\"<]*", written)) == {" the test set was not used"}
    assert "may have seen the held-out validation images" in written
    assert "12 held-out validation images are of 2 groups" in written
    assert "It is right on" in written
    assert "images of the split held-out validation." in (folder / "audit" / "audit.json").read_text()


def test_one_group_cannot_be_halved(tmp_path: Path) -> None:
    groups = [100, 100, *[0] * 10, 101, 101]
    data = load_data(_manifest(tmp_path, groups), labels=True, progress=False)
    with pytest.raises(UserError, match="evaluate_on = 'val'"):
        halve_validation(data, 0)


def test_without_groups_every_class_is_halved() -> None:
    data = load_data(DataConfig(data="digits"), labels=True, progress=False)
    halved = halve_validation(data, 0)
    assert halved.val is not None
    for label in range(10):
        first, second = (int((half.labels == label).sum()) for half in (halved.val, halved.tests["test"]))
        assert abs(first - second) <= 1
        assert min(first, second) > 0
