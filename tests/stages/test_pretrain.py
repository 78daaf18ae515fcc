"""Pretraining as a run: deterministic, resumable to the bit, exported as a plain timm model."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from unmask.config import PretrainConfig, TargetConfig
from unmask.data.load import Dataset
from unmask.errors import PreemptionError, UserError
from unmask.runs.files import read_json
from unmask.runs.lock import holding
from unmask.runs.metrics import read_metrics
from unmask.stages.pretrain import Pretraining, pretrain
from unmask.training.checkpoint import load_tensors, save_tensors
from unmask.training.engine import build_engine
from unmask.training.stage import Moment, Setup
from unmask.training.step import Step
from unmask.weights.card import load_weights


def _equal(a: Path, b: Path) -> None:
    one, two = load_tensors(a / "encoder.safetensors")[0], load_tensors(b / "encoder.safetensors")[0]
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


def _stage(config: PretrainConfig, folder: Path, data: Dataset) -> Pretraining:
    return Pretraining(config, folder, data, Setup(build_engine("no"), folder))


@pytest.mark.slow
def test_sigterm_saves_and_says_how_to_go_on(pretraining: PretrainConfig, data: Dataset, tmp_path: Path) -> None:
    """The step is finished and saved; resumed, the run ends with the bits of one never stopped."""
    config = replace(pretraining, save_every=100.0)
    whole = pretrain(config, tmp_path / "whole", progress=False, dataset=data)
    before = signal.getsignal(signal.SIGTERM)

    def told_to_leave(step: Step) -> None:
        if step.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(PreemptionError, match=r"saved at step 5; continue with `resume=True`"):
        pretrain(config, tmp_path / "part", progress=False, dataset=data, on_step=told_to_leave)
    assert signal.getsignal(signal.SIGTERM) == before
    (kept,) = (tmp_path / "part" / "checkpoints").iterdir()
    assert kept.name == "step_00000005.safetensors"
    tensors, header = load_tensors(kept)
    assert header["seconds"] > 0
    save_tensors(kept, tensors, header | {"seconds": 1000.0})
    part = pretrain(config, tmp_path / "part", resume=True, progress=False, dataset=data)
    _equal(whole, part)
    assert read_metrics(whole) == read_metrics(part)
    assert read_json(part / "environment.json")["seconds"] > 1000, "the seconds of both parts"


@pytest.mark.slow
def test_same_seed_same_bits_other_seed_others(pretraining: PretrainConfig, data: Dataset, tmp_path: Path) -> None:
    """Metrics and weights are bit-equal for one seed, and differ for another."""
    runs = [
        pretrain(replace(pretraining, seed=seed), tmp_path / str(i), progress=False, dataset=data)
        for i, seed in enumerate((0, 0, 1))
    ]
    _equal(runs[0], runs[1])
    assert read_metrics(runs[0]) == read_metrics(runs[1])
    assert read_metrics(runs[0]) != read_metrics(runs[2])


@pytest.mark.slow
@pytest.mark.case("random state was not restored")
@pytest.mark.parametrize(("ema", "target"), [(0.9, "normalized_pixels"), (0.0, "ema_teacher")])
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_resume_is_bit_equal(
    with_optimizer: Any,
    pretraining: PretrainConfig,
    data: Dataset,
    tmp_path: Path,
    stop: int,
    ema: float,
    target: str,
) -> None:
    """A run stopped after any step, in the middle of an epoch too, ends with the bits of one never stopped.

    BatchNorm buffers, optimizer moments, the weight average and stochastic depth are all part of it.
    """
    share, masks = (0.5, 1) if ema else (1.0, 2)
    wanted = TargetConfig(target=target, decoder_width=8, predict=share)  # type: ignore[arg-type]
    recipe = replace(pretraining.recipe, target=wanted, mask=replace(pretraining.recipe.mask, masks=masks))
    config = with_optimizer(replace(pretraining, recipe=recipe), ema=ema)
    whole = pretrain(config, tmp_path / "whole", progress=False, dataset=data)

    def stopping(step: Step) -> None:
        if step.step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(config, tmp_path / "part", progress=False, dataset=data, on_step=stopping)
    part = pretrain(config, tmp_path / "part", resume=True, progress=False, dataset=data)
    _equal(whole, part)
    assert read_metrics(whole) == read_metrics(part)


@pytest.mark.slow
def test_the_loss_falls_below_the_patch_mean(
    with_optimizer: Any, pretraining: PretrainConfig, data: Dataset, tmp_path: Path
) -> None:
    """On images with structure the network comes to beat its own first loss, and the baseline is logged beside it."""
    run = pretrain(with_optimizer(pretraining, epochs=15), tmp_path / "run", progress=False, dataset=data)
    rows = [row for row in read_metrics(run) if row.kind == "val"]
    assert rows[-1].val_loss < 0.97 * rows[0].val_loss
    assert all(row.baseline > 0.9 for row in rows)  # normalized cells have unit variance
    assert all(row.effective_rank >= 1 and row.feature_std >= 0 for row in rows)
    pictures = sorted((run / "pictures").glob("*.png"))
    assert len(pictures) == len(rows)


def test_the_picture_shows_all_classes(pretraining: PretrainConfig, data: Dataset, tmp_path: Path) -> None:
    """Though the validation images are listed class by class."""
    assert data.val is not None
    by_class = data.val.select(data.val.labels.argsort(stable=True))
    stage = _stage(pretraining, tmp_path / "run", replace(data, val=by_class))
    assert by_class.labels[stage.pictured].bincount().tolist() == [3, 3, 2]


def test_export_is_the_plain_timm_model(pretraining: PretrainConfig, data: Dataset, tmp_path: Path) -> None:
    """timm's own constructor loads the weights strictly; the card says how to feed it."""
    run = pretrain(pretraining, tmp_path / "run", progress=False, dataset=data)
    weights, card = load_weights(run / "encoder.safetensors")
    model = timm.create_model("resnet10t", in_chans=1, num_classes=0, **(pretraining.encoder.encoder_options or {}))
    model.load_state_dict(weights, strict=True)
    assert card is not None
    assert card.encoder == pretraining.encoder
    assert card.format == data.format
    assert card.format.shape == (1, 16, 16)
    assert card.format.value_range == (0.0, 255.0)


