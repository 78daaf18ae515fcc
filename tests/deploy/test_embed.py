"""Features are those that probes and nearest neighbors get, in every file format."""

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch

from unmask.data.load import Dataset
from unmask.deploy.embed import embed
from unmask.deploy.trained import read_trained
from unmask.forward import pooled_features


@pytest.mark.case("features in bf16 could not be written")
@pytest.mark.parametrize("name", ["cnn_run", "vit_run", "patchnet_run"])
def test_features_are_those_of_the_probe(
    name: str, request: pytest.FixtureRequest, data: Dataset, tmp_path: Path
) -> None:
    """Bit-equal to what a linear probe is fitted on."""
    run = request.getfixturevalue(name)
    written = embed(run, tmp_path / "f.npz", split="test", progress=False)
    expected = pooled_features(read_trained(run).model, data.tests["test"]).values
    with np.load(tmp_path / "f.npz") as found:
        assert torch.equal(torch.from_numpy(found["features"]), expected)
        assert found["features"].dtype == np.float32
        assert found["path"].tolist() == list(data.tests["test"].names)
        assert [data.classes.index(label) for label in found["label"]] == data.tests["test"].labels.tolist()
    assert (written.images, written.shape) == (18, tuple(expected.shape[1:]))


def test_formats_agree(cnn_run: Path, tmp_path: Path) -> None:
    """CSV and parquet hold every float32 exactly."""
    for ending in ("npz", "csv", "parquet"):
        embed(cnn_run, tmp_path / f"f.{ending}", split="val", progress=False)
    with np.load(tmp_path / "f.npz") as found:
        expected = found["features"]
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names[:3] == ["path", "label", "f0"]
    columns = [table[f"f{i}"].to_numpy() for i in range(expected.shape[1])]
    assert np.array_equal(np.stack(columns, 1).astype(np.float32), expected)
    with (tmp_path / "f.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert np.array_equal(np.asarray([[row[f"f{i}"] for i in range(8)] for row in rows], np.float32), expected)


@pytest.mark.parametrize(("name", "shapes"), [("cnn_run", [(8, 4, 4), (8, 1, 1)]), ("vit_run", [(16, 4, 4)] * 2)])
def test_stages(name: str, shapes: list[tuple[int, ...]], request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A stage's average is the average of its map; the last map of a ResNet averages to the head's input."""
    run = request.getfixturevalue(name)
    for layer, shape in zip((1, -1), shapes, strict=True):
        embed(run, tmp_path / "map.npz", split="val", layer=layer, as_map=True, overwrite=True, progress=False)
        embed(run, tmp_path / "mean.npz", split="val", layer=layer, overwrite=True, progress=False)
        with np.load(tmp_path / "map.npz") as maps, np.load(tmp_path / "mean.npz") as means:
            assert maps["features"].shape == (15, *shape)
            assert np.allclose(maps["features"].mean((2, 3)), means["features"], atol=1e-6)
            deepest = means["features"]
    if name == "cnn_run":
        embed(run, tmp_path / "head.npz", split="val", progress=False)
        with np.load(tmp_path / "head.npz") as head:
            assert np.allclose(head["features"], deepest, atol=1e-5)
