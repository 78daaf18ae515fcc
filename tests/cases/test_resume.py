"""Resuming and starting from files: nothing is rescaled, repeated, lost or mistaken for something else."""

import itertools
import shutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from unmask.comparison.run import compare
from unmask.config import (
    AugmentConfig,
    ClassifyConfig,
    CompareConfig,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainConfig,
    PretrainRecipe,
)
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.load import load_data
from unmask.encoders.build import build_model
from unmask.encoders.heads import head_names
from unmask.errors import UserError
from unmask.randomness import permutation
from unmask.runs.layout import ENCODER_FILE, ENVIRONMENT_FILE
from unmask.runs.read import read_config, read_environment
from unmask.stages.classify import finetune, scratch
from unmask.stages.pretrain import pretrain
from unmask.training.checkpoint import newest, save_tensors
from unmask.training.plan import Plan
from unmask.training.training_batches import training_batches
from unmask.weights.start import initialize

CONFIG = PretrainConfig(
    data=DataConfig(data="digits", image_size=(8, 8)),
    encoder=EncoderConfig(encoder="patchnet", encoder_options={"width": 8, "patch": 4}),
    recipe=PretrainRecipe(optimizer=OptimizerConfig(steps=2, batch_size=64)),
)


@pytest.mark.case("resuming with another number of epochs rescaled the schedule silently")
def test_another_length_is_refused_and_named(tmp_path: Path) -> None:
    """The schedule is a function of the length: resuming with another would rescale it silently."""
    run = pretrain(CONFIG, tmp_path / "run", progress=False)
    longer = replace(CONFIG, recipe=replace(CONFIG.recipe, optimizer=replace(CONFIG.recipe.optimizer, steps=4)))
    with pytest.raises(UserError, match=r"`resume=True` refused.*steps"):
        pretrain(longer, run, resume=True, progress=False)


@pytest.mark.case("images were repeated or skipped after a stop within an epoch")
@pytest.mark.parametrize("stopped", [1, 4, 5, 7])
def test_every_image_once_an_epoch_wherever_it_stopped(stopped: int) -> None:
    """The batches before a stop and those after it, put together: two epochs, each image once in either."""
    data = load_data(CONFIG.data, labels=False, progress=False)
    images = data.pretrain.select(range(23))
    plan = Plan(total=10, per_epoch=5, batch_size=5)

    def ids(start: int, end: int) -> list[list[int]]:
        stream = training_batches(
            images,
            plan,
            augment=AugmentConfig(),
            seed=0,
            start=start,
        )
        return [batch.ids.tolist() for _, batch in itertools.islice(stream, end - start)]

    seen = ids(0, stopped) + ids(stopped, 10)
    for epoch in (seen[:5], seen[5:]):
        assert sorted(itertools.chain(*epoch)) == sorted(images.ids.tolist())
    assert seen[:5] != seen[5:]


PLACED = replace(CONFIG, data=DataConfig(image_size=(8, 8), channels=1))


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve images below the working directory."""
    monkeypatch.chdir(tmp_path)
    return tiny.draw(tmp_path / "images", *tiny.numbered("a", "b"))


@pytest.mark.case("resume was refused where the same data were named by another path")
@pytest.mark.parametrize("where", ["images/", "./images", "moved"])
def test_data_that_moved_are_gone_on_with(
    where: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Relative, with a slash, or elsewhere: the fingerprint decides; config.json has the absolute path of today."""
    config = replace(PLACED, data=replace(PLACED.data, data="images"))
    run = pretrain(config, tmp_path / "run", progress=False)
    assert read_config(run).data.data == str(images)
    if where == "moved":
        images.rename(where)
    other = replace(config, data=replace(config.data, data=where, cache_mib=0))
    assert pretrain(other, run, resume=True) == run
    assert ("are now read from" in capsys.readouterr().err) is (where == "moved")
    assert read_config(run).data.data == str(tmp_path / where.strip("./"))


@pytest.mark.parametrize("known", [True, False])
def test_other_data_are_not_gone_on_with(known: bool, images: Path, tmp_path: Path) -> None:
    """Nor data of which nothing tells whether they are the same."""
    config = replace(PLACED, data=replace(PLACED.data, data="images"))
    run = pretrain(config, tmp_path / "run", progress=False)
    shutil.copytree(images, "others")
    if known:
        tiny.picture(seed=99).save("others/a/0.png")
    else:
        (run / ENVIRONMENT_FILE).unlink()
    other = replace(config, data=replace(config.data, data="others"))
    with pytest.raises(UserError, match="not those the run began with" if known else "had not yet recorded"):
        pretrain(other, run, resume=True, progress=False)
    assert read_config(run).data.data == str(images)


@pytest.mark.case("another cache was taken for other data")
def test_the_cache_changes_no_fingerprint(images: Path) -> None:
    """Nor do workers; another way of reading the same files does."""
    found = [
        tiny.load(images, **fields).fingerprint for fields in ({}, {"cache_mib": 0}, {"cache_mib": 0, "workers": 0})
    ]
    assert len(set(found)) == 1
    assert tiny.load(images, background=0).fingerprint != found[0]