def test_environment_tells_what_is_needed_to_repeat(pretraining: PretrainConfig, data: Dataset, tmp_path: Path) -> None:
    """Versions, seed, fingerprint of the data, effective learning rate."""
    run = pretrain(pretraining, tmp_path / "run", progress=False, dataset=data)
    facts = read_json(run / "environment.json")
    assert read_json(run / "config.json")["seed"] == 0
    assert (facts["data"]["fingerprint"], facts["data"]["images"]) == (data.fingerprint, 60)
    assert any("per 256 images" in note for note in facts["notes"])


@pytest.mark.slow
def test_on_step_is_told_every_step(
    with_optimizer: Any, pretraining: PretrainConfig, data: Dataset, tmp_path: Path
) -> None:
    """What it is told is what metrics.jsonl says; when it is called the step is saved, and looking changes no bit."""
    config = replace(with_optimizer(pretraining, ema=0.9), save_every=0.25)
    seen: list[Step] = []
    values: list[dict[str, float]] = []

    def look(step: Step) -> None:
        seen.append(step)
        values.append(step.values())
        assert (tmp_path / "told" / "checkpoints" / f"step_{step.step:08d}.safetensors").exists()
        step.network.eval()
        step.network(torch.zeros(2, 1, 16, 16), torch.zeros(2, 4, 4, dtype=torch.bool))
        step.network.train()

    _equal(
        pretrain(config, tmp_path / "told", progress=False, dataset=data, on_step=look),
        pretrain(config, tmp_path / "plain", progress=False, dataset=data),
    )
    rows = [row for row in read_metrics(tmp_path / "told") if row.kind == "train"]
    assert [step.step for step in seen] == [row.step for row in rows] == list(range(1, 9))
    assert {(step.total, step.phase) for step in seen} == {(8, "pretrain")}
    assert [(v["loss"], v["grad_norm"]) for v in values] == [(row.loss, row.grad_norm) for row in rows]
    assert max(step.lr for step in seen) == pytest.approx(config.recipe.optimizer.lr, rel=0.1)
    assert seen[-1].lr < 0.2 * config.recipe.optimizer.lr


