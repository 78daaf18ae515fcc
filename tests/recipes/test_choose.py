"""Which recipe a run gets where none is named: the same for the same images in every form, fit for the device."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

import tiny
import unmask
from unmask.cli.main import parse
from unmask.config import CompareConfig, DataConfig, EncoderConfig, MaskConfig, PretrainConfig
from unmask.recipes import RECIPES, Wish, choose, configured, photo_cnn, small_cnn, suggested
from unmask.recipes.definition import other_data, recipe_of
from unmask.runs.read import write_config


def _name(data: Path | str) -> str:
    return suggested(DataConfig(data=str(data))).recipe_name


def _in_every_form(folder: Path, side: int) -> list[str]:
    """The same images as a folder, a manifest, an array, shards, and a folder of them. The first is of 8 pixels."""
    names = tiny.numbered("a", "b", count=3)
    tiny.draw(folder / "images", *names[1:], size=(side, side + 9))
    tiny.draw(folder / "images", names[0], size=(8, 8))
    (folder / "m.csv").write_text("path,label\n" + "".join(f"images/{name},{name[0]}\n" for name in names))
    np.save(folder / "x.npy", np.zeros((4, side, side + 9, 3), np.uint8))
    (folder / "shards").mkdir()
    for index in range(6):  # more than are listed
        with tarfile.open(folder / "shards" / f"x-{index}.tar", "w") as tar:
            for name in names:
                tar.add(folder / "images" / name, name)
    return [str(folder / name) for name in ("images", "m.csv", "x.npy", "shards", "shards/x-{0..5}.tar")]


@pytest.mark.case("the first file in the alphabet decided, and a manifest always counted as small")
@pytest.mark.parametrize(("side", "expected"), [(24, "small-cnn"), (120, "photo-cnn")])
def test_the_median_size_decides_whatever_the_form_of_the_data(
    side: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU; a large network is proposed on a GPU alone, and for many images alone."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    forms = _in_every_form(tmp_path, side)
    assert [_name(form) for form in forms] == [expected] * len(forms)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert {_name(form) for form in forms} == {expected}
    monkeypatch.setattr(choose, "MANY", 3)
    assert {_name(form) for form in forms} == {"masked-resnet50" if side > choose.SMALL else "small-cnn"}
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert {_name(form) for form in forms} == {expected}


def test_images_that_cannot_be_looked_at_are_left_for_reading_to_refuse(tmp_path: Path) -> None:
    """No data set, no image: a small recipe, and the one line comes from what reads them."""
    assert _name(tmp_path / "nowhere") == _name(tmp_path) == "small-cnn"
    assert _name("multiview") == "multiview"
    images = [(np.zeros((120, 130, 3), np.uint8), 0)] * 3
    assert suggested(DataConfig(data="anything"), images).recipe_name == "photo-cnn"


def test_a_configuration_says_which_recipe_it_has_and_why(tmp_path: Path) -> None:
    """By name, by the data; a recipe read out of a configuration keeps it."""
    words = ["compare", "--data", "digits", "--out", "x"]
    config = parse(words).config
    assert config.chosen.recipe_name == "small-cnn"
    assert "8 pixels" in config.chosen.because
    assert recipe_of(config).fill(CompareConfig()) == config
    assert parse([*words, "--recipe", "photo-cnn"]).config.chosen.recipe_name == "photo-cnn"
    assert CompareConfig().chosen is None


def test_an_encoder_given_by_hand_is_timms_own() -> None:
    """Even where the recipe's has the same name: neither its channels nor its strides carry over."""
    words = ["pretrain", "--data", "digits", "--encoder", "resnet10t", "--out", "x"]
    config = parse(words).config
    assert config.encoder == EncoderConfig(encoder="resnet10t")
    assert config.recipe.mask.cell is None
    assert parse([*words, "--encoder-options", '{"stem_width": 8}']).config.encoder.encoder_options == {"stem_width": 8}
    assert unmask.recipe("small-cnn", encoder="resnet10t").encoder == config.encoder


@pytest.mark.case("fine-tuning a run at 32 pixels took schedule and augmentation of a recipe for photographs")
def test_fine_tuning_takes_the_recipe_of_its_run(tmp_path: Path) -> None:
    """That which the run names, or the one of the comparison whose pretraining it is; not one guessed from the data."""
    tiny.draw(tmp_path / "photos", *tiny.numbered("a", "b", count=2), size=(120, 130))
    data, run = str(tmp_path / "photos"), tmp_path / "run"
    (tmp_path / "answer" / "pretrain" / "seed_0").mkdir(parents=True)
    run.mkdir()
    made = (
        small_cnn().for_data(DataConfig(data=data)).pretrain_config(chosen={"recipe_name": "small-cnn", "because": "x"})
    )
    write_config(run, made)
    tuned = parse(["finetune", "--init", str(run), "--out", "x"]).config
    assert (tuned.recipe, tuned.data, tuned.encoder) == (small_cnn().finetune, made.data, made.encoder)
    assert tuned.chosen.recipe_name == "small-cnn"
    assert parse(["finetune", "--init", str(run), "--recipe", "photo-cnn", "--out", "x"]).config.recipe == (
        photo_cnn().finetune
    )
    comparison = small_cnn().for_data(made.data).compare_config(finetune={"lr": 0.5})
    write_config(tmp_path / "answer", comparison)
    inside = tmp_path / "answer" / "pretrain" / "seed_0"
    write_config(inside, PretrainConfig(data=made.data, encoder=made.encoder, recipe=comparison.pretrain))
    for words in (["--init", str(inside)], ["--init", str(inside), "--data", data]):
        assert parse(["finetune", *words, "--out", "x"]).config.recipe == comparison.finetune
    other = parse(["finetune", "--init", str(inside), "--data", "digits", "--out", "x"]).config
    assert (other.data.data, other.data.image_size, other.recipe) == ("digits", (32, 32), comparison.finetune)


def test_a_run_made_by_hand_keeps_its_own_training(tmp_path: Path) -> None:
    """Its recipe is no named one: its own training stays, the other is the one for its data."""
    own = tiny.pretrain_recipe(mask=MaskConfig(cell=8), steps=7)
    write_config(tmp_path, PretrainConfig(data=DataConfig(data="digits"), encoder=tiny.RESNET, recipe=own))
    again = configured(PretrainConfig, None, Wish(start=str(tmp_path)))
    assert (again.recipe, again.encoder) == (own, tiny.RESNET)
    assert parse(["finetune", "--init", str(tmp_path), "--out", "x"]).config.recipe == small_cnn().finetune


def test_every_recipe_has_cells_that_its_last_map_can_tell_apart() -> None:
    """photo-cnn: 36 of them on the images that it is made for."""
    from unmask.encoders.build import build_model
    from unmask.encoders.masked import masked_encoder

    recipe = RECIPES["photo-cnn"]()
    size = recipe.data.image_size
    assert size is not None
    model = build_model(recipe.encoder, in_chans=3, image_size=size)
    encoder = masked_encoder(model, image_size=size, cell=recipe.pretrain.mask.cell)
    assert encoder.grid == (6, 6)
    assert encoder.strides[-1] == encoder.cell == 16
    assert encoder.execution == "packed"


def test_fields_of_a_run_do_not_carry_over_to_other_data() -> None:
    """They name columns or members of its own data; pages, splits and the like are settings for any."""
    data = DataConfig(
        data="own.tar", image_field="left.png", label_field="kind", task="multilabel", page=2, val_share=0.3
    )
    assert other_data(data, "own.tar") == other_data(data, None) == data
    assert other_data(data, "new") == DataConfig(data="new", page=2, val_share=0.3)
