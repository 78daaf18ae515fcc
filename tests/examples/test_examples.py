"""Every example runs as a reader would run it, and prints what it found."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SAYS = {
    "own_folder_gray16.py": [r"stored values \d{4} to \d{4} count", r"tuned: \d+%", r"new.csv: 12 images; right on"],
    "multichannel_arrays.py": [r"5 channels of 16 x 16", r"\d+% of the test images right", "64 features of"],
    "timm_cnn_and_vit.py": [r"resnet10t \(hidden cells: (packed|dense)", r"vit_tiny.*hidden cells: tokens"],
    "add_a_target.py": ["steepness of hidden cells: loss", "predicting each cell's mean"],
    "add_an_encoder_rule.py": [r"refused: .*sin", "features by 0\n"],
    "audit.py": [
        r"20 labels per class: says its class with probability 0\.\d+, is right on \d+%",
        "random weights",
        "MB",
    ],
    "segmentation.py": [
        r"background, upright, lying",
        r"tuned: mIoU \d+\.\d % .* from 6 masks",
        r"scratch: mIoU",
        r"masks: 8 masks; mIoU \d+\.\d%",
        r"0\.png: 32 x 32 pixels of",
    ],
    "several_labels.py": [
        r"bright: average precision \d+%, \d+ of 20 images have it",
        r"found.csv: 20 images; mean average precision \d+\.\d% on 20 labeled",
        r"test0\.png: has .*, predicted .* \(bright \d\.\d\d, dark \d\.\d\d\)",
    ],
    "measurements.py": [
        r"mean absolute error \d+\.\d micrometers",
        r"found.csv: 20 images; MAE \d+\.?\d* on 20 labeled",
        r"test0\.png: \d+\.\d micrometers, predicted",
    ],
    "with_segmentation_models.py": [
        "encoder of the run: intersection over union",
        "encoder from scratch: intersection over union",
    ],
}


def test_every_example_is_tested() -> None:
    """A new script needs a line above."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SAYS))
def test_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In this process, to save the start of another; in an empty folder, which stays empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    text = capsys.readouterr().out
    for pattern in SAYS[name]:
        assert re.search(pattern, text), f"{pattern!r} is not in:\n{text}"
    assert list(tmp_path.iterdir()) == []


SMALL = """
from dataclasses import replace

from unmask.theory.distribution import Distribution
from unmask.theory.setting import Setting

SEEDS = 1
setting = Setting(data=Distribution(classes=4, dim=10, patches=8, others=1.0), kernels_per_class=16, samples=120,
                  labeled=120, test_samples=200)
"""
RUN = """
import json, sys

import nbformat
from nbclient import NotebookClient

book = nbformat.read(sys.argv[1], as_version=4)
for cell in book.cells:
    if "parameters" in cell.metadata.get("tags", []):
        cell.source = sys.argv[2]
NotebookClient(book, timeout=300, kernel_name="python3").execute()
outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
print(json.dumps({"text": [o.text for o in outputs if o.output_type == "stream"],
                  "pictures": sum("image/png" in o.get("data", {}) for o in outputs)}))
"""


QUICK = """
import tempfile
from pathlib import Path

import unmask

DATA = "digits"
SETTINGS = {"budgets": (2,), "draws": 2, "pretrainings": 1, "pretrain": {"steps": 3}, "finetune": {"steps": 3},
            "scratch_candidates": (), "arms": ("mrp", "scratch_same")}
folder = Path(tempfile.mkdtemp())
"""


def _run_notebook(name: str, parameters: str, folder: Path) -> tuple[str, int]:
    """Run every cell in a kernel of its own, with other parameters. Returns what it prints, and its pictures."""
    command = [sys.executable, "-c", RUN, str(EXAMPLES / name), parameters]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert list(folder.iterdir()) == []
    return "".join(found["text"]), found["pictures"]


@pytest.mark.slow
def test_quickstart_notebook(tmp_path: Path) -> None:
    """From images to an answer, predictions and features, with a few steps."""
    text, pictures = _run_notebook("quickstart.ipynb", QUICK, tmp_path)
    for pattern in (
        r"With 2 labels per class",
        r"mrp +\d+\.\d % of the test",
        r"report.html: \d+ kB",
        r"right on \d+ of \d+ test images",
    ):
        assert re.search(pattern, text), f"{pattern!r} is not in:\n{text}"
    assert pictures == 1


@pytest.mark.slow
def test_theory_notebook(tmp_path: Path) -> None:
    """With four classes and one seed instead of the preset."""
    text, pictures = _run_notebook("theory.ipynb", SMALL, tmp_path)
    for pattern in (
        "grows alone below 0.48, only together below 0.65",
        r"T = .*: 100.0% of the features captured",
        r"features per class, from scratch: \d\.\d\d of 2",
        r"fine-tuned +error on multi-view samples +\d+\.\d%",
        "captured with 90 % hidden: 0% of the features",
    ):
        assert re.search(pattern, text), f"{pattern!r} is not in:\n{text}"
    assert pictures == 1


@pytest.mark.parametrize("name", [path.name for path in sorted(EXAMPLES.glob("*.ipynb"))])
def test_notebook_is_stored_without_outputs(name: str) -> None:
    """What it prints is what the code says today; a stored output could be of another day."""
    for cell in json.loads((EXAMPLES / name).read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
