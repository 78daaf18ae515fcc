"""Several labels per image, and numbers, from manifest to tables, graphs and features: one training of each kind."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch

import tiny
import unmask
from unmask.config import ClassifyConfig, ClassifyRecipe, DataConfig, OptimizerConfig, PretrainConfig
from unmask.deploy.columns import labels_for
from unmask.deploy.export_check import SIZES
from unmask.deploy.predict import Predicted
from unmask.errors import UserError
from unmask.results import Classification
from unmask.runs.gallery import Gallery
from unmask.runs.read import read_record
from unmask.runs.scores import RegressionScores, value_of
from unmask.tasks.regression import Regression
from unmask.training.step import OnStep, Step

KINDS = ("multilabel", "regression")
COLUMNS = {"multilabel": ("p_bright", "p_dark"), "regression": ("predicted_level", "predicted_squares")}


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Classification:
    """Pretrained on the images, fine-tuned with 16 labels; names of columns lose the word label."""
    folder = tmp_path_factory.mktemp(request.param)
    data = DataConfig(data=str(tiny.labeled_manifest(folder, request.param)))
    encoder = tiny.resnet(unstrided=0)
    recipe = tiny.pretrain_recipe(steps=2, batch_size=8)
    start = unmask.pretrain(PretrainConfig(data=data, encoder=encoder, recipe=recipe), folder / "start", progress=False)
    optimizer = OptimizerConfig(steps=6, batch_size=8, lr=1e-2)
    config = ClassifyConfig(
        data=data,
        encoder=encoder,
        init=str(start),
        recipe=ClassifyRecipe(optimizer=optimizer, evaluations=3, patience=3),
        budget=16,
        save_steps=2,
    )
    return unmask.finetune(config, folder / "run", progress=False)


def test_the_run_knows_its_task_and_counts_images_in_all(trained: Classification) -> None:
    """The metric is the task's first; a validation score is in every look."""
    task = trained.config.data.task
    assert trained.config.metric == {"multilabel": "mean_average_precision", "regression": "r2"}[task]
    assert (trained.config.budget, trained.result.labeled_images) == ("total:16", 16)
    looks = [row for row in trained.metrics if getattr(row, "val_score", None) is not None]
    assert len(looks) == 3


def test_predict_gives_the_runs_scores_to_the_bit(trained: Classification, tmp_path: Path) -> None:
    """Not the first one alone; and the table holds what was scored."""
    found = unmask.predict(trained, tmp_path / "table.csv", split="test", progress=False)
    assert isinstance(found, Predicted)
    assert found.scores == trained.result.metrics["test"]
    assert found.score == value_of(trained.result.metrics["test"], trained.config.metric)
    assert (found.images, found.labeled) == (11, 11)
    with (tmp_path / "table.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert set(COLUMNS[trained.config.data.task]) <= set(rows[0])
    assert all(np.isfinite(float(row[name])) for row in rows for name in COLUMNS[trained.config.data.task])


def test_new_images_without_labels_are_predicted(trained: Classification, tmp_path: Path) -> None:
    tiny.draw(tmp_path / "new", "a.png", "b.png", size=(16, 16), mode="L")
    found = unmask.predict(trained, tmp_path / "table.csv", data=str(tmp_path / "new"), progress=False)
    assert isinstance(found, Predicted)
    assert found.score is None
    assert found.images == 2


def test_labels_of_another_task_are_not_scored(trained: Classification, tmp_path: Path) -> None:
    """Images of the other kind have none of the run's labels: that is said, and no score is told."""
    other = next(kind for kind in KINDS if kind != trained.config.data.task)
    data = str(tiny.labeled_manifest(tmp_path / "other", other))
    found = unmask.predict(trained, tmp_path / "table.csv", data=data, progress=False)
    assert isinstance(found, Predicted)
    assert found.score is None
    assert "no label is known" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "torch-export", "timm", "safetensors"])
def test_every_export_agrees_with_the_run(trained: Classification, tmp_path: Path, to: str) -> None:
    """For batches of 1, 2 and 5, and with its own loading code; the card tells the labels or the scale of numbers."""
    assert SIZES == (1, 2, 5)
    exported = unmask.export(trained, to, tmp_path / to)  # type: ignore[arg-type]
    assert exported.difference <= 1e-4
    card = (tmp_path / to / "README.md").read_text()
    assert {"multilabel": "- labels: bright, dark;", "regression": "level = "}[trained.config.data.task] in card


