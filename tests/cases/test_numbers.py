"""Batches and the numbers that come out of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tiny import draw, resnet
from unmask.cli.main import main
from unmask.config import (
    ClassifyConfig,
    ClassifyRecipe,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainConfig,
    PretrainRecipe,
)
from unmask.data.file_names import natural_key
from unmask.errors import UserError
from unmask.runs.metrics import Row, read_metrics
from unmask.stages.classify import scratch
from unmask.stages.pretrain import pretrain

BASE = PretrainConfig(
    encoder=EncoderConfig(encoder="test_resnet"),
    recipe=PretrainRecipe(mask=MaskConfig(cell=32), optimizer=OptimizerConfig(epochs=2, batch_size=4)),
)


def _run(tmp_path: Path, images: int, batch_size: int) -> list[Row]:
    draw(tmp_path / "images", *(f"{index}.png" for index in range(images)), size=(64, 64), mode="L")
    optimizer = replace(BASE.recipe.optimizer, batch_size=batch_size)
    config = replace(
        BASE, data=DataConfig(data=str(tmp_path / "images")), recipe=replace(BASE.recipe, optimizer=optimizer)
    )
    return [row for row in read_metrics(pretrain(config, tmp_path / "run", progress=False)) if row.kind == "train"]


@pytest.mark.case("BatchNorm failed on a last batch of one image")
def test_no_batch_of_one_meets_batchnorm(tmp_path: Path) -> None:
    """9 images in batches of 4: three near equal batches an epoch, finite."""
    rows = _run(tmp_path, 9, 4)
    assert len(rows) == 6
    assert all(np.isfinite(row.loss) for row in rows)


@pytest.mark.case("fewer images than the batch trained nothing")
@pytest.mark.parametrize("images", [1, 3])
def test_fewer_images_than_the_batch_still_train(tmp_path: Path, images: int) -> None:
    """A step an epoch; a single image too."""
    assert len(_run(tmp_path, images, 8)) == 2


@pytest.mark.case("a batch of one image before a 1 x 1 BatchNorm ended in torch's traceback")
@pytest.mark.parametrize(("batch_size", "images"), [(1, 8), (2, 7)])
def test_one_image_has_no_variance(batch_size: int, images: int, tmp_path: Path) -> None:
    """One line before the work: of 15 images in batches of two the last is alone."""
    draw(tmp_path / "x" / "train" / "a", *(f"{i}.png" for i in range(images)), size=(16, 16))
    draw(tmp_path / "x" / "train" / "b", *(f"{i + 100}.png" for i in range(8)), size=(16, 16))
    draw(tmp_path / "x" / "test", "a/900.png", "b/901.png", size=(16, 16))
    config = ClassifyConfig(
        data=DataConfig(data=str(tmp_path / "x"), image_size=(16, 16)),
        encoder=resnet(unstrided=1),
        recipe=ClassifyRecipe(optimizer=OptimizerConfig(steps=2, batch_size=batch_size)),
    )
    with pytest.raises(UserError, match="no variance: give batch_size = 3 or more"):
        scratch(config, tmp_path / "run", progress=False)


@pytest.mark.case("numbers beyond all measure ended in tracebacks, or ran for ever")
@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--epochs", "inf"], "epochs = inf is out of range: expected (0, 1e+06]"),
        (["--epochs", "nan"], "epochs = nan is out of range"),
        (["--steps", "9" * 20], "steps = 99999999999999999999 is out of range: expected [1, 1e+09]"),
        (["--image-size", "1000000000", "1000000000"], "image_size = 1000000000 is out of range"),
        (["--channels", "-3"], "channels = -3 is out of range"),
        (["--data", "{0..999999999}.tar"], "{0..999999999} stands for more than 1,000,000 shards"),
        (["--data", "{0..9}{0..99999}{0..9}.tar"], "stands for more than 1,000,000 shards"),
        (["--data", "/proc"], "/proc is a system folder"),
        (["--data", "/"], "/ is a system folder"),
        (["--encoder-options", '{"a":' * 20000], "expected a JSON object"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_numbers_beyond_measure(
    flags: list[str], wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and exit code 2, before anything is read."""
    draw(tmp_path / "x", "0.png", size=(16, 16))
    data = [] if "--data" in flags else ["--data", str(tmp_path / "x")]
    with pytest.raises(SystemExit) as ended:
        main(["pretrain", *data, "--encoder", "patchnet", "--out", str(tmp_path / "run"), *flags])
    assert ended.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert wanted in line
    assert len(line) < 600


def test_names_with_long_numbers_are_in_order() -> None:
    """As whole numbers, which Python itself reads up to 4,300 digits."""
    names = ["a10", "a9", "a" + "9" * 5000, "a" + "1" + "0" * 5000, "a007", "a7"]
    assert sorted(names, key=natural_key) == ["a007", "a7", "a9", "a10", names[2], names[3]]
