"""Every stage on a GPU: the numbers of the CPU in float32, mixed precision to the end, stop and resume."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from unmask.data.load import Dataset
from unmask.deploy.images import load_as_trained
from unmask.deploy.predict import logits
from unmask.deploy.trained import read_trained
from unmask.encoders.build import build_model
from unmask.encoders.laws import distance
from unmask.errors import PreemptionError
from unmask.runs.files import read_json
from unmask.runs.metrics import read_metrics
from unmask.stages.classify import finetune, scratch
from unmask.stages.pretrain import pretrain
from unmask.training.checkpoint import load_tensors, newest
from unmask.training.engine import build_engine
from unmask.training.step import Step
from unmask.weights.card import load_weights

NAMES = ("packed", "dense", "teacher", "vit", "swin")


def _losses(run: Path) -> list[float]:
    return [row.loss for row in read_metrics(run) if row.kind == "train"]


def _whole_images(run: Path, data: Dataset) -> torch.Tensor:
    """Pooled features of the validation images by the exported weights, on the CPU."""
    tensors, card = load_weights(run / "encoder.safetensors")
    assert card is not None
    model = build_model(card.encoder, in_chans=card.format.channels, image_size=card.format.size).eval()
    model.load_state_dict(tensors)
    assert data.val is not None
    images = (data.val.raw(range(len(data.val))) - data.format.mean[0]) / data.format.std[0]
    with torch.no_grad():
        found: torch.Tensor = model(images)
    return found


def test_the_engine_takes_the_gpu(device: torch.device) -> None:
    """One process without a launcher, with no group of processes."""
    engine = build_engine("no", several=True)
    assert engine.device.type == device.type
    assert engine.num_processes == 1


@pytest.mark.parametrize("name", NAMES)
def test_pretraining_is_that_of_the_cpu(
    name: str, folders: tuple[Path, Path], data: Dataset, trainings: ModuleType
) -> None:
    """The same loss at every step, gradients up to rounding, the same validation numbers; the exported file loads."""
    gpu, cpu = (folder / name for folder in folders)
    notes = read_json(gpu / "environment.json")["notes"]
    assert any(note.startswith(f"hidden cells: {trainings.EXECUTIONS[name]} execution") for note in notes)
    one, two = read_metrics(gpu), read_metrics(cpu)
    assert len(one) == len(two) == trainings.STEPS + 2
    apart = {
        key: max(abs(a[key] - b[key]) / max(abs(b[key]), 1e-6) for a, b in zip(one, two, strict=True) if key in a)
        for key in ("loss", "baseline", "grad_norm", "val_loss", "effective_rank", "feature_std")
    }
    features = distance(_whole_images(gpu, data), _whole_images(cpu, data))
    print(f"{name}: relative distance to the CPU {apart}, of exported features {features:.1e}")
    assert _losses(gpu)[:3] == pytest.approx(_losses(cpu)[:3], rel=1e-3)
    assert max(apart["loss"], apart["baseline"], apart["val_loss"]) < 1e-2
    assert features < 5e-2


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", [*NAMES, "scratch"])
def test_mixed_precision_runs_to_the_end(
    name: str, precision: str, device: torch.device, data: Dataset, trainings: ModuleType, tmp_path: Path
) -> None:
    """Finite losses near those of float32: the first is of the same weights."""
    if precision == "fp16" and device.type == "cpu":
        pytest.skip("fp16 needs a GPU")
    losses = {}
    for kind in ("no", precision):
        if name == "scratch":
            run = scratch(trainings.training(kind), tmp_path / kind, progress=False, dataset=data)
        else:
            run = pretrain(trainings.pretraining(name, kind), tmp_path / kind, progress=False, dataset=data)
        losses[kind] = _losses(run)
        assert (run / "encoder.safetensors").exists()
    print(f"{name}: {losses}")
    assert all(torch.tensor(losses[precision]).isfinite())
    assert losses[precision][0] == pytest.approx(losses["no"][0], rel=0.05)


@pytest.mark.parametrize("precision", ["no", "fp16"])
@pytest.mark.parametrize("name", ["packed", "dense", "teacher", "vit", "scratch"])
def test_a_resumed_run_is_the_one_never_stopped(
    name: str,
    precision: str,
    device: torch.device,
    data: Dataset,
    trainings: ModuleType,
    tmp_path: Path,
) -> None:
    """Weights, statistics, averages and moments up to what the GPU's order of sums changes between any two runs."""
    if precision == "fp16" and device.type == "cpu":
        pytest.skip("fp16 needs a GPU")
    config = trainings.training(precision) if name == "scratch" else trainings.pretraining(name, precision)
    run: Callable[..., Path] = scratch if name == "scratch" else pretrain
    arguments: dict[str, Any] = {"progress": False, "dataset": data}
    whole, again = (run(config, tmp_path / which, **arguments) for which in ("whole", "again"))
    taken: list[Step] = []

    def terminate(step: Step) -> None:
        taken.append(step)
        if len(taken) == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(PreemptionError, match="saved at step 5; continue with `resume=True`"):
        run(config, tmp_path / "part", on_step=terminate, **arguments)
    part = run(config, tmp_path / "part", resume=True, **arguments)
    one, two, three = (found.tensors for r in (whole, again, part) if (found := newest(r).found) is not None)
    apart = [max(float((one[key].double() - x[key].double()).abs().max()) for key in one) for x in (two, three)]
    print(f"{name} {precision}: largest difference of two whole runs {apart[0]:.1e}, resumed {apart[1]:.1e}")
    assert one.keys() == three.keys()
    if apart[0] == 0:
        assert apart[1] == 0, "two whole runs are bit-equal, so must be a resumed one"
    assert _losses(part) == pytest.approx(_losses(whole), rel=1e-3)
    weights = [key for key in one if key.startswith("network/") and one[key].is_floating_point()]
    assert max(distance(three[key], one[key]) for key in weights) < 5e-3


