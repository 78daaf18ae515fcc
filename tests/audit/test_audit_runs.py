"""The audit from end to end on tiny networks, and every mistake in one line."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unmask.audit.audit_runs import audit_runs, choose_images, write_audit
from unmask.audit.networks import load_networks, preparation, read_weights
from unmask.audit.protocol import Finding
from unmask.cli.main import main, parse
from unmask.config import (
    AuditConfig,
    AuditRun,
    ClassifyConfig,
    ClassifyRecipe,
    CompareConfig,
    DataConfig,
    EncoderConfig,
    OptimizerConfig,
)
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.load import Dataset, load_data
from unmask.encoders.build import build_model
from unmask.errors import UserError
from unmask.report.blocks import Section
from unmask.runs.layout import ENCODER_FILE
from unmask.runs.read import write_config
from unmask.stages.classify import scratch
from unmask.tasks.classification import Classification
from unmask.weights.card import Card, save_weights

DATA = DataConfig(
    data="multiview",
    options={
        "images": 200,
        "val_images": 30,
        "test_images": 45,
        "classes": 3,
        "size": 16,
        "part_size": 4,
        "noise": 0.1,
    },
)
ENCODER = EncoderConfig(encoder="patchnet", encoder_options={"width": 24, "stride": 2, "patch": 4})
QUICK = ["--images", "20", "--pictures", "3", "--quiet"]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two trainings from scratch, one of them short."""
    folder = tmp_path_factory.mktemp("runs")
    for name, steps in (("long", 120), ("short", 20)):
        optimizer = OptimizerConfig(steps=steps, batch_size=32, lr=1e-2, weight_decay=0.0)
        recipe = ClassifyRecipe(optimizer=optimizer, label_smoothing=0.0)
        scratch(ClassifyConfig(data=DATA, encoder=ENCODER, recipe=recipe), folder / name, progress=False)
    return folder / "long", folder / "short"