@pytest.mark.case("an unknown encoder was found after all images had been read")
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"encoder": EncoderConfig(encoder="resnet19t")}, "'resnet19t' is not known"),
        ({"data": DataConfig(data="nowhere", image_size=(7, 7))}, "7"),
        ({"init": "no/weights"}, "init: no/weights"),
        ({"recipe": replace(CONFIG.recipe, mask=MaskConfig(cell=3))}, "cell"),
    ],
)
def test_what_needs_no_image_is_found_before_any(change: dict[str, Any], text: str, tmp_path: Path) -> None:
    """The data are not even looked for."""
    config = replace(PLACED, data=DataConfig(data="nowhere", image_size=(8, 8)))
    with pytest.raises(UserError, match=text):
        pretrain(replace(config, **change), tmp_path / "run", progress=False)


@pytest.mark.parametrize("command", [scratch, compare])
def test_an_unknown_encoder_is_found_before_any_image(command: Any, tmp_path: Path) -> None:
    """Of every command that trains."""
    kind = CompareConfig if command is compare else ClassifyConfig
    data, encoder = DataConfig(data="nowhere", image_size=(8, 8)), EncoderConfig(encoder="resnet19t")
    with pytest.raises(UserError, match="'resnet19t' is not known"):
        command(kind(data=data, encoder=encoder), tmp_path / "run", progress=False)


def test_missing_weights_are_found_before_any_image(tmp_path: Path) -> None:
    """Those to start from, those given, and pretrainings."""
    data, missing = DataConfig(data="nowhere"), str(tmp_path / "none")
    with pytest.raises(UserError, match=r"init: .*none is neither"):
        finetune(ClassifyConfig(data=data, init=missing), tmp_path / "run", progress=False)
    for change in ({"pretrained": (Path(missing),)}, {"given": missing, "arms": ("given",)}):
        with pytest.raises(UserError, match=rf"{next(iter(change))}: .*none is neither"):
            compare(CompareConfig(data=data, **change), tmp_path / "run", progress=False)


@pytest.mark.case("a checkpoint could be saved, but not loaded with weights_only=True")
def test_a_checkpoint_has_plain_types_only(tmp_path: Path) -> None:
    """Tensors and JSON in safetensors: nothing to unpickle."""
    found = newest(pretrain(CONFIG, tmp_path / "run", progress=False)).found
    assert found is not None
    assert all(isinstance(tensor, torch.Tensor) for tensor in found.tensors.values())
    assert found.header.step == 2
    assert found.path.suffix == ".safetensors"


@pytest.mark.case("a weights file given to resume was a KeyError")
def test_a_weights_file_is_not_a_run(tmp_path: Path) -> None:
    """Given to --resume, the line says what is wrong; as --init it works."""
    run = pretrain(CONFIG, tmp_path / "run", progress=False)
    with pytest.raises(UserError, match="use `init`"):
        pretrain(CONFIG, run / "encoder.safetensors", resume=True, progress=False)
    pretrain(replace(CONFIG, init=str(run / "encoder.safetensors")), tmp_path / "next", progress=False)


@pytest.mark.case("weights for another number of classes did not load")
def test_another_number_of_classes_gets_a_new_head(tmp_path: Path) -> None:
    """Weights of a classifier of five, head included, for one of three: the encoder's are the same, the head is new,
    and this is said."""
    options = EncoderConfig(encoder="test_resnet")
    five, three = (build_model(options, in_chans=1, image_size=(32, 32), num_classes=k, seed=k) for k in (5, 3))
    fresh = {name: tensor.clone() for name, tensor in three.state_dict().items()}
    save_tensors(tmp_path / "five.safetensors", five.state_dict(), {})
    notes = initialize(
        three, str(tmp_path / "five.safetensors"), options, ImageFormat.plain((32, 32), 1, "uint8")
    ).notes
    assert "head new" in notes[0]
    head = head_names(three)
    assert head
    for name, tensor in three.state_dict().items():
        assert torch.equal(tensor, fresh[name] if name in head else five.state_dict()[name]), name


@pytest.mark.case("without set_epoch every epoch had the same order")
def test_the_order_of_epochs_differs_and_repeats() -> None:
    """The order is a function of seed and epoch."""
    orders = [tuple(permutation(0, "order", epoch, 50).tolist()) for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[1]) == list(range(50))


@pytest.mark.case("another version of torch on resume was neither said nor recorded")
def test_other_versions_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the terminal and in environment.json, where the note stays through later continuations."""
    run = pretrain(CONFIG, tmp_path / "run", progress=False)
    (run / ENCODER_FILE).unlink()
    file = run / ENVIRONMENT_FILE
    now = metadata.version("torch")
    file.write_text(file.read_text().replace(f'"torch": "{now}"', '"torch": "2.6.0"'))
    pretrain(CONFIG, run, resume=True)
    note = f"Continued with other versions: torch 2.6.0 → {now}; numbers may differ in their last bits"
    assert f"note: {note}" in capsys.readouterr().err
    for _ in range(2):
        environment = read_environment(run)
        assert environment is not None
        assert environment.notes.count(note) == 1
        (run / ENCODER_FILE).unlink(missing_ok=True)
        pretrain(CONFIG, run, resume=True, progress=False)
