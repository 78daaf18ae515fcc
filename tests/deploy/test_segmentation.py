"""A segmentation run from folder to masks, graphs and features: one training, everything that follows from it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
import unmask
from unmask.config import ClassifyConfig, ClassifyRecipe, DataConfig, OptimizerConfig
from unmask.deploy.predict_masks import PredictedMasks, mask_names
from unmask.errors import UserError
from unmask.results import Classification
from unmask.runs.scores import SegmentationScores

RECIPE = ClassifyRecipe(optimizer=OptimizerConfig(steps=4, batch_size=4, lr=3e-3), label_smoothing=0.0)


def config(folder: Path, **fields: object) -> ClassifyConfig:
    data = DataConfig(data=str(folder), image_size=(64, 64))
    return ClassifyConfig(data=data, encoder=tiny.resnet(unstrided=0), recipe=RECIPE, budget=8, **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.mask_folder(tmp_path_factory.mktemp("segmentation") / "data", size=64)


@pytest.fixture(scope="module")
def trained(data: Path) -> Classification:
    return unmask.scratch(config(data), data.parent / "run", progress=False)


def miou(run: Classification) -> float:
    scores = run.result.metrics["test"]
    assert isinstance(scores, SegmentationScores)
    return scores.miou


def test_the_run_knows_its_task_and_counts_masks_in_all(trained: Classification) -> None:
    assert trained.config.metric == "miou"
    assert trained.config.budget == "total:8"
    assert trained.result.labeled_images == 8
    assert 0 < miou(trained) < 1
    assert [one.name for one in trained.result.metrics["val"].per_class] == ["background", "bright", "dark"]


def test_predict_gives_the_runs_score_to_the_bit_and_writes_what_it_scored(
    trained: Classification, tmp_path: Path
) -> None:
    found = unmask.predict(trained, tmp_path / "masks", split="test", progress=False)
    assert isinstance(found, PredictedMasks)
    assert found.miou == miou(trained)
    assert found.images == found.labeled == 6
    with Image.open(tmp_path / "masks/test/images/0.png") as mask:
        assert mask.mode == "P"
        assert mask.size == (64, 64)
        assert mask.getpalette()[:3] == [0, 0, 0]  # type: ignore[index]
        assert np.asarray(mask).max() <= 2


@pytest.mark.case("masks of the same classes in another order were scored as others, without a word")
def test_the_order_of_the_datas_classes_changes_no_score(trained: Classification, data: Path, tmp_path: Path) -> None:
    """And a class that the run lacks is told; the score is that of the other pixels."""
    shutil.copytree(data, tmp_path / "data")
    for path in (tmp_path / "data").glob("*/masks/*.png"):
        mask = np.asarray(Image.open(path))
        Image.fromarray(np.choose(np.minimum(mask, 3), [0, 2, 1, 255]).astype(np.uint8)).save(path)
    names = tmp_path / "data" / "classes.csv"
    names.write_text("name\nbackground\ndark\nbright\n")
    found = unmask.predict(trained, tmp_path / "a", data=str(tmp_path / "data"), split="test", progress=False)
    assert isinstance(found, PredictedMasks)
    assert found.miou == miou(trained)
    names.write_text("name\nbackground\nlamp\nbright\n")
    assert "is none of this run's: lamp" in str(
        unmask.predict(trained, tmp_path / "b", data=str(tmp_path / "data"), split="test", progress=False)
    )


def test_masks_have_the_size_of_their_images_also_in_windows(trained: Classification, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (100, 150), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    for windows in (False, True):
        out = tmp_path / f"masks {windows}"
        found = unmask.predict(trained, out, data=str(tmp_path / "large.png"), windows=windows, progress=False)
        assert isinstance(found, PredictedMasks)
        assert found.miou is None
        with Image.open(out / "large.png") as mask:
            assert mask.size == (150, 100)


def test_masks_lie_as_their_images_do_and_none_replaces_another() -> None:
    assert mask_names(["/a/b/x.jpg", "/a/c/x.jpg"]) == [Path("b/x.png"), Path("c/x.png")]
    assert mask_names(["s/x.jpg", "s/x.tif"]) == [Path("s/x.jpg.png"), Path("s/x.tif.png")]
    assert mask_names(["../x.jpg"]) == [Path("x.png")]


def test_what_cannot_be_written_is_said_before_anything_is_read(trained: Classification, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="masks go to a folder"):
        unmask.predict(trained, tmp_path / "a.csv", progress=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UserError, match="not empty"):
        unmask.predict(trained, tmp_path / "full", progress=False)


@pytest.mark.case("masks written into the folder of the images replaced them")
def test_only_masks_that_it_wrote_are_replaced(trained: Classification, tmp_path: Path) -> None:
    """Images and true masks stay; also where two images would have one mask."""
    folder = tiny.mask_folder(tmp_path / "data", {"train": 3, "val": 2, "test": 2}) / "test"
    for name in ("images", "masks"):
        before = [file.read_bytes() for file in sorted((folder / name).iterdir())]
        with pytest.raises(UserError, match=f"{name}/0.png would be replaced, which is not a mask"):
            unmask.predict(trained, folder / name, data=folder / "images", overwrite=True, progress=False)
        assert [file.read_bytes() for file in sorted((folder / name).iterdir())] == before
    for overwrite in (False, True):
        found = unmask.predict(trained, tmp_path / "out", data=folder / "images", overwrite=overwrite, progress=False)
        assert found.images == len(list((tmp_path / "out").iterdir())) == 2
    with pytest.raises(UserError, match=r"several images would have the mask .*0\.png"):
        unmask.predict(trained, tmp_path / "two", data=[folder / "images" / "0.png"] * 2, progress=False)


@pytest.mark.parametrize("to", ["timm", "safetensors"])
def test_the_encoder_is_exported_without_its_decoder(trained: Classification, tmp_path: Path, to: str) -> None:
    exported = unmask.export(trained, to, tmp_path / to)  # type: ignore[arg-type]
    assert exported.difference <= 1e-4
    card = (tmp_path / to / "README.md").read_text()
    assert "Image encoder (pooled features), of a segmentation network, whose decoder is left out" in card
    assert f"| test images | – | {100 * miou(trained):.1f}" in card


def run_graph(folder: Path, images: torch.Tensor) -> torch.Tensor:
    """What an exported graph gives, run as its card says."""
    if (folder / "model.onnx").exists():
        import onnxruntime

        session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    return torch.export.load(folder / "model.pt2").module()(images)


@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_graphs_are_the_network_for_batches_and_sizes(trained: Classification, tmp_path: Path, to: str) -> None:
    if to == "onnx":
        pytest.importorskip("onnxruntime")
    exported = unmask.export(trained, to, tmp_path / to)  # type: ignore[arg-type]
    assert exported.difference <= 1e-4
    card = (tmp_path / to / "README.md").read_text()
    assert "# run: resnet10t\n\nSegmentation network, started from random weights" in card
    for line in ("classes: background, bright, dark", "pipeline_tag: image-segmentation", "with sides divisible by 32"):
        assert line in card
    model = unmask.load_model(trained.folder)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 1, 96, 128)).astype(np.float32))
    for images in (pixels[:1, :, :64, :64], pixels[:2], pixels[:, :, :64, :64].contiguous()):
        with torch.no_grad():
            expected = model.module(model.card.format.prepare(images))
        assert expected.shape == (len(images), 3, *images.shape[2:])
        torch.testing.assert_close(run_graph(tmp_path / to, images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_the_graph_of_a_vit_has_the_size_of_its_images(data: Path, tmp_path: Path, to: str) -> None:
    if to == "onnx":
        pytest.importorskip("onnxruntime")
    short = replace(RECIPE, optimizer=replace(RECIPE.optimizer, steps=1))
    vit = replace(config(data), data=DataConfig(data=str(data), image_size=(32, 32)), encoder=tiny.VIT, recipe=short)
    run = unmask.scratch(vit, tmp_path / "run", progress=False)
    assert unmask.export(run, to, tmp_path / to).difference <= 1e-4  # type: ignore[arg-type]
    assert "with sides divisible" not in (tmp_path / to / "README.md").read_text()


def test_embed_gives_the_encoders_pooled_features(trained: Classification, tmp_path: Path) -> None:
    found = unmask.embed(trained, tmp_path / "features.npz", split="test", progress=False)
    assert found.shape == (8,)


def test_a_finished_run_is_resumed_as_it_is(trained: Classification) -> None:
    again = unmask.scratch(
        replace(trained.config, budget=8, metric="accuracy"), trained.folder, resume=True, progress=False
    )
    assert miou(again) == miou(trained)


def test_an_audit_says_that_masks_have_no_one_class(trained: Classification, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which segmentation does not have"):
        unmask.audit_runs([trained], tmp_path / "audit", progress=False)


def test_a_metric_of_other_tasks_is_refused(trained: Classification, tmp_path: Path) -> None:
    wrong = replace(trained.config, metric="macro_f1")
    with pytest.raises(UserError, match="segmentation is judged by miou, dice"):
        unmask.scratch(wrong, tmp_path / "run", progress=False)
