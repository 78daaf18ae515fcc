"""Every code block is right as printed: commands are parsed, and what can run on a CPU in seconds is run.

Commands get a few flags more (SHORTER in docs/tools/blocks.py) that cut the training to some steps. Blocks that cannot
run carry a comment with the reason.
"""

import csv
import html
import json
import re
import shlex
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from blocks import ROOT, Block, blocks, execute, own_command, own_folder, pages
from reference import flags
from safetensors.torch import load_file

from unmask.cli.main import COMMANDS, parse
from unmask.config import PretrainConfig
from unmask.runs.read import write_config

ALONE = {"README.md", "index.md"}
"""Pages that begin with an empty folder; the others go on where the README ends."""
FOREIGN = {
    "--standalone",
    "--rdzv-backend",
    "--shm-size",
    "--ipc",
    "--use_fsdp",
    "--fsdp_reshard_after_forward",
    "--nthreads",
    "--lifetime",
    "--local-directory",
}
"""Flags of torchrun, accelerate, docker and dask of which the pages speak."""
INLINE = re.compile(r"`(--[a-z][\w.-]*)")


def test_every_block_is_of_a_known_kind() -> None:
    """A block in another language would be checked by nobody."""
    kinds = {(block.page, block.kind) for page in pages() for block in blocks(page)}
    assert {kind for _, kind in kinds} <= {"python", "sh", "text", ""}
    fences = sum(page.read_text(encoding="utf-8").count("\n```") for page in pages())
    assert 2 * sum(len(blocks(page)) for page in pages()) == fences


@pytest.mark.slow
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_command_is_parsed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands and flags exist, and values are of their types, in blocks that are run and in those that are not."""
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block.kind in ("sh", ""):
            for words in block.commands:
                command = own_command(words)
                if command is not None and "--config" in command:
                    write_config(Path(command[command.index("--config") + 1]).parent, PretrainConfig())
                if command is not None and command != ["--help"]:
                    parse(command)


def test_every_flag_in_the_text_exists() -> None:
    """A flag that was renamed must be renamed on all pages."""
    known = {flag.name for command in COMMANDS.values() for flag in flags(command)}
    short = {f"--{name.rsplit('.', 1)[-1]}" for name in known if name.startswith("--")}
    known |= short | {name.replace("--", "--no-", 1) for name in known} | {"--help", "--version"} | FOREIGN
    unknown = {
        (page.name, flag)
        for page in pages()
        for flag in INLINE.findall(page.read_text(encoding="utf-8"))
        if flag.rstrip(".") not in known
    }
    assert not unknown


@pytest.mark.slow
def test_the_newcomers_path(newcomer: Path) -> None:
    """README from top to bottom: an answer, runs, a report, predictions, an export; timm has loaded it on the way."""
    _assert_answered(newcomer)
    session = onnxruntime.InferenceSession(newcomer / "deployed/model.onnx")
    logits = session.run(None, {session.get_inputs()[0].name: np.zeros((2, 3, 128, 128), np.float32)})[0]
    assert logits.shape == (2, 2)
    assert (newcomer / "exported/config.json").is_file()


@pytest.mark.slow
def test_the_quick_start(tmp_path: Path) -> None:
    """The first page of the site, in a folder of its own."""
    _run_page(ROOT / "docs/index.md", own_folder(tmp_path))
    _assert_answered(tmp_path)
    text = (tmp_path / "runs/pretrained/report.html").read_text(encoding="utf-8")
    for name in ("finetuned", "scratch"):
        accuracy = json.loads((tmp_path / "runs" / name / "result.json").read_text())["metrics"]["test"]["accuracy"]
        assert f"{100 * accuracy:.1f}" in text
    files = ("runs/finetuned/encoder.safetensors", "deployed/model.safetensors")
    trained, exported = (load_file(tmp_path / name) for name in files)
    assert trained.keys() == exported.keys()
    assert all(torch.equal(exported[name], tensor) for name, tensor in trained.items())


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in pages() if p.name not in ALONE], ids=lambda page: page.name)
def test_every_block_that_can_run_runs(page: Path, newcomer: Path, tmp_path: Path) -> None:
    """In a folder with the images and runs that the README made."""
    for name in ("my", "runs"):
        (tmp_path / name).mkdir()
        for inner in (newcomer / name).iterdir():
            (tmp_path / name / inner.name).symlink_to(inner)
    _run_page(page, tmp_path)


def _assert_answered(folder: Path) -> None:
    """A verdict, pages that show it and the pretraining, and a class for each of three new images."""
    verdict = json.loads((folder / "runs/answer/summary.json").read_text())["verdicts"][0]["sentence"]
    assert "against the best scratch arm" in verdict
    assert html.escape(verdict) in (folder / "runs/answer/report.html").read_text(encoding="utf-8")
    assert "Reconstruct" in (folder / "runs/pretrained/report.html").read_text(encoding="utf-8")
    with (folder / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == ["0.png", "1.png", "2.png"]
    assert {row["predicted"] for row in rows} <= {"across", "down"}


def _run_page(page: Path, folder: Path) -> None:
    names: dict[str, Any] = {"__name__": page.stem}
    with chdir(folder):
        for block in blocks(page):
            if block.kind in ("python", "sh") and block.why_not is None:
                execute(block, names)


def test_a_wrong_block_is_noticed(tmp_path: Path) -> None:
    """The harness itself: a foreign command without a reason, a flag that does not exist, Python that fails."""
    page = tmp_path / "page.md"
    page.write_text("```sh\nmake coffee\n```\n\n<!-- not run: hot -->\n```sh\nmake tea\n```\n\n```python\n1 / 0\n```\n")
    foreign, marked, python = blocks(page)
    assert marked.why_not == "hot"
    with pytest.raises(AssertionError, match="make coffee needs"):
        execute(foreign, {})
    with pytest.raises(ZeroDivisionError):
        execute(python, {})
    with pytest.raises(AssertionError, match="exit code 2"):
        execute(Block("page.md", "sh", f"unmask report {shlex.quote(str(tmp_path))}", None), {})
