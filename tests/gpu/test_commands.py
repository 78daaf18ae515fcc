"""The commands on a GPU from their words to their exit code; too little memory; one process of a launcher."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import unmask
from unmask.cli.main import main
from unmask.runs.files import read_json
from unmask.runs.metrics import read_metrics
from unmask.training.checkpoint import newest
from unmask.training.step import Step

SMALL = '{"images": 60, "val_images": 30, "test_images": 30, "classes": 3, "size": 16, "part_size": 4}'
PATCHNET = ("--encoder", "patchnet", "--encoder-options", '{"width": 8, "patch": 4, "stride": 2}')
CNN = '{"channels": [8, 8, 8, 8], "stem_width": 4, "stem_type": "deep"}'
ARMS = ("mrp", "scratch_same", "scratch_compute", "scratch_masked", "probe_mrp", "probe_random")
COMMON = ("--data", "multiview", "--options", SMALL, "--image-size", "16", "16", "--batch-size", "16", "--quiet")
RESNET = ("--encoder", "resnet10t", "--encoder-options", CNN, "--unstrided", "2")
VIT = (
    *("--encoder", "vit_tiny_patch16_224"),
    *("--encoder-options", '{"patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}'),
)
LAUNCHED = {
    "cnn": ("pretrain", *COMMON, *RESNET, "--cell", "4", "--steps", "6", "--decoder-width", "8"),
    "vit": ("pretrain", *COMMON, *VIT, "--steps", "6", "--decoder-width", "8", "--target", "ema_teacher"),
    "scratch": ("scratch", *COMMON, *RESNET, "--steps", "6", "--head-steps", "3"),
}
LAUNCHED |= {f"sharded {name}": (*words, "--ema", "0.5", "--shard") for name, words in LAUNCHED.items()}
LAUNCHED["sharded bf16"] = (*LAUNCHED["sharded vit"], "--precision", "bf16")


def _run(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


@pytest.mark.parametrize("run", ["scratch", "tuned"])
def test_predict_embed_and_export(
    run: str, folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folders[0] / run
    assert _run("predict", folder, "--split", "test", "--out", tmp_path / "p.csv", "--quiet") == 0
    assert _run("embed", folder, "--out", tmp_path / "e.npz", "--quiet") == 0
    for form in ("safetensors", "torch-export"):
        assert _run("export", folder, "--to", form, "--out", tmp_path / form) == 0, capsys.readouterr().err
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 31


def test_embed_a_pretraining(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("packed", "vit", "swin"):
        out = tmp_path / f"{name}.npz"
        assert _run("embed", folders[0] / name, "--out", out, "--quiet") == 0
        assert _run("embed", folders[0] / name, "--layer", "-1", "--map", "--out", tmp_path / "map.npz", "--quiet",
                    "--overwrite") == 0  # fmt: skip


def test_audit(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Of two networks, with the random one beside them."""
    runs = [folders[0] / run for run in ("scratch", "tuned")]
    words = ("--images", "6", "--pictures", "2", "--quiet")
    assert _run("audit", *runs, "--out", tmp_path / "audit", *words) == 0
    report = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert list(report["models"]) == ["scratch", "tuned", "random weights"]


def test_compare(tmp_path: Path) -> None:
    """One budget, one draw, every arm whose steps the words decide; and the page."""
    words = ("--pretrain.steps", "4", "--finetune.steps", "6", "--finetune.head-steps", "2", "--arms", *ARMS)
    out = tmp_path / "compared"
    code = _run("compare", "--data", "multiview", "--options", SMALL, *PATCHNET, "--image-size", "16", "16",
                "--budgets", "5", "--draws", "1", *words, "--out", out, "--quiet")  # fmt: skip
    assert code == 0
    assert (out / "report.html").exists()
    assert read_json(out / "summary.json")["verdicts"]


@contextmanager
def _little_memory(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The GPU gives 64 MiB more than it has given; without a GPU the second step says so."""
    if device.type == "cpu":

        def forward(*given: object) -> None:
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of"
            )

        def starve(step: Step) -> None:
            step.network.register_forward_pre_hook(forward)

        for name in ("pretrain", "scratch"):
            monkeypatch.setattr(unmask, name, partial(getattr(unmask, name), on_step=starve))
        yield
        return
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**26) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


@pytest.mark.parametrize("command", ["pretrain", "scratch"])
def test_too_little_memory_is_one_line(
    command: str,
    device: torch.device,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, and what to do: smaller batches, or the same in pieces."""
    options = '{"images": 1100, "val_images": 30, "test_images": 30, "classes": 3, "size": 32, "part_size": 8}'
    wide = '{"channels": [64, 64, 64, 64], "stem_width": 32, "stem_type": "deep"}'
    words = (command, "--data", "multiview", "--options", options, "--encoder", "resnet10t", "--encoder-options", wide,
             "--unstrided", "2", "--image-size", "32", "32", "--batch-size", "1024", "--steps", "3")  # fmt: skip
    with _little_memory(device, monkeypatch):
        code = _run(*words, *(("--cell", "8") if command == "pretrain" else ()), "--out", tmp_path / "out", "--quiet")
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unmask: ")]
    assert code == 2
    assert len(said) == 1
    assert "batch" in said[0]
    assert "accumulat" in said[0]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, subprocess.Popen[str]]]]:
    """Every command of LAUNCHED by torchrun with one process, all at once."""
    folder, place = tmp_path_factory.mktemp("launched"), {**os.environ, "OMP_NUM_THREADS": "1"}
    place["NVIDIA_TF32_OVERRIDE"] = "0"  # as in this process, see conftest.py
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m", "unmask")
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = {
        name: subprocess.Popen([*torchrun, *words, "--out", str(folder / name)], env=place, **pipes)
        for name, words in LAUNCHED.items()
    }
    yield folder, started
    for process in started.values():
        process.kill()


@pytest.mark.parametrize("name", LAUNCHED)
def test_one_process_of_a_launcher(
    name: str, launched: tuple[Path, dict[str, subprocess.Popen[str]]], tmp_path: Path
) -> None:
    """torchrun with one process, on a GPU with an NCCL group of one: the run of the plain command."""
    if "sharded" in name and not torch.cuda.is_available():
        pytest.skip("on a CPU one process has nobody to share with")
    assert _run(*(word for word in LAUNCHED[name] if word != "--shard"), "--out", tmp_path / "plain") == 0
    folder, started = launched
    said, _ = started[name].communicate(timeout=90)
    assert started[name].returncode == 0, said[-3000:]
    one, two = read_metrics(tmp_path / "plain"), read_metrics(folder / name)
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert b[key] == (pytest.approx(value, rel=5e-3, abs=1e-5) if isinstance(value, float) else value), key
    found = newest(folder / name).found
    assert found is not None
    assert found.header.processes == 1


def test_the_script_trains_what_the_tests_expect(trainings: ModuleType, folders: tuple[Path, Path]) -> None:
    """Both folders hold every training."""
    names = {*trainings.EXECUTIONS, "scratch", "tuned"}
    assert [{path.name for path in folder.iterdir()} for folder in folders] == [names, names]
