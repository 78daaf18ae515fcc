"""Predictions have the numbers of the run's own evaluation, and say plainly what they were not given."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

from unmask.cli.main import main
from unmask.config import ClassifyConfig, CompareConfig
from unmask.data import source_pixels
from unmask.data.fingerprint import digest_streamed
from unmask.data.load import Dataset
from unmask.deploy.embed import embed
from unmask.deploy.images import load_as_trained
from unmask.deploy.predict import Predicted, logits, predict
from unmask.deploy.trained import Trained, read_trained
from unmask.errors import UserError
from unmask.evaluate.metrics import classification_metrics
from unmask.runs.files import read_json
from unmask.runs.read import read_record, write_config
from unmask.runs.records import ClassificationResult
from unmask.stages.supervised import fit


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five gray PNGs of other sizes than the run's, two of them in a folder that is not a class of the run."""
    rng = np.random.default_rng(0)
    for index in range(5):
        folder = tmp_path / "pictures" / ("0" if index < 3 else "other")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + index, 24), dtype=np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "pictures"


@pytest.mark.case("the order of classes differed between tools")
@pytest.mark.parametrize("name", ["cnn_run", "patchnet_run"])
@pytest.mark.parametrize("split", ["val", "test", "single_2"])
def test_scores_are_those_of_the_run(name: str, split: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """In float32 and in bf16: accuracy, recalls and confusions of the table are those of result.json to the bit."""
    run = request.getfixturevalue(name)
    written = predict(run, tmp_path / "p.csv", split=split, progress=False)
    expected = read_record(ClassificationResult, run / "result.json").metrics[split]
    assert written.accuracy == expected.accuracy
    rows = _rows(tmp_path / "p.csv")
    classes = [name[2:] for name in rows[0] if name.startswith("p_")]
    shares = torch.tensor([[float(row[f"p_{name}"]) for name in classes] for row in rows], dtype=torch.float64)
    assert torch.allclose(shares.sum(1), torch.ones(len(rows), dtype=torch.float64), atol=1e-12)
    truth = torch.tensor([classes.index(row["label"]) for row in rows])
    metrics = classification_metrics(shares.log(), truth, classes)
    assert metrics.confusion == expected.confusion
    assert metrics.per_class == expected.per_class
    assert [row["predicted"] for row in rows] == [classes[i] for i in shares.argmax(1).tolist()]


@pytest.mark.case("another normalization in the exported file halved the accuracy")
def test_logits_are_bit_equal_to_evaluation(training: ClassifyConfig, data: Dataset, cnn_run: Path) -> None:
    """Weights through the file, images read anew, cached or streamed by workers: the same bits."""
    expected = fit(training, data).outputs["test"]
    trained = read_trained(cnn_run)
    chosen = load_as_trained(trained, None).images("test")
    outputs = logits(trained, chosen)
    assert torch.equal(outputs.images.ids, data.tests["test"].ids)
    assert torch.equal(outputs.values, expected)
    streamed = replace(trained, data=replace(trained.data, cache_mib=0, workers=1))
    chosen = load_as_trained(streamed, None).images("test")
    assert not chosen.pixels.cached
    assert torch.equal(logits(streamed, chosen).values, expected)


def test_logits_are_bit_equal_in_bf16(training: ClassifyConfig, data: Dataset, patchnet_run: Path) -> None:
    """A run evaluated in mixed precision predicts in it: float32 would give other numbers."""
    recipe = replace(training.recipe, optimizer=replace(training.recipe.optimizer, precision="bf16"))
    trained = read_trained(patchnet_run)
    expected = fit(replace(training, encoder=trained.card.encoder, recipe=recipe), data).outputs["test"]
    chosen = load_as_trained(trained, None).images("test")
    assert torch.equal(logits(trained, chosen).values, expected)
    assert not torch.equal(logits(replace(trained, precision="no"), chosen).values, expected)


def test_new_pictures(cnn_run: Path, pictures: Path, tmp_path: Path) -> None:
    """Any size; labels are the folder's; only those that the run knows are scored; CSV and parquet agree."""
    written = predict(cnn_run, tmp_path / "p.csv", data=str(pictures), progress=False)
    assert (written.images, written.labeled, written.left_out) == (5, 3, 0)
    assert written.unknown == {"other": 2}
    assert "; 2 have a label that is not a class of this run (other)" in str(written)
    share = f"{written.right / 3:.1%}"
    assert f"({share}, balanced {share}; the most frequent class is 100.0%, chance 100.0%)" in str(written)
    rows = _rows(tmp_path / "p.csv")
    assert [row["path"] for row in rows] == ["0/0.png", "0/1.png", "0/2.png", "other/3.png", "other/4.png"]
    assert [row["label"] for row in rows] == ["0"] * 3 + ["other"] * 2
    assert written.right == sum(row["predicted"] == "0" for row in rows[:3])
    predict(cnn_run, tmp_path / "p.parquet", data=str(pictures), progress=False)
    table = parquet.read_table(tmp_path / "p.parquet").to_pylist()
    assert [{name: str(value) for name, value in row.items()} for row in table] == rows


def test_image_files_by_name(cnn_run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file and several: the predictions they get in their folder, called by the paths given."""
    predict(cnn_run, tmp_path / "all.csv", data=str(pictures), progress=False)
    expected = [row["p_0"] for row in _rows(tmp_path / "all.csv")]
    names = [str(pictures / "other" / "4.png"), str(pictures / "0" / "1.png")]
    with pytest.raises(SystemExit) as end:
        main(["predict", str(cnn_run), "--data", *names, "--out", str(tmp_path / "two.csv"), "--quiet"])
    assert end.value.code == 0
    assert "two.csv: 2 images; no label is known\n" in capsys.readouterr().out
    rows = _rows(tmp_path / "two.csv")
    assert [row["path"] for row in rows] == names
    assert [float(row["p_0"]) for row in rows] == pytest.approx([float(expected[i]) for i in (4, 1)], abs=1e-6)
    written = predict(cnn_run, tmp_path / "one.csv", data=names[1], progress=False)
    assert str(written) == f"{tmp_path / 'one.csv'}: 1 image; no label is known"
    assert "label" not in _rows(tmp_path / "one.csv")[0]
    embed(cnn_run, tmp_path / "one.npz", data=names[:1], progress=False)
    with np.load(tmp_path / "one.npz") as found:
        assert found["path"].tolist() == names[:1]


@pytest.mark.parametrize(("name", "text"), [("0", "a folder"), ("x.png", "not there"), ("notes.txt", "not an image")])
def test_what_is_not_an_image_file_is_named(
    name: str, text: str, cnn_run: Path, pictures: Path, tmp_path: Path
) -> None:
    """Beside image files there can be nothing else."""
    (pictures / "notes.txt").write_text("")
    names = [str(pictures / "0" / "1.png"), str(pictures / name)]
    with pytest.raises(UserError, match=f"{name} is {text}"):
        predict(cnn_run, tmp_path / "p.csv", data=names, progress=False)


def test_scores_that_are_no_numbers_are_an_error(
    cnn_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN probabilities are never a result: one line names the first image, and no file is left."""

    def broken(run: Path, arm: str | None) -> Trained:
        trained = read_trained(run, arm)
        for weights in trained.model.parameters():
            weights.data.fill_(torch.nan)
        return trained

    monkeypatch.setattr("unmask.deploy.predict.read_trained", broken)
    monkeypatch.setattr("unmask.deploy.embed.read_trained", broken)
    with pytest.raises(UserError, match=r"scores of 5 images are not finite numbers, the first is that of 0/0\.png"):
        predict(cnn_run, tmp_path / "p.csv", data=str(pictures), progress=False)
    with pytest.raises(UserError, match="features of 5 images"):
        embed(cnn_run, tmp_path / "p.csv", data=str(pictures), progress=False)
    assert not (tmp_path / "p.csv").exists()


def test_order_and_company_do_not_matter(cnn_run: Path, pictures: Path, tmp_path: Path) -> None:
    """An image gets the same prediction alone as among others, up to the rounding of another batch size."""
    predict(cnn_run, tmp_path / "all.csv", data=str(pictures), progress=False)
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "4.png").write_bytes((pictures / "other" / "4.png").read_bytes())
    predict(cnn_run, tmp_path / "one.csv", data=str(tmp_path / "alone"), progress=False)
    one, last = _rows(tmp_path / "one.csv")[0], _rows(tmp_path / "all.csv")[-1]
    assert "label" not in one
    assert float(one["p_0"]) == pytest.approx(float(last["p_0"]), abs=1e-6)


@pytest.mark.parametrize(
    ("wider", "tolerance"), [(lambda x: x.astype(np.uint16) * 257, 1e-6), (lambda x: x / np.float32(255), 1e-6)]
)
def test_wider_number_types_mean_the_same(
    wider: Callable[[np.ndarray], np.ndarray], tolerance: float, cnn_run: Path, tmp_path: Path
) -> None:
    """A run of 8-bit images takes the same images as 16 bits, and as floats from 0 to 1."""
    images = np.random.default_rng(1).integers(0, 256, (6, 16, 16), dtype=np.uint8)
    np.save(tmp_path / "narrow.npy", images)
    np.save(tmp_path / "wide.npy", wider(images))
    for name in ("narrow", "wide"):
        predict(cnn_run, tmp_path / f"{name}.csv", data=str(tmp_path / f"{name}.npy"), progress=False)
    for one, two in zip(_rows(tmp_path / "narrow.csv"), _rows(tmp_path / "wide.csv"), strict=True):
        assert float(one["p_1"]) == pytest.approx(float(two["p_1"]), abs=tolerance)


def test_floats_of_another_range_are_refused(cnn_run: Path, tmp_path: Path) -> None:
    """0..255 as floats would be taken for 255 times too bright."""
    np.save(tmp_path / "images.npy", np.full((2, 16, 16), 200.0, np.float32))
    with pytest.raises(UserError, match=r"pixel values from 200 to 200.*uint8"):
        predict(cnn_run, tmp_path / "p.csv", data=str(tmp_path / "images.npy"), progress=False)


@pytest.mark.parametrize("cache_mib", [0, 64])
def test_an_unreadable_file(cache_mib: int, cnn_run: Path, pictures: Path, tmp_path: Path) -> None:
    """Cut behind a whole header: named, or left out and counted, and the others keep their predictions."""
    whole = load_as_trained(read_trained(cnn_run), str(pictures))
    trained = read_trained(cnn_run)
    trained = replace(trained, data=replace(trained.data, cache_mib=cache_mib, workers=0))
    scores = logits(trained, whole.readable).values
    broken = pictures / "0" / "1.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UserError, match=r"1\.png"):
        logits(trained, load_as_trained(trained, str(pictures)).readable)
    chosen = load_as_trained(trained, str(pictures), on_bad_file="skip").readable
    rest = logits(trained, chosen)
    left = [i for i in whole.readable.ids.tolist() if i != 1]
    assert rest.images.ids.tolist() == left
    assert torch.allclose(rest.values, scores[left], atol=1e-6)


@pytest.mark.case("every image of a large folder was decoded twice, once to look for copies in other splits")
def test_streamed_images_are_decoded_once(
    cnn_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a split whose copies are left out needs a look before; a file that cannot be read is counted once."""
    broken = pictures / "0" / "1.png"
    broken.write_bytes(broken.read_bytes()[:200])
    decoded: list[int] = []
    monkeypatch.setattr(source_pixels, "stored_bytes", lambda *_: 2**62)
    monkeypatch.setattr(
        source_pixels, "digest_streamed", lambda *_, **__: decoded.append(1) or digest_streamed(*_, **__)
    )
    written = predict(cnn_run, tmp_path / "p.csv", data=str(pictures), on_bad_file="skip", progress=False)
    features = embed(cnn_run, tmp_path / "e.csv", data=str(pictures), on_bad_file="skip", progress=False)
    assert (written.images, written.left_out, features.images, features.left_out) == (4, 1, 4, 1)
    assert predict(cnn_run, tmp_path / "test.csv", split="test", progress=False).images > 0
    assert not decoded
    predict(cnn_run, tmp_path / "train.csv", split="train", progress=False)
    assert decoded


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["predict", "RUN", "--out", "p.txt"], "must end in .csv or .parquet"),
        (["predict", "RUN", "--out", "there.csv"], "--overwrite"),
        (["predict", "RUN", "--out", "there.csv/p.csv"], "there.csv is a file"),
        (["predict", "RUN", "--out", "/proc/p.csv"], "/proc: cannot write to /proc"),
        (["predict", "RUN", "--out", "there.csv", "--data", "there.csv", "--overwrite"], "there.csv is the data"),
        (["embed", "RUN", "--out", "there.csv", "--data", "full/../there.csv", "--overwrite"], "there.csv is the data"),
        (["predict", "RUN", "--out", "p.csv", "--split", "tset"], "all, pretrain, train, val, test"),
        (["predict", "RUN", "--out", "p.csv", "--data", "nowhere"], "nowhere"),
        (["predict", "VIT", "--out", "p.csv"], "no classifier"),
        (["predict", "nowhere", "--out", "p.csv"], "nowhere: no such folder"),
        (["embed", "RUN", "--out", "p.csv", "--layer", "9"], "stages 0 to"),
        (["embed", "RUN", "--out", "p.csv", "--map"], "--layer"),
        (["export", "RUN", "--to", "timm", "--out", "full"], "not empty"),
        (["export", "RUN", "--to", "onnx", "--out", "there.csv/out"], "there.csv is a file"),
        (["export", "RUN", "--to", "timm", "--out", "RUN", "--overwrite"], "is the folder of a run"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    words: list[str],
    text: str,
    cnn_run: Path,
    vit_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No traceback, the value named, nothing written or replaced."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("precious")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    runs = {"RUN": str(cnn_run), "VIT": str(vit_run)}
    with pytest.raises(SystemExit) as end:
        main([runs.get(word, word) for word in words] + (["--quiet"] if words[0] != "export" else []))
    assert end.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert text in lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "there.csv"]
    assert (tmp_path / "there.csv").read_text() == (tmp_path / "full" / "mine.txt").read_text() == "precious"


def test_the_command_says_what_it_wrote(cnn_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line: the file, the images, the score; an existing file is replaced on demand."""
    (tmp_path / "p.csv").write_text("old")
    with pytest.raises(SystemExit) as end:
        main(["predict", str(cnn_run), "--out", str(tmp_path / "p.csv"), "--split", "test", "--overwrite", "--quiet"])
    assert end.value.code == 0
    accuracy = read_json(cnn_run / "result.json")["metrics"]["test"]["accuracy"]
    assert f"18 images; right on {round(18 * accuracy)} of 18 labeled" in capsys.readouterr().out


def test_an_arm_is_of_a_comparison(cnn_run: Path, tmp_path: Path) -> None:
    """One that is not finished has no network to use yet; what is none has no arms."""
    write_config(tmp_path, CompareConfig())
    with pytest.raises(UserError, match="not finished"):
        read_trained(tmp_path)
    with pytest.raises(UserError, match=r"arm = 'mrp': .* has one network only"):
        read_trained(cnn_run, "mrp")


def test_what_is_said_of_labels() -> None:
    """Right ones among the known, labels that are no class of the run, or none at all."""
    found = Predicted(out=Path("p.csv"), images=4, right=0, labeled=0, left_out=0)
    assert str(found) == "p.csv: 4 images; no label is known"
    assert str(replace(found, right=1, labeled=2)) == "p.csv: 4 images; right on 1 of 2 labeled (50.0%)"
    foreign = str(replace(found, unknown={"x": 4}))
    assert foreign.startswith("p.csv: 4 images; 4 have a label that is not a class of this run")
