"""One forward pass over an image set: each output stays with its image, whatever cannot be read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import tiny
from scripts import script_environment
from unmask import scratch
from unmask.comparison.plan import TrialKey
from unmask.comparison.table import mean_predictions
from unmask.config import ClassifyConfig, ClassifyRecipe, DataConfig, OptimizerConfig
from unmask.data.imageset import ImageSet
from unmask.data.load import load_data
from unmask.errors import UserError
from unmask.forward import Outputs, map_images, pooled_features
from unmask.runs.files import read_json
from unmask.runs.layout import OUTPUTS
from unmask.tasks.classification import Classification
from unmask.training.checkpoint import save_tensors

SCRIPT = """
import json, sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
import torch
import torch.distributed as dist
from unmask.config import DataConfig
from unmask.data.load import load_data
from unmask.forward import map_images

folder, index = sys.argv[1], int(sys.argv[2])
config = DataConfig(data=f"{folder}/images", image_size=(8, 8), cache_mib=0, on_bad_file="skip")
images = load_data(config, labels=True, progress=False).readable
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=index, world_size=2)
dist.barrier()
for name in json.loads(sys.argv[3]) if index == 0 else ():
    file = Path(folder, "images", name)
    file.write_bytes(file.read_bytes()[:60])
dist.barrier()
engine = SimpleNamespace(process_index=index, num_processes=2, device=torch.device("cpu"), autocast=nullcontext)
found = [map_images(lambda batch: batch.mean((1, 2, 3)), one, engine) for one in (images, images.select([1]))]
with open(f"{folder}/{index}.json", "w") as stream:
    json.dump([[outputs.rows.tolist(), outputs.values.tolist()] for outputs in found], stream)
dist.destroy_process_group()
"""
CUT = ("b/0.png", "b/4.png")


def brightness(batch: Tensor) -> Tensor:
    """[B]."""
    return batch.mean((1, 2, 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images of two classes in a folder `images`."""
    tiny.draw(tmp_path / "images", *tiny.numbered("a", "b"))
    return tmp_path


def streamed(folder: Path, on_bad_file: str = "skip") -> ImageSet:
    """All images of the folder, streamed; of two there is a header and no pixel since they were listed."""
    tiny.draw(folder / "images", *tiny.numbered("a", "b"))
    data = tiny.load(folder / "images", image_size=(8, 8), cache_mib=0, on_bad_file=on_bad_file)
    assert len(data.readable) == 12
    for name in CUT:
        file = folder / "images" / name
        file.write_bytes(file.read_bytes()[:60])
    return data.readable


@pytest.mark.slow
def test_outputs_keep_their_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one image a batch, too, where a batch is a file that cannot be read."""
    images = streamed(folder)
    whole = map_images(brightness, images)
    assert [images.names[row] for row in whole.rows] == [name for name in images.names if name not in CUT]
    assert whole.images.labels.tolist() == [0] * 6 + [1] * 4
    alone = [float(brightness(next(images.batches(row[None], 1)).images)) for row in whole.rows]
    assert whole.values.tolist() == pytest.approx(alone)
    assert whole.padded(12).isnan().nonzero().flatten().tolist() == [6, 10]
    assert torch.equal(whole.padded(12)[whole.rows], whole.values)
    monkeypatch.setattr(ImageSet, "at_once", 1)
    assert torch.equal(map_images(brightness, images).rows, whole.rows)


def test_an_error_under_the_policy_error_and_if_nothing_is_left(folder: Path) -> None:
    with pytest.raises(UserError, match=r"b/0\.png: damaged PNG: the checksum"):
        map_images(brightness, streamed(folder, "error"))
    with pytest.raises(UserError, match=r"none of 2 images can be read, the first is b/0\.png"):
        map_images(brightness, streamed(folder).select([6, 10]))
    with pytest.raises(UserError, match="none of 0 images can be read"):
        map_images(brightness, streamed(folder).select([]))


@pytest.mark.slow
def test_two_processes_pair_outputs_with_the_right_images(folder: Path) -> None:
    """A file that one of them cannot read shifts no row, and one may have nothing to do."""
    words = [sys.executable, "-c", SCRIPT, str(folder)]
    cut = json.dumps(CUT)
    running = [
        subprocess.Popen([*words, str(rank), cut], env=script_environment(), stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    alone = [map_images(brightness, images) for images in (streamed(folder), streamed(folder).select([1]))]
    for rank in range(2):
        for (rows, values), expected in zip(json.loads((folder / f"{rank}.json").read_text()), alone, strict=True):
            assert rows == expected.rows.tolist()
            assert values == pytest.approx(expected.values.tolist())


@pytest.mark.case("a truncated image of streamed data ended a training after all its work")
def test_a_training_scores_the_images_that_can_be_read(tmp_path: Path) -> None:
    """One of ten validation images is cut: nine are scored, and test images keep their labels."""
    splits = [f"{split}/{name}" for split in ("train", "val", "test") for name in tiny.numbered("a", "b", count=5)]
    tiny.draw(tmp_path / "images", *splits)
    for cut in ("val/a/2.png", "test/a/0.png"):
        file = tmp_path / "images" / cut
        file.write_bytes(file.read_bytes()[:60])
    data = DataConfig(data=str(tmp_path / "images"), image_size=(16, 16), cache_mib=0, on_bad_file="skip", workers=0)
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=2, batch_size=8), evaluations=2)
    run = scratch(ClassifyConfig(data=data, encoder=tiny.RESNET, recipe=recipe), tmp_path / "run", progress=False)
    metrics = read_json(Path(run) / "result.json")["metrics"]
    for split in ("val", "test"):
        assert [row["images"] for row in metrics[split]["per_class"]] == [4, 5]


def test_features_are_computed_where_the_model_is_and_its_mode_returns() -> None:
    """Images go to the model's device, features come to the CPU."""
    meta = torch.device("meta")

    class Noting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, device=meta))
            self.seen: set[tuple[torch.device, bool]] = set()

        def forward_features(self, images: Tensor) -> Tensor:
            self.seen.add((images.device, self.training))
            return torch.ones(len(images), 4)

        def forward_head(self, features: Tensor, *, pre_logits: bool) -> Tensor:
            assert pre_logits
            return features

    model = Noting().train()
    images = load_data(tiny.DATA, labels=True, progress=False).tests["test"]
    features = pooled_features(model, images)
    assert isinstance(features, Outputs)
    assert (model.seen, model.training) == ({(meta, False)}, True)
    assert (features.values.shape, features.values.device.type) == ((30, 4), "cpu")
    assert features.images is images


def test_an_ensemble_is_scored_on_what_all_its_members_could_read(tmp_path: Path) -> None:
    """Two members, each without one image: of the two others one is right."""
    members = [TrialKey(3, draw, "scratch_same", None) for draw in (0, 1)]
    right = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    for gone, key in enumerate(members):
        scores = right.clone()
        scores[gone] = torch.nan
        save_tensors(OUTPUTS.path(tmp_path, key.name), {"test": scores.half()}, {})
    task = Classification(classes=("a", "b"))
    mean = mean_predictions(members, tmp_path, task, "test")
    assert mean.isnan().any(1).tolist() == [True, True, False, False]
    torch.testing.assert_close(mean[2:], right[2:].softmax(1))
    assert task.score_of(mean, torch.tensor([0, 0, 1, 0])) == 0.5