@pytest.mark.parametrize("run", ["scratch", "tuned"])
def test_supervised_training_is_that_of_the_cpu(run: str, folders: tuple[Path, Path]) -> None:
    """Losses of both phases; and every image of every split is scored once."""
    gpu, cpu = (folder / run for folder in folders)
    print(run, _losses(gpu), _losses(cpu))
    assert len(_losses(gpu)) >= 3
    assert _losses(gpu) == pytest.approx(_losses(cpu), rel=1e-2)
    metrics = read_json(gpu / "result.json")["metrics"]
    assert [sum(map(sum, metrics[split]["confusion"])) for split in ("val", "test")] == [15, 30]


def test_frozen_and_hidden_cells(
    folders: tuple[Path, Path], data: Dataset, trainings: ModuleType, tmp_path: Path
) -> None:
    """A frozen encoder, mixup, hidden cells and early stopping, each with tensors of its own."""
    config = trainings.training()
    frozen = replace(config, init=str(folders[0] / "packed"), recipe=replace(config.recipe, encoder_lr_scale=0.0))
    finetune(frozen, tmp_path / "frozen", progress=False, dataset=data)
    start, kept = (load_tensors(run / "encoder.safetensors")[0] for run in (folders[0] / "packed", tmp_path / "frozen"))
    assert torch.equal(kept["conv1.0.weight"], start["conv1.0.weight"])
    recipe = replace(config.recipe, mixup=0.2, patience=1, evaluations=3, layer_decay=0.7)
    scratch(replace(config, hide_cells=0.7, recipe=recipe), tmp_path / "hidden", progress=False, dataset=data)
    assert torch.tensor(_losses(tmp_path / "hidden")).isfinite().all()


@pytest.mark.parametrize("run", ["scratch", "tuned"])
def test_predictions_are_those_of_the_cpu(
    run: str, folders: tuple[Path, Path], data: Dataset, device: torch.device, tmp_path: Path
) -> None:
    """`unmask predict` on the GPU against the exported weights in plain timm on the CPU."""
    trained = read_trained(folders[0] / run)
    ids, scores = logits(trained, load_as_trained(trained, None).images("test"))
    test = data.tests["test"]
    assert torch.equal(ids, test.ids)
    images = (test.raw(range(len(test))) - trained.card.format.mean[0]) / trained.card.format.std[0]
    with torch.no_grad():
        plain = read_trained(folders[0] / run).model.cpu()(images)
    torch.testing.assert_close(scores, plain, rtol=1e-3, atol=1e-4)
