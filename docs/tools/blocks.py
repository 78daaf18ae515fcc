"""Fenced blocks of the documentation, and the folders that its commands speak of."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unmask.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.M | re.S)
SHORTER = {
    "pretrain": "--epochs None --steps 2 --batch-size 8 --quiet",
    "finetune": "--epochs None --steps 2 --head-steps 1 --batch-size 8 --quiet",
    "scratch": "--epochs None --steps 2 --head-steps 0 --batch-size 8 --quiet",
    "compare": "--arms mrp scratch_same --draws 2 --jobs 1 --pretrain.steps 2 --finetune.steps 2 "
    "--finetune.head-steps 1 --quiet",
    "audit": "--images 4 --evaluations 8 --pictures 1 --quiet",
    "data": "--quiet",
    "choose": "--quiet",
    "predict": "--quiet",
    "embed": "--quiet",
}
"""What is added to a command as printed, so that it ends in seconds. The last word of a flag counts."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    kind: str
    body: str
    why_not: str | None
    """Reason that stands above a block that is not run."""

    @property
    def commands(self) -> list[list[str]]:
        """Its lines as words, without comments; continued lines joined."""
        lines = self.body.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def pages() -> list[Path]:
    """Everything a reader reads."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    return [Block(path.name, m["kind"], m["body"], m["why"]) for m in FENCE.finditer(text)]


def own_command(words: list[str]) -> list[str] | None:
    """The arguments of `unmask` where a line runs it, also through a launcher; else None."""
    if words[0] in ("unmask", ".venv/bin/unmask"):
        return words[1:]
    module = ["-m", "unmask"]
    return next((words[i + 2 :] for i in range(len(words)) if words[i : i + 2] == module), None)


def run(words: list[str]) -> None:
    """A command as printed, shortened; it must succeed."""
    code: object = None
    try:
        main([*words, *SHORTER.get(words[0], "").split()])
    except SystemExit as end:
        code = end.code
    assert code == 0, f"unmask {shlex.join(words)} ended with exit code {code}"


def execute(block: Block, names: dict[str, Any]) -> None:
    """Run a block: Python in the names of its page, commands one by one."""
    if block.kind == "python":
        exec(compile(block.body, f"{block.page}, a block", "exec"), names)
        return
    for words in block.commands:
        command = own_command(words)
        assert command is not None, f"{block.page}: {shlex.join(words)} needs a line <!-- not run: reason --> above"
        run(command)


def write_images(folder: Path, count: int, seed: int) -> None:
    """Color images of 64 pixels: stripes whose direction is the class, under noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    for index in range(count):
        wave = np.sin((x if seed % 2 else y) / 3 + rng.uniform(0, 6))
        pixels = 128 + 60 * wave[..., None] + rng.normal(0, 30, (64, 64, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index}.png")


def own_folder(root: Path) -> Path:
    """A newcomer's folder: labeled images, unlabeled ones, new ones."""
    write_images(root / "my/images/across", 80, seed=0)
    write_images(root / "my/images/down", 80, seed=1)
    write_images(root / "my/unlabeled", 24, seed=2)
    write_images(root / "my/new_images", 3, seed=3)
    return root
