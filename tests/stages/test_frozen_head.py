"""The head of a frozen encoder: the probe where validation images prefer it, the trained one where not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from unmask.config import ClassifyConfig, ClassifyRecipe, OptimizerConfig
from unmask.config.metric import SCORES, Metric
from unmask.data.load import Dataset
from unmask.encoders.heads import set_head
from unmask.evaluate.probe import linear_probe
from unmask.forward import pooled_features
from unmask.stages.classifier import build_classifier
from unmask.stages.frozen_head import take_probe_where_better
from unmask.stages.supervised import EarlyStopping, fit
from unmask.tasks.regression import Regression
from unmask.training.engine import build_engine

CONFIG = ClassifyConfig(
    data=tiny.DATA,
    encoder=tiny.OVERLAPPING_PATCHNET,
    recipe=ClassifyRecipe(optimizer=OptimizerConfig(steps=2, batch_size=8, lr=1e-5), encoder_lr_scale=0.0),
    budget=8,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Noise, the brighter the higher the class: any encoder's features tell the three apart."""
    labels = np.arange(150) % 3
    noise = np.random.default_rng(0).integers(0, 90, (150, 1, 16, 16))
    path = tmp_path_factory.mktemp("data") / "bright.npz"
    np.savez(path, images=(noise + 60 * labels[:, None, None, None]).astype(np.uint8), labels=labels)
    return tiny.load(path)


@pytest.mark.case("a frozen encoder's head stayed nine points below a probe of the same features")
def test_a_head_that_learned_nothing_gives_way(data: Dataset) -> None:
    """Two tiny steps: the network has the probe's scores, on the test images too; a note says so."""
    outcome = fit(CONFIG, data)
    (note,) = [note for note in outcome.notes if "linear probe" in note]
    assert f"{outcome.metrics['val'].accuracy:.1%} against" in note
    trained = fit(replace(CONFIG, recipe=replace(CONFIG.recipe, encoder_lr_scale=1e-9)), data)
    assert not [note for note in trained.notes if "linear probe" in note]
    assert outcome.metrics["val"].accuracy > trained.metrics["val"].accuracy


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Noise, the brighter the higher the number, around 100."""
    rng = np.random.default_rng(0)
    folder, level = tmp_path_factory.mktemp("numbers"), rng.random(90)
    rows = ["path,label"]
    for index, own in enumerate(level):
        Image.fromarray((rng.integers(0, 60, (16, 16)) + 180 * own).astype(np.uint8)).save(folder / f"{index}.png")
        rows.append(f"{index}.png,{100 + own:.4f}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return tiny.load(folder / "manifest.csv")


@pytest.mark.parametrize("metric", ["mae", "r2"])
def test_the_head_with_the_smaller_error_stays(numbers: Dataset, metric: Metric) -> None:
    """A probe takes the place of a head that says 0 always, whose error is large, and none of a head as good."""
    config = replace(CONFIG, metric=metric, budget=None)
    labeled, val = numbers.train, numbers.val
    assert labeled is not None
    assert val is not None
    assert isinstance(numbers.task, Regression)
    task = numbers.task.fitted(labeled.labels)
    model, engine = build_classifier(config, numbers), build_engine("no")
    model.to(engine.device)
    set_head(model, torch.zeros(1, 8), torch.full((1,), 50.0))
    (note,) = take_probe_where_better(model, task, config, labeled, val, engine)
    assert f"{SCORES[metric].title} " in note
    assert "%" not in note
    with torch.no_grad():
        raw = model.eval()(next(iter(val.batches(torch.arange(len(val)), len(val)))).images.to(engine.device)).cpu()
    assert task.scores(task.readout(raw), val.labels).mae < 0.1  # type: ignore[operator]
    assert take_probe_where_better(model, task, config, labeled, val, engine) == []


def test_training_stops_where_the_error_rises() -> None:
    """The best look is the one with the smallest error."""
    stopping = EarlyStopping(patience=2)
    assert [stopping.improves(SCORES["mae"].merit(error)) for error in (0.5, 0.3, 0.4, 0.6)] == [
        True,
        True,
        False,
        False,
    ]
    assert stopping.over


def test_an_undefined_score_is_no_best_one() -> None:
    """Before the first defined score nothing is waited for, and nothing is kept; afterwards it counts as worse."""
    stopping = EarlyStopping(patience=2)
    undefined = SCORES["r2"].merit(None)
    assert not any(stopping.improves(undefined) for _ in range(5))
    assert (stopping.best, stopping.waited, stopping.over) == (None, 0, False)
    assert "R² was undefined" in "".join(stopping.notes("r2"))
    assert stopping.improves(SCORES["r2"].merit(-3.0))
    assert not any(stopping.improves(undefined) for _ in range(2))
    assert stopping.over
    assert stopping.notes("r2") == []


def test_the_probe_is_that_of_the_labeled_images(data: Dataset) -> None:
    """Its logits are those that scikit-learn's layer gives on the same features; a better head stays to the bit."""
    model, engine = build_classifier(CONFIG, data), build_engine("no")
    model.to(engine.device)
    labeled, val = data.train, data.val
    assert labeled is not None
    assert val is not None
    set_head(model, torch.zeros(3, 8), torch.zeros(3))
    assert take_probe_where_better(model, data.task, CONFIG, labeled, val, engine)
    known, seen = pooled_features(model, labeled), pooled_features(model, val)
    truth = {"val_features": seen.values, "val_labels": val.labels}
    probe = linear_probe(known.values, labeled.labels, seen.values, classes=3, **truth)
    with torch.no_grad():
        logits = model.eval()(next(iter(val.batches(torch.arange(len(val)), len(val)))).images.to(engine.device)).cpu()
    assert torch.equal(logits.argmax(1), probe.outputs.argmax(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert take_probe_where_better(model, data.task, CONFIG, labeled, val, engine) == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
