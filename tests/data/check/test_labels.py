"""A check of several labels per image, and of numbers: ranges, rare labels, what is missing, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from unmask.comparison.run import compare
from unmask.config import CompareConfig, DataConfig
from unmask.data.check.report import as_text, check_data
from unmask.data.load import load_data
from unmask.errors import UserError

COUNTS = {"train": 12, "val": 6, "test": 6}


def _check(path: Path) -> tuple[dict[str, dict[str, dict[str, float]]], str]:
    report = check_data(DataConfig(data=str(path)), progress=False)
    return report.numbers, as_text(report)


def test_numbers_have_ranges_by_split(tmp_path: Path) -> None:
    """As the table has them; one of twelve is missing."""
    path, source = tiny.labeled_manifest(tmp_path, "regression", COUNTS), tiny.labeled_source("regression", COUNTS)
    numbers, text = _check(path)
    own = source.labels[source.splits == "train"].astype(float)
    assert numbers["level"]["train"] == pytest.approx(
        {"min": float(np.nanmin(own[:, 0])), "max": float(np.nanmax(own[:, 0])), "missing": 1 / 12}
    )
    assert numbers["squares"]["test"]["missing"] == 0
    assert "2 numbers to learn" in text
    assert "squares in train: min -3, max 9, missing 0" in text
    assert text.endswith("fit for training")


def test_labels_are_counted_and_rare_ones_named(tmp_path: Path) -> None:
    """In each split; also those that nearly all images have."""
    tiny.draw(tmp_path, *(f"{i}.png" for i in range(20)), mode="L")
    splits = ["train"] * 12 + ["val"] * 4 + ["test"] * 4
    own = ["common;rare" if i in (0, 12) else "common" if i % 4 else ";" for i in range(20)]
    rows = [f"{i}.png,{splits[i]},{own[i]}" for i in range(20)]
    (tmp_path / "m.csv").write_text("path,split,label\n" + "\n".join(rows) + "\n")
    report = check_data(DataConfig(data=str(tmp_path / "m.csv")), progress=False)
    assert report.classes["rare"] == {"train": 1, "val": 1}
    assert report.task == "multilabel"
    assert "train: fewer than 3 images have rare (1)" in report.warnings
    assert "train: fewer than 3 images lack common (2)" in report.warnings
    assert "2 labels" in as_text(report)


def test_missing_labels_and_two_labels_of_one_picture_are_told(tmp_path: Path) -> None:
    """The second is found among equal pixels; labels that are rows are compared as rows."""
    tiny.draw(tmp_path, *(f"{i}.png" for i in range(10)), mode="L")
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    rows = [f"{i}.png,train,{i % 2},{'' if i < 2 else (i // 2) % 2}" for i in range(8)]
    rows += ["copy.png,train,1,0", "8.png,val,1,0", "9.png,test,0,1"]
    (tmp_path / "m.csv").write_text("path,split,label a,label b\n" + "\n".join(rows) + "\n")
    report = check_data(DataConfig(data=str(tmp_path / "m.csv")), progress=False)
    assert "train: unknown for some labeled images: b (22%)" in report.warnings
    assert any("1 picture of the same pixels have different labels" in line for line in report.warnings)


def test_numbers_beyond_those_of_training_are_told(tmp_path: Path) -> None:
    tiny.draw(tmp_path, *(f"{i}.png" for i in range(9)), mode="L")
    rows = [f"{i}.png,{'train' if i < 6 else 'test'},{i + 0.5}" for i in range(9)]
    (tmp_path / "m.csv").write_text("path,split,label\n" + "\n".join(rows) + "\n")
    assert "test: label ranges from 6.5 to 8.5, beyond the 0.5 to 5.5 of training" in _check(tmp_path / "m.csv")[1]


@pytest.mark.parametrize(
    ("header", "row", "line"),
    [
        (
            "label",
            lambda i: "a;b" if i > 5 else "a" if i % 2 else ";",
            "label b has validation or test images, but no training",
        ),
        (
            "label x,label y",
            lambda i: f"{i}.5,{i if i > 5 else ''}",
            "y is known for validation or test images, but for no",
        ),
    ],
)
def test_what_training_has_no_example_of_is_an_error(tmp_path: Path, header: str, row: object, line: str) -> None:
    """The check says what training says."""
    tiny.draw(tmp_path, *(f"{i}.png" for i in range(9)), mode="L")
    rows = [f"{i}.png,{'train' if i < 6 else 'test'},{row(i)}" for i in range(9)]  # type: ignore[operator]
    (tmp_path / "m.csv").write_text(f"path,split,{header}\n" + "\n".join(rows) + "\n")
    config = DataConfig(data=str(tmp_path / "m.csv"))
    assert any(line in error for error in check_data(config, progress=False).errors)
    with pytest.raises(UserError, match=line):
        load_data(config, labels=True, progress=False)


def test_a_comparison_whose_metric_is_undefined_is_refused(tmp_path: Path) -> None:
    """Before its folder is touched: on validation images that are all alike nothing can be chosen."""
    source = tiny.labeled_source("multilabel", COUNTS)
    source.labels[source.splits == "val"] = [1, 0]
    data = load_data(DataConfig(data="x"), labels=True, progress=False, given=source)
    config = CompareConfig(
        data=replace(tiny.DATA, data="given:x"),
        encoder=tiny.RESNET,
        pretrain=tiny.pretrain_recipe(steps=1, batch_size=4),
        budgets=("total:6",),
        given=None,
    )
    with pytest.raises(UserError, match="metric = 'mean_average_precision': undefined on the 6 validation images"):
        compare(config, tmp_path / "run", progress=False, dataset=data)
    assert not (tmp_path / "run").exists()
