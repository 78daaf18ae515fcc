"""The networks of a comparison: the best of every arm stays, predicts what its trial scored, and is what users get."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from unmask.audit.networks import read_weights
from unmask.cli.main import main
from unmask.comparison import tasks as comparison_tasks
from unmask.comparison.kept_networks import drop_outranked, lacking, network_files
from unmask.comparison.plan import TrialKey, all_trials
from unmask.comparison.run import compare
from unmask.config import ClassifyRecipe, CompareConfig, OptimizerConfig
from unmask.deploy.embed import embed
from unmask.deploy.export import export
from unmask.deploy.predict import predict
from unmask.errors import UserError
from unmask.runs.files import read_json, write_json
from unmask.runs.gallery import Gallery
from unmask.runs.kept import choose_network
from unmask.runs.layout import COMPARISON, GALLERY_FILE, NETWORKS, OUTPUTS, TRIALS, foreign_files
from unmask.runs.read import read_record
from unmask.runs.scores import ClassificationScores, ClassScores
from unmask.runs.trial_records import TrialResult
from unmask.training.checkpoint import load_tensors
from unmask.weights.card import load_weights, save_weights
from unmask.weights.network import load_model

pytestmark = pytest.mark.slow  # a comparison is trained first

CONFIG = CompareConfig(
    data=tiny.DATA,
    encoder=tiny.RESNET,
    finetune=ClassifyRecipe(optimizer=OptimizerConfig(steps=6, batch_size=8, lr=3e-3)),
    budgets=(3, 5),
    draws=2,
    arms=("scratch_same", "probe_random"),
    jobs=1,
)


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison of two arms."""
    return compare(CONFIG, tmp_path_factory.mktemp("runs") / "answer", progress=False)


def _trials(folder: Path) -> dict[str, TrialResult]:
    return {file.stem: read_record(TrialResult, file) for file in TRIALS.found(folder)}


def test_the_best_network_of_every_arm_stays(answer: Path) -> None:
    """At the largest budget, by validation accuracy; nothing else lies in the folder."""
    trials = _trials(answer)
    best = []
    for arm in CONFIG.arms:
        names = [name for name, one in trials.items() if (one.arm, one.budget) == (arm, 5)]
        best.append(max(names, key=lambda name: trials[name].metrics["val"].accuracy))
    assert [file.stem for file in NETWORKS.found(answer)] == sorted(best)
    assert foreign_files(answer, COMPARISON) == []


def test_the_gallery_is_of_its_trainings(answer: Path) -> None:
    """Mistakes of the averaged predictions of every arm; the map is that of the network that predict would use."""
    gallery = read_record(Gallery, answer / GALLERY_FILE)
    labels = tiny.load_data(tiny.DATA, labels=True, progress=False).tests["test"].labels
    assert [(one.arm, one.trainings, one.images) for one in gallery.mistakes] == [(arm, 2, 30) for arm in CONFIG.arms]
    for one in gallery.mistakes:
        files = [OUTPUTS.path(answer, f"{one.arm}-b3-d{draw}") for draw in range(2)]
        mean = sum(load_tensors(file)[0]["test"].float().softmax(1) for file in files) / 2
        assert one.wrong == int((mean.argmax(1) != labels).sum())
    chosen = choose_network(answer)
    assert gallery.map is not None
    right = [one.image.truth == one.image.predicted for one in gallery.map.points]
    assert np.mean(right) == pytest.approx(chosen.trial.metrics["test"].accuracy)
    assert gallery.map.network.endswith("5 labels per class")


def test_the_map_has_images_as_its_network_has_them(answer: Path, tmp_path: Path) -> None:
    """Normalized by the mean and deviation on the network's own card."""
    folder = Path(shutil.copytree(answer, tmp_path / "copy"))
    file = choose_network(folder).file
    tensors, card = load_weights(file)
    assert card is not None
    own = replace(card.format, mean=(0.9,), std=(0.05,))
    save_weights(file, tensors, replace(card, format=own))
    (folder / GALLERY_FILE).unlink()
    compare(CONFIG, folder, resume=True, progress=False)
    found = read_record(Gallery, folder / GALLERY_FILE).map
    assert found is not None
    pixels, model = (
        tiny.load_data(tiny.DATA, labels=True, progress=False).tests["test"].raw(range(30)),
        load_model(file),
    )
    predicted = [model.module(one.normalize(pixels)).argmax(1).tolist() for one in (own, card.format)]
    assert [one.image.predicted for one in found.points] == predicted[0] != predicted[1]


