"""Every example runs as a reader would run it, and prints what it found."""

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SAYS = {
    "own_folder_grey16.py": [r"stored values \d{4} to \d{4} count", r"tuned: \d+%", r"new.csv: 12 images; right on"],
    "multichannel_arrays.py": [r"5 channels of 16 x 16", r"\d+% of the test images right", "64 features of"],
    "timm_cnn_and_vit.py": [r"resnet10t \(hidden cells: (packed|dense)", r"vit_tiny.*hidden cells: tokens"],
    "add_a_target.py": ["steepness of hidden cells: loss", "predicting each cell's mean"],
    "add_an_encoder_rule.py": [r"refused: .*sin", "features by 0\n"],
    "audit.py": [
        r"20 labels a class: says its class with probability 0\.\d+, is right on \d+%",
        "random weights",
        "MB",
    ],
    "segmentation.py": ["encoder of the run: intersection over union", "encoder from scratch: intersection over union"],
}


def test_every_example_is_tested() -> None:
    """A new script needs a line above."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


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