def test_a_graph_gives_numbers_in_their_own_unit(trained: Classification, tmp_path: Path) -> None:
    """Around 1000 and around 3, as the labels are; labels' logits are those of the table's probabilities."""
    unmask.export(trained, "torch-export", tmp_path / "graph")
    unmask.predict(trained, tmp_path / "table.csv", split="test", progress=False)
    module = torch.export.load(tmp_path / "graph" / "model.pt2").module()
    source = tiny.labeled_source(trained.config.data.task)
    rows = [row for row, split in enumerate(source.splits) if split == "test"]
    stored = torch.stack([torch.from_numpy(np.asarray(source.images.stored(row))) for row in rows]).float()
    found = module(stored).double()
    found = found.sigmoid() if trained.config.data.task == "multilabel" else found
    with (tmp_path / "table.csv").open() as table:
        told = [[float(row[name]) for name in COLUMNS[trained.config.data.task]] for row in csv.DictReader(table)]
    assert torch.allclose(found, torch.tensor(told, dtype=torch.float64), rtol=1e-4, atol=1e-3)


def test_embed_writes_features_beside_labels(trained: Classification, tmp_path: Path) -> None:
    found = unmask.embed(trained, tmp_path / "features.csv", split="test", progress=False)
    assert found.shape == (8,)
    header = (tmp_path / "features.csv").read_text().splitlines()[0]
    names = {"multilabel": "path,label,f0", "regression": "path,label_level,label_squares,f0"}
    assert header.startswith(names[trained.config.data.task])


@pytest.mark.case("a number that one image lacks: a traceback after all work, where a table was to be .parquet")
def test_missing_numbers_in_every_form_of_table(trained: Classification, tmp_path: Path) -> None:
    """A number that is not known is an empty cell in tables, NaN in arrays; labels are text everywhere."""
    unmask.predict(trained, tmp_path / "p.csv", progress=False)
    unmask.predict(trained, tmp_path / "p.parquet", progress=False)
    with (tmp_path / "p.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    table = parquet.read_table(tmp_path / "p.parquet").to_pylist()
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in table] == rows
    unmask.embed(trained, tmp_path / "f.npz", progress=False)
    with np.load(tmp_path / "f.npz") as arrays:
        if trained.config.data.task == "multilabel":
            assert arrays["label"].tolist() == [row["label"] for row in rows]
            return
        found = arrays["label_level"]
    assert found.dtype == np.float64
    assert ["" if value != value else str(value) for value in found.tolist()] == [row["label_level"] for row in rows]
    assert np.isnan(found).sum() == 1


def test_a_training_that_was_stopped_ends_bit_equal(trained: Classification, tmp_path: Path) -> None:
    """With the scale of its numbers, its history and its looks."""

    def stop(step: Step) -> None:
        if step.step == 3:
            raise KeyboardInterrupt

    on_step: OnStep = stop
    part = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        unmask.finetune(trained.config, part, progress=False, on_step=on_step)
    again = unmask.finetune(trained.config, part, resume=True, progress=False)
    assert replace(again.result, seconds=0.0) == replace(trained.result, seconds=0.0)
    assert again.metrics == trained.metrics


def test_a_finished_run_is_resumed_as_it_is(trained: Classification) -> None:
    """Also where neither task nor metric is named again."""
    asked = replace(trained.config, budget=16, metric="accuracy", data=replace(trained.config.data, task="auto"))
    assert unmask.finetune(asked, trained.folder, resume=True, progress=False).result == trained.result


def test_an_audit_says_that_there_is_no_one_class(trained: Classification, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"which {trained.config.data.task} does not have"):
        unmask.audit_runs([trained], tmp_path / "audit", progress=False)