@pytest.mark.case("parameters without a gradient broke data-parallel training")
def test_gradients_reach_every_trainable_parameter(pretraining: PretrainConfig, data: Dataset, tmp_path: Path) -> None:
    """Data-parallel training hangs or fails on a parameter without a gradient."""

    stage = _stage(pretraining, tmp_path, data)
    batch = next(iter(data.pretrain.batches(torch.arange(16), 16)))
    (loss,) = stage.losses(stage.run.network, batch, Moment(step=0, epoch=0, seed=0))
    loss().total.backward()
    missing = [name for name, p in stage.run.network.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


def test_impossible_settings_fail_before_a_folder_is_made(pretraining: PretrainConfig, tmp_path: Path) -> None:
    """Cell that does not divide the image, or is the image; encoder that does not exist."""
    whole = replace(pretraining.recipe, mask=replace(pretraining.recipe.mask, cell=16))
    with pytest.raises(UserError, match=r"image_size = 16 16 is one mask cell of 16 pixels.*`image_size`"):
        pretrain(replace(pretraining, recipe=whole), tmp_path / "run", progress=False)
    mask = replace(pretraining.recipe.mask, cell=5)
    with pytest.raises(UserError, match=r"16.*5|5.*16"):
        pretrain(replace(pretraining, recipe=replace(pretraining.recipe, mask=mask)), tmp_path / "run", progress=False)
    with pytest.raises(UserError, match="resnet10t"):
        pretrain(
            replace(pretraining, encoder=replace(pretraining.encoder, encoder="resnet10")),
            tmp_path / "run",
            progress=False,
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.case("the loss was fine, the encoder had collapsed")
def test_a_collapsed_encoder_says_so(
    pretraining: PretrainConfig, data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An encoder whose output is constant has rank 1, deviation 0 and a line on standard error."""
    stage = _stage(pretraining, tmp_path, data)
    with torch.no_grad():
        for name, parameter in stage.run.network.model.named_parameters():
            if name.endswith("weight"):
                parameter.zero_()
    stage.look(0)
    row = read_metrics(tmp_path)[-1]
    assert row.collapsed is True
    assert row.feature_std == pytest.approx(0, abs=1e-6)
    assert "collapsed" in capsys.readouterr().err


def test_an_ema_teacher_begins_as_the_student(pretraining: PretrainConfig, data: Dataset, tmp_path: Path) -> None:
    """Also when the student begins from given weights; and it moves away from them only as the momentum says."""
    first = pretrain(pretraining, tmp_path / "first", progress=False, dataset=data)
    target = TargetConfig(target="ema_teacher", decoder_width=8)
    config = replace(pretraining, recipe=replace(pretraining.recipe, target=target), init=str(first), seed=9)
    stage = _stage(config, tmp_path, data)
    teacher = stage.target.modules()["teacher"].state_dict()
    student = stage.run.network.model.state_dict()
    given, _ = load_weights(first / "encoder.safetensors")
    for name, tensor in student.items():
        assert torch.equal(tensor, teacher[name]), name
        assert torch.equal(tensor, given[name]), name


def test_a_folder_that_another_command_works_in_is_left_alone(
    pretraining: PretrainConfig, data: Dataset, tmp_path: Path
) -> None:
    """Twice --resume doubled the rows of metrics.jsonl; --overwrite beside a live run mixed both."""
    out = pretrain(pretraining, tmp_path / "run", progress=False, dataset=data)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for flags in ({"resume": True}, {"overwrite": True}):
        with holding(out), pytest.raises(UserError, match="another command is running in this folder"):
            pretrain(pretraining, out, progress=False, dataset=data, **flags)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_changed_data_set_stops_a_resume(pretraining: PretrainConfig, data: Dataset, tmp_path: Path) -> None:
    """Nothing of the run is touched."""
    run = pretrain(pretraining, tmp_path / "run", progress=False, dataset=data)
    before = (run / "environment.json").read_bytes()
    with pytest.raises(UserError, match="fingerprint"):
        pretrain(pretraining, run, resume=True, progress=False, dataset=replace(data, fingerprint="other"))
    assert (run / "environment.json").read_bytes() == before


def test_the_token_that_fills_hidden_cells_is_learned(
    data: Dataset, pretraining: PretrainConfig, tmp_path: Path
) -> None:
    """What the masked encoder owns beyond the model is trained and saved, and is no part of the export."""
    stage = _stage(replace(pretraining, execution="auto"), tmp_path, data)
    assert len(stage.run.network.extra) == 0
    from unmask.encoders.filled import FilledEncoder
    from unmask.stages.reconstructor import Reconstructor

    filled = FilledEncoder(stage.run.network.model, image_size=(16, 16), cell=4)
    network = Reconstructor(filled, stage.run.network.decoder)
    assert [tuple(p.shape) for p in network.extra] == [tuple(filled.fill.shape)]
    assert "extra.0" in network.state_dict()
    assert "extra.0" not in network.model.state_dict()