@pytest.fixture(scope="session")
def audited(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audit of both, by the command line."""
    out = tmp_path_factory.mktemp("audit") / "out"
    with pytest.raises(SystemExit) as end:
        main(["audit", *map(str, runs), "--out", str(out), *QUICK])
    assert end.value.code == 0
    return out


@pytest.mark.slow
def test_with_shuffled_labels_only_mistaken_images_are_searched(audited: Path) -> None:
    """A whole image that suffices for another class than its own is one that the network gets wrong."""
    models = json.loads((audited / "audit.json").read_text())["models"]
    for numbers in models.values():
        views, right = numbers["sufficient_views"], numbers["network"]["accuracy"]
        assert views["shuffled"]["images"] == views["images"] == 20
        assert views["shuffled"]["kept"] <= round((1 - right) * 20)
    assert any(numbers["sufficient_views"]["kept"] > 0 for numbers in models.values())


@pytest.mark.slow
def test_every_measure_stands_under_its_key(audited: Path) -> None:
    """Both networks and the random one, the same images, settings filled in, differences of the given ones."""
    report = json.loads((audited / "audit.json").read_text(encoding="utf-8"))
    assert set(report) == {"models", "differences", "setting", "page"}
    assert list(report["models"]) == ["long", "short", "random weights"]
    for numbers in report["models"].values():
        assert {"network", "maps", "sufficient_views"} <= set(numbers)
        views = numbers["sufficient_views"]
        assert views["images"] == 20 == views["kept"] + views["left_out_fill"] + views["left_out_missed"]
        assert sum(views["distribution"].values()) == views["kept"]
        assert sum(row["images"] for row in views["per_class"].values()) == 20
        for row in views["per_image"]:
            cells = {int(v) for line in row["cells"] for v in line.split()} - {0}
            assert cells == set(range(1, row["views"] + 1))
    assert [n["network"]["control"] for n in report["models"].values()] == [False, False, True]
    assert report["models"]["long"]["network"]["accuracy"] > 0.6
    (row,) = [row for row in report["differences"] if row["measure"] == "sufficient_views"]
    assert (row["model"], row["baseline"]) == ("long", "short")
    assert report["setting"]["sufficient_views"] == {
        "cell": 2, "grid": [8, 8], "fill": "mean", "margin": 0.2, "gap": 1, "evaluations": 256, "confidence": 0.95,
    }  # fmt: skip


def test_the_page_is_one_file_and_carries_its_pictures(audited: Path) -> None:
    """Nothing is loaded from elsewhere, every picture has words, every id is unique."""
    page = (audited / "audit.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    report = json.loads((audited / "audit.json").read_text(encoding="utf-8"))
    photographs = [picture for section in report["page"] for picture in section["photographs"]]
    pictures = photographs + [picture for section in report["page"] for picture in section["plates"]]
    assert {picture["figure"] for picture in pictures} == {path.name for path in (audited / "pictures").iterdir()}
    assert page.count("<img ") == len(photographs)
    assert all(picture["alt"] and picture["caption"] for picture in pictures)
    identifiers = re.findall(r'\sid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert "Sufficient views" in page
    assert "random weights" in page


@pytest.mark.slow
def test_an_audit_repeats_itself(audited: Path, runs: tuple[Path, Path], tmp_path: Path) -> None:
    """The same numbers again, from the weights file instead of the folder, and in smaller batches."""
    config = AuditConfig(images=20, pictures=3, batch_size=50)
    out = audit_runs([runs[0] / ENCODER_FILE, runs[1]], DATA, tmp_path / "again", config, progress=False)
    first, second = (json.loads((f / "audit.json").read_text(encoding="utf-8"))["models"] for f in (audited, out))
    for old, new in zip(first.values(), second.values(), strict=True):
        assert old["sufficient_views"] == new["sufficient_views"]
        assert old["maps"]["cover_grad"]["mean"] == pytest.approx(new["maps"]["cover_grad"]["mean"], rel=1e-4)


@pytest.mark.slow
def test_json_is_printed_and_overwriting_is_asked_for(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json gives audit.json on standard output; a folder is replaced with --overwrite only, and only an audit."""
    words = ["audit", str(runs[1]), "--out", str(tmp_path / "out"), "--images", "4", "--pictures", "1", "--quiet"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--json"])
    assert end.value.code == 0
    assert list(json.loads(capsys.readouterr().out)["models"]) == ["short", "random weights"]
    _fails(words, "--overwrite", capsys)
    with pytest.raises(SystemExit) as end:
        main([*words, "--overwrite"])
    assert end.value.code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    _fails(
        ["audit", str(runs[1]), "--out", str(tmp_path / "mine"), "--overwrite"], "holds no run of this package", capsys
    )
    assert (tmp_path / "mine" / "thesis.txt").exists()


def _fails(words: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(list(words))
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert message in said
    assert len(said.strip().splitlines()) == 1


def _card(**changes: object) -> Card:
    """Of a network for one channel of 16 x 16 pixels; `changes` are of the card or of its format."""
    card = Card(ENCODER, ImageFormat((16, 16), 1, "uint8", (0.0, 255.0), False, (0.5,), (0.2,)))
    classes = changes.pop("classes", ("0", "1", "2"))
    task = Classification(classes=classes) if classes else None  # type: ignore[arg-type]
    return replace(card, task=task, format=replace(card.format, **changes))  # type: ignore[arg-type]


def _file(path: Path, card: Card, classes: int = 3) -> Path:
    options = {"in_chans": card.format.channels, "image_size": card.format.size}
    save_weights(path, build_model(ENCODER, num_classes=classes, **options).state_dict(), card)  # type: ignore[arg-type]
    return path


def test_mistakes_end_with_one_line_and_code_2(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong is said before anything is measured, and nothing is written."""
    run, out = str(runs[1]), tmp_path / "out"
    (tmp_path / "table").mkdir()
    write_config(tmp_path / "table", CompareConfig())
    (tmp_path / "empty").mkdir()
    headless = _file(tmp_path / "encoder.safetensors", _card(classes=()), classes=0)
    others = _file(tmp_path / "others.safetensors", _card(classes=("a", "b", "c")))
    larger = _file(tmp_path / "larger.safetensors", _card(size=(32, 32)))
    fewer = _file(tmp_path / "fewer.safetensors", _card(), classes=2)
    mistakes: list[tuple[list[str], str]] = [
        ([str(tmp_path / "nowhere")], "is neither a run folder nor a weights file"),
        ([str(tmp_path / "empty")], "holds no encoder.safetensors"),
        ([str(tmp_path / "table")], "is a comparison that is not finished"),
        ([str(headless)], "without a head"),
        ([run, run], "given twice"),
        ([run, str(others)], "classes"),
        ([run, str(larger)], "image_size"),
        ([run, str(fewer)], "does not hold the weights"),
        ([run, "--split", "tset"], "the data have train, val, test, multi, single_1, single_2"),
        ([run, "--layer", "blocks.7", "--images", "3"], "is not a module"),
        ([run, "--margin", "1.5"], "margin"),
    ]
    for words, message in mistakes:
        _fails(["audit", *words, "--out", str(out), "--quiet"], message, capsys)
    assert not (out / "audit.json").exists()


def test_data_are_those_of_the_first_run_unless_named(runs: tuple[Path, Path]) -> None:
    """So that test images are test images: with the options and the split of the training."""
    assert parse(["audit", str(runs[0]), "--out", "x"]).data == replace(DATA, task="classification")
    assert parse(["audit", str(runs[0] / ENCODER_FILE), "--out", "x"]).data.data == "multiview"
    assert parse(["audit", str(runs[0]), "--data", "digits", "--out", "x"]).data.data == "digits"
    assert parse(["audit", str(runs[0]), "--out", "x", "--fill", "noise"]).config.fill == "noise"


def test_a_stored_audit_is_repeated_or_varied(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """--config gives networks, data and settings; what is typed wins."""
    asked = AuditRun(networks=runs, data=DATA, audit=AuditConfig(images=7, fill="noise"))
    write_config(tmp_path, asked)
    words = ["audit", "--config", str(tmp_path / "config.json"), "--out", "x"]
    again, varied = parse(words), parse([*words, "--images", "8", "--data", "digits"])
    assert (again.runs, again.data, again.config) == (runs, DATA, asked.audit)
    assert (varied.runs, varied.config) == (runs, AuditConfig(images=8, fill="noise"))
    assert (varied.data.data, varied.data.options) == ("digits", None)
    assert parse([*words, str(runs[0])]).runs == (runs[0],)
    with pytest.raises(UserError, match="not to this command"):
        parse(["audit", "--config", str(runs[0] / "config.json"), "--out", "x"])


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """The tiny data."""
    return load_data(DATA, labels=True, progress=False)


def test_images_are_balanced_and_keyed(dataset: Dataset) -> None:
    """Equally many of each class; the same ones again; the first 10 of 20 are the 10; all where more are asked for."""
    few, more, other = (
        choose_images(dataset, AuditConfig(images=n, seed=seed)) for n, seed in ((10, 0), (20, 0), (10, 1))
    )
    assert sorted(torch.bincount(few.labels).tolist()) == [3, 3, 4]
    assert few.names == more.names[:10]
    assert few.names != other.names
    assert torch.equal(few.pixels, more.pixels[:10])
    assert len(choose_images(dataset, AuditConfig(images=1000)).labels) == 45


def test_each_network_gets_the_normalization_it_was_trained_with(dataset: Dataset) -> None:
    """8 bits, 16 bits and floats count alike from 0 to 1; measured ranges are brought to one another."""
    pixels = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    plain = preparation(_card(mean=(0.3,), std=(0.5,)).format, dataset.format)(pixels)
    torch.testing.assert_close(plain, (pixels - 0.3) / 0.5)
    wide = {"uint16": (0.0, 65535.0), "float32": (0.0, 1.0)}
    for kind, ends in wide.items():
        deep = preparation(_card(mean=(0.3,), std=(0.5,), kind=kind, value_range=ends).format, dataset.format)(pixels)
        torch.testing.assert_close(deep, plain)
    window = _card(mean=(0.3,), std=(0.5,), kind="uint16", value_range=(257.0, 51657.0)).format
    found = preparation(window, dataset.format)(pixels)  # from 1 to 201 of 8 bits
    torch.testing.assert_close(found, ((255 * pixels - 1) / 200 - 0.3) / 0.5)
    measured = replace(dataset.format, value_range=(-2.0, 6.0))
    own = _card(mean=(0.3,), std=(0.5,), value_range=(0.0, 4.0), clipped=True).format
    found = preparation(own, measured)(pixels)
    torch.testing.assert_close(found, (((8 * pixels - 2) / 4).clamp(0, 1) - 0.3) / 0.5)


@pytest.mark.parametrize("ends", [(0.0, 255.0), (-1.0, 1.0)])
def test_integers_beside_floats_of_another_range_are_refused(
    dataset: Dataset, tmp_path: Path, ends: tuple[float, float]
) -> None:
    """Nothing says which float is white; floats of such a range beside one another are fine."""
    path = _file(tmp_path / "run" / ENCODER_FILE, _card(kind="float32", value_range=ends, classes=dataset.classes))
    weights = read_weights([path])
    with pytest.raises(UserError, match="trained on float32 images, the data are uint8, and the floats count from"):
        load_networks(weights, dataset)
    floats = replace(dataset, format=replace(dataset.format, kind="float32", value_range=(-3.0, 5.0)))
    assert len(load_networks(weights, floats)) == 1


def test_names_are_as_long_as_they_must(tmp_path: Path) -> None:
    """The folder's name, with its parent where two are called alike."""
    paths = [_file(tmp_path / where / ENCODER_FILE, _card()).parent for where in ("a/run", "b/run")]
    assert [one.name for one in read_weights(paths)] == ["a/run", "b/run"]
    assert [one.name for one in read_weights(paths[:1])] == ["run"]


def test_a_number_that_is_none_is_refused(tmp_path: Path) -> None:
    """NaN is not JSON: a measure says None. And two measures cannot have one key."""
    asked = AuditRun(networks=(tmp_path / "network",))
    bad = Finding("bad", Section("Bad"), {"one": {"value": float("nan")}})
    with pytest.raises(ValueError, match="Out of range"):
        write_audit(tmp_path / "bad", asked, [bad], fingerprint="f")
    fine = Finding("fine", Section("Fine"), {"one": {"value": 1}})
    with pytest.raises(UserError, match="two measures are called fine"):
        write_audit(tmp_path / "fine", asked, [fine, fine], fingerprint="f")