def test_a_metric_of_other_tasks_is_refused(trained: Classification, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{trained.config.data.task} is judged by"):
        unmask.finetune(replace(trained.config, metric="miou"), tmp_path / "run", progress=False)


def test_labels_of_new_data_are_found_by_their_names(trained: Classification, tmp_path: Path) -> None:
    """In another order, some missing, and constant: images to predict on need not show every label."""
    names, values = ("dark", "bright"), {"multilabel": ("0", "1"), "regression": ("3.5", "1050.5")}
    if trained.config.data.task == "regression":
        names = ("squares", "level")
    tiny.draw(tmp_path, "a.png", "b.png", size=(16, 16), mode="L")
    own = ",".join(values[trained.config.data.task])
    (tmp_path / "m.csv").write_text(f"path,label {names[0]},label {names[1]}\na.png,{own}\nb.png,{own}\n")
    found = unmask.predict(trained, tmp_path / "both.csv", data=str(tmp_path / "m.csv"), progress=False)
    assert isinstance(found, Predicted)
    assert found.labeled == 2
    rows = {"multilabel": "per_label", "regression": "per_target"}[trained.config.data.task]
    told = {one.name: one for one in getattr(found.scores, rows)}
    if trained.config.data.task == "multilabel":
        assert (told["bright"].positives, told["dark"].positives) == (2, 0)
    else:
        assert (told["level"].mean, told["squares"].mean) == (1050.5, 3.5)


def test_labels_that_a_run_lacks_are_named(trained: Classification, tmp_path: Path) -> None:
    """A column of numbers more is ignored as any other column is."""
    tiny.draw(tmp_path, "a.png", "b.png", size=(16, 16), mode="L")
    tables = {
        "multilabel": {
            "path,label\na.png,dark;blue\nb.png,bright;green\n": "on 2 labeled; ignored, as labels are none of this "
            "run's: blue, green",
            "path,label\na.png,blue;green\nb.png,green\n": "; no label is known; ignored, as labels are none of this "
            "run's: blue, green",
        },
        "regression": {
            "path,label level,label more\na.png,1050.5,0.5\nb.png,1000.5,1.5\n": "on 2 labeled",
        },
    }
    for number, (table, end) in enumerate(tables[trained.config.data.task].items()):
        (tmp_path / "m.csv").write_text(table)
        out = tmp_path / f"{number}.csv"
        assert str(unmask.predict(trained, out, data=str(tmp_path / "m.csv"), progress=False)).endswith(end)


@pytest.mark.case("a table with label_age alone, of a run with label_age and label_weight: no label is known")
def test_one_of_the_labels_is_found_by_its_name(trained: Classification, tmp_path: Path) -> None:
    """Alone its name keeps the word label, which it loses beside others."""
    name, cells = {"multilabel": ("dark", ("0", "1")), "regression": ("squares", ("3.5", "2.5"))}[
        trained.config.data.task
    ]
    tiny.draw(tmp_path, "a.png", "b.png", size=(16, 16), mode="L")
    (tmp_path / "m.csv").write_text(f"path,label_{name}\na.png,{cells[0]}\nb.png,{cells[1]}\n")
    found = unmask.predict(trained, tmp_path / "table.csv", data=str(tmp_path / "m.csv"), progress=False)
    assert isinstance(found, Predicted)
    assert found.labeled == 2
    if trained.config.data.task == "multilabel":
        told = {one.name: one.positives for one in found.scores.per_label}  # type: ignore[union-attr]
        assert told == {"bright": 0, "dark": 1}
    else:
        (mean,) = (one.mean for one in found.scores.per_target if one.name == name)  # type: ignore[union-attr]
        assert mean == 3.0


@pytest.mark.parametrize(
    ("run", "found", "columns"),
    [
        ("age weight", "label_age", [0, None]),
        ("label_age", "weight age", [1]),
        ("age weight", "target_weight label_age", [1, 0]),
        ("age weight", "label_age target_age weight", [None, 2]),
        ("label_age target_age", "age", None),
        ("label_age target_age", "target_age", [None, 0]),
        ("age", "label", None),
    ],
)
def test_names_with_and_without_the_word_label(run: str, found: str, columns: list[int | None] | None) -> None:
    """Two that are alike without it are not confused."""
    names = found.split()
    values = torch.arange(len(names), dtype=torch.float64)[None]
    got = labels_for(Regression(targets=tuple(run.split())), Regression(targets=tuple(names)), values)
    assert (got is None) == (columns is None)
    if got is not None and columns is not None:
        assert [None if one != one else int(one) for one in got[0].tolist()] == columns


def test_labels_that_do_not_fit_are_not_read(trained: Classification, tmp_path: Path) -> None:
    """A column of text beside images to predict on is no reason to refuse them."""
    tiny.draw(tmp_path, "a.png", "b.png", size=(16, 16), mode="L")
    (tmp_path / "m.csv").write_text("path,label x,label y\na.png,old,3\nb.png,new,4\n")
    found = unmask.predict(trained, tmp_path / "table.csv", data=str(tmp_path / "m.csv"), progress=False)
    assert isinstance(found, Predicted)
    assert (found.images, found.score) == (2, None)


def test_the_page_shows_every_output_and_the_worst_images(trained: Classification) -> None:
    """Scatter and residuals of each number; prevalence of each label; of both the images that are most wrong."""
    page = unmask.write_report([trained]).read_text(encoding="utf-8")
    kind = {"multilabel": "multilabel classification"}.get(trained.config.data.task, trained.config.data.task)
    assert f'class="kicker">{kind} ·' in page
    gallery = read_record(Gallery, trained.folder / "gallery.json")
    (judged,) = gallery.judged
    assert len(judged.worst) == 8
    assert "The worst images" in page
    if trained.config.data.task == "regression":
        scores = trained.result.metrics["test"]
        assert isinstance(scores, RegressionScores)
        errors = [np.abs(np.subtract(one.truth, one.predicted)).mean() for one in judged.numbers]
        assert errors == pytest.approx([one.mae for one in scores.per_target], rel=1e-3)
        assert "squares: prediction minus truth" in page
    else:
        assert judged.numbers == ()
        assert "prevalence, %" in page
        gaps = [max(abs(a - b) for a, b in zip(one.truth, one.predicted, strict=True)) for one in judged.worst]  # type: ignore[operator]
        assert gaps == sorted(gaps, reverse=True)