def test_a_gallery_is_made_anew_after_a_trial(answer: Path, tmp_path: Path) -> None:
    """And only then: a finished comparison that is opened again keeps it."""
    folder = Path(shutil.copytree(answer, tmp_path / "copy"))
    before = (folder / GALLERY_FILE).stat().st_mtime_ns
    compare(CONFIG, folder, resume=True, progress=False)
    assert (folder / GALLERY_FILE).stat().st_mtime_ns == before
    TRIALS.found(folder)[0].unlink()
    compare(CONFIG, folder, resume=True, progress=False)
    assert (folder / GALLERY_FILE).stat().st_mtime_ns > before


@pytest.mark.parametrize("arm", CONFIG.arms)
def test_it_predicts_what_its_trial_scored(answer: Path, arm: str, tmp_path: Path) -> None:
    """A probe, too: its encoder with the regression as the head."""
    chosen = choose_network(answer, arm)
    for split in ("val", "test"):
        written = predict(answer, tmp_path / f"{split}.csv", arm=arm, split=split, progress=False)
        assert written.accuracy == chosen.trial.metrics[split].accuracy
    assert f"network of arm {arm}" in str(written)


def test_without_an_arm_it_is_the_best_one(answer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By mean validation accuracy; every command says which network it uses."""
    trials = _trials(answer).values()

    def mean(arm: str) -> float:
        return float(np.mean([t.metrics["val"].accuracy for t in trials if (t.arm, t.budget) == (arm, 5)]))

    best = max(CONFIG.arms, key=mean)
    with pytest.raises(SystemExit) as end:
        main(["predict", str(answer), "--out", str(tmp_path / "p.csv"), "--quiet"])
    assert end.value.code == 0
    assert f"network of arm {best} (" in capsys.readouterr().out
    assert f"arm {best} " in str(embed(answer, tmp_path / "f.npz", split="test", progress=False))
    exported = export(answer, "safetensors", tmp_path / "out")
    assert f"arm {best} " in str(exported)
    assert exported.difference < 1e-5
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"(arm {best} of a comparison)" in card
    assert "15 labeled training images" in card
    with pytest.raises(SystemExit) as end:
        main(["audit", str(answer), "--arm", "scratch_same", "--images", "6", "--out", str(tmp_path / "audit")])
    assert end.value.code == 0
    assert "network of arm scratch_same" in capsys.readouterr().err
    (weights,) = read_weights([choose_network(answer, "scratch_same").file])
    assert weights.fingerprint is not None


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["predict", "ANSWER", "--arm", "mrp"], "kept no network of arm mrp; its arms are scratch_same, probe_random"),
        (["predict", "UNFINISHED"], "is a comparison that is not finished; continue it with --resume"),
        (["predict", "NONE"], "has kept no network; compare with --resume and --keep best"),
    ],
)
def test_what_is_not_there_is_named(
    words: list[str], text: str, answer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that tells what can be done."""
    for name in ("UNFINISHED", "NONE"):
        (tmp_path / name / "trials").mkdir(parents=True)
        for file in (answer / "config.json", answer / "summary.json", *TRIALS.found(answer)):
            if (name, file.name) != ("UNFINISHED", "summary.json"):
                (tmp_path / name / file.relative_to(answer)).write_bytes(file.read_bytes())
    places = {name: str(tmp_path / name) for name in ("UNFINISHED", "NONE")} | {"ANSWER": str(answer)}
    with pytest.raises(SystemExit) as end:
        main([places.get(word, word) for word in words] + ["--out", str(tmp_path / "p.csv"), "--quiet"])
    assert end.value.code == 2
    assert text in capsys.readouterr().err


def test_networks_may_come_later(answer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--keep none, then --resume --keep best: of every arm the best trial alone is trained again, to the same bits."""
    folder = compare(replace(CONFIG, keep="none"), tmp_path / "run", progress=False)
    assert not NETWORKS.found(folder)
    trained: list[str] = []
    run_trial = comparison_tasks.run_trial
    monkeypatch.setattr(comparison_tasks, "run_trial", lambda *a: (trained.append(a[1].name), run_trial(*a))[1])
    compare(CONFIG, folder, resume=True, progress=False)
    assert sorted(trained) == [file.stem for file in NETWORKS.found(folder)]
    for one, other in zip(NETWORKS.found(folder), NETWORKS.found(answer), strict=True):
        assert (one.name, one.read_bytes()) == (other.name, other.read_bytes())


def _finish(out: Path, key: TrialKey, accuracy: float) -> None:
    """A finished trial with its network."""
    scores = ClassificationScores(
        accuracy=accuracy,
        balanced_accuracy=accuracy,
        macro_f1=accuracy,
        auroc=None,
        per_class=(ClassScores(name="a", recall=1.0, precision=1.0, images=1),),
        confusion=((0, 0, 1),),
    )
    result = TrialResult(
        arm=key.arm,
        budget=key.budget,
        draw=key.draw,
        pretraining=key.pretraining,
        metrics={"val": scores},
        labeled_images=key.budget,
        seconds=1.0,
        history=(),
        probe_strength=None,
    )
    write_json(TRIALS.path(out, key.name), result)
    NETWORKS.path(out, key.name).parent.mkdir(exist_ok=True)
    NETWORKS.path(out, key.name).touch()


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, ["scratch_same-b5-d1"]),
        ({"keep": "all"}, [f"scratch_same-b{budget}-d{draw}" for budget in (3, 5) for draw in range(3)]),
        ({"keep": "none"}, []),
        ({"audit": True}, ["scratch_same-b3-d0", "scratch_same-b3-d1", "scratch_same-b3-d2", "scratch_same-b5-d1"]),
        ({"audit": True, "keep": "none"}, [f"scratch_same-b3-d{draw}" for draw in range(3)]),
        ({"audit": True, "budgets": (5, 3)}, [f"scratch_same-b5-d{draw}" for draw in range(3)]),
    ],
)
def test_what_stays(changes: dict[str, object], left: list[str], tmp_path: Path) -> None:
    """Whatever the order in which trials finish; what should be there and is not is trained again."""
    config = replace(CONFIG, draws=3, arms=("scratch_same",), **changes)  # type: ignore[arg-type]
    files = network_files(config, tmp_path, (20, 20, 20))
    accuracy = {0: 0.2, 1: 0.9, 2: 0.9}
    for key in sorted(all_trials(config), key=lambda key: -key.draw):
        _finish(tmp_path, key, accuracy[key.draw])
        if key in files:
            drop_outranked(tmp_path, files[key])
        else:
            NETWORKS.path(tmp_path, key.name).unlink()
    assert [file.stem for file in NETWORKS.found(tmp_path)] == left
    assert lacking(tmp_path, files) == set()
    for file in NETWORKS.found(tmp_path):
        file.unlink()
    assert sorted(key.name for key in lacking(tmp_path, files)) == left


def test_a_network_being_written_is_left_alone(tmp_path: Path) -> None:
    """A worker writes its network before its trial counts as finished: another one must not delete it."""
    files = network_files(CONFIG, tmp_path, (20, 20, 20))
    one, other = (TrialKey(5, draw, "scratch_same", None) for draw in range(2))
    _finish(tmp_path, one, 0.9)
    NETWORKS.path(tmp_path, other.name).touch()
    drop_outranked(tmp_path, files[one])
    assert len(NETWORKS.found(tmp_path)) == 2


def test_a_pretraining_of_a_comparison_points_to_it(tmp_path: Path) -> None:
    """The way from there is up, to the comparison, which holds classifiers."""
    small = replace(
        CONFIG, encoder=tiny.PATCHNET, arms=("mrp",), budgets=(3,), draws=1, pretrain=tiny.pretrain_recipe(steps=1)
    )
    folder = compare(small, tmp_path / "answer", progress=False)
    with pytest.raises(UserError, match=rf"the classifiers are those of its comparison, {folder.resolve()}"):
        predict(folder / "pretrain" / "seed_0", tmp_path / "p.csv", progress=False)


def test_the_card_says_that_halves_of_the_validation_images_were_used(answer: Path, tmp_path: Path) -> None:
    """With `evaluate_on` = val nothing was measured on test images, so none are named."""
    assert "| test images | 30 |" in _card(answer, tmp_path / "tested")
    halved = Path(shutil.copytree(answer, tmp_path / "halved"))
    write_json(halved / "config.json", {**read_json(halved / "config.json"), "evaluate_on": "val"})
    card = _card(halved, tmp_path / "out")
    assert "| half of the validation images | 30 |" in card
    assert "| the other half of the validation images | 30 |" in card
    assert "The test set was not used." in card
    assert "test images" not in card


def _card(folder: Path, out: Path) -> str:
    export(folder, "safetensors", out)
    return (out / "README.md").read_text(encoding="utf-8")
