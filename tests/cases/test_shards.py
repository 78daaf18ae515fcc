"""Data larger than a disk's cache, in shards: what is lost or doubled elsewhere when runs stop, or processes share.

Streams with a shuffle buffer begin an epoch anew after a stop, repeat or drop samples where shards do not divide by
workers and processes, and draw another order for another number of them. Here a shard is an index into a file: order,
augmentation and shares are those of every other source.
"""

import io
import os
import signal
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unmask.cli.main import main
from unmask.config import AugmentConfig, DataConfig, EncoderConfig, OptimizerConfig, PretrainConfig, PretrainRecipe
from unmask.data.load import Dataset, load_data
from unmask.errors import PreemptionError
from unmask.randomness import permutation
from unmask.runs.metrics import read_metrics
from unmask.stages.pretrain import pretrain
from unmask.training.checkpoint import load_tensors
from unmask.training.step import Step
from unmask.training.training_batches import shares


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """37 images of 8 x 8 in shards of 1, 12 and 24: nothing divides by anything."""
    root = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    for shard, count in enumerate((1, 12, 24)):
        with tarfile.open(root / f"part-{shard}.tar", "w") as tar:
            for i in range(count):
                out = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(out, "PNG")
                info = tarfile.TarInfo(f"{i:03}.png")
                info.size = len(out.getvalue())
                tar.addfile(info, io.BytesIO(out.getvalue()))
    return root


def config_of(folder: Path, workers: int) -> PretrainConfig:
    """Seven steps of 10 images: nearly two epochs of 37, whose last batch has 7."""
    return PretrainConfig(
        data=DataConfig(data=str(folder), cache_mib=0, workers=workers),
        encoder=EncoderConfig(encoder="patchnet", encoder_options={"width": 8, "patch": 4}),
        recipe=PretrainRecipe(optimizer=OptimizerConfig(steps=7, batch_size=10)),
        save_every=100.0,
        picture_every=100.0,
    )


def ends_equal(one: Path, two: Path) -> bool:
    a, b = (load_tensors(run / "encoder.safetensors")[0] for run in (one, two))
    return read_metrics(one) == read_metrics(two) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 5])
def test_a_run_on_shards_stopped_in_an_epoch_goes_on_to_the_same_bits(folder: Path, tmp_path: Path, stop: int) -> None:
    """With workers, which a run of its own without them must equal, too."""
    config = config_of(folder, workers=2)
    whole = pretrain(config, tmp_path / "whole", progress=False)
    alone = pretrain(config_of(folder, workers=0), tmp_path / "alone", progress=False)
    assert ends_equal(whole, alone)

    def terminate(step: Step) -> None:
        if step.step == stop - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(PreemptionError, match=f"saved at step {stop}"):
        pretrain(config, tmp_path / "part", progress=False, on_step=terminate)
    assert ends_equal(whole, pretrain(config, tmp_path / "part", resume=True, progress=False))


@pytest.mark.parametrize("world", [2, 3, 5])
def test_every_image_is_in_one_share_of_an_epoch_whatever_the_processes(folder: Path, world: int) -> None:
    data = load_data(DataConfig(data=str(folder), cache_mib=0, workers=0), labels=False, progress=False)
    order = torch.from_numpy(permutation(0, "order", 3, len(data.pretrain)))
    seen = []
    for rank in range(world):
        local, size = shares(order, 10, rank, world)
        seen += ids(data, local, size)
    assert sorted(seen) == list(range(37))


def ids(data: Dataset, order: torch.Tensor, size: int) -> list[int]:
    how: dict[str, Any] = {"augment": AugmentConfig()}
    return [i for batch in data.pretrain.batches(order, size, **how) for i in batch.ids.tolist()]


def test_a_shard_more_or_a_changed_image_stops_a_resume(folder: Path, tmp_path: Path) -> None:
    """The order of an epoch is one of all images: it would be another."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for shard in folder.iterdir():
        (copy / shard.name).write_bytes(shard.read_bytes())
    whole = load_data(config_of(copy, 0).data, labels=False, progress=False).fingerprint
    assert whole == load_data(config_of(folder, 0).data, labels=False, progress=False).fingerprint
    last = copy / "part-2.tar"
    content = bytearray(last.read_bytes())
    content[512 + 60] ^= 1
    last.write_bytes(content)
    skipping = replace(config_of(copy, 0).data, on_bad_file="skip")
    assert load_data(skipping, labels=False, progress=False).fingerprint != whole
    last.unlink()
    assert load_data(config_of(copy, 0).data, labels=False, progress=False).fingerprint != whole


def test_the_commands_take_braces(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """check reads the shards; pretrain names the one that is missing and begins nothing."""
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["data", "check", "--data", str(folder / "part-{0..2}.tar"), "--quiet"])
    assert "37 images" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["pretrain", "--data", str(folder / "part-{0..3}.tar"), "--out", str(tmp_path / "x")])
    assert capsys.readouterr().err == f"unmask: data: no shard {folder / 'part-3.tar'}\n"
    assert not (tmp_path / "x").exists()
