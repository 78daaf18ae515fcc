"""The site builds without a warning, loads nothing from elsewhere, and says what the code says."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from blocks import ROOT
from reference import flags, render, value_text

import unmask
from unmask.cli.main import COMMANDS

LOADS = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//|<link\b(?![^>]*canonical)[^>]*https?://"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; strict: a broken link or anchor, or a page outside the navigation, is an error."""
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No font, script, picture or style of another host: the site works without a network."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        assert not LOADS.search(page.read_text(encoding="utf-8")), page
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?https?:", style.read_text(encoding="utf-8")), style


@pytest.mark.slow
def test_every_picture_has_words(site: Path) -> None:
    """A text alternative for those who do not see it."""
    images = [
        (page, image)
        for page in site.rglob("*.html")
        for image in re.findall(r"<img\b[^>]*>", page.read_text(encoding="utf-8"))
    ]
    assert len(images) >= 5
    assert [(page, image) for page, image in images if not re.search(r'alt="[^"]{20,}"', image)] == []


def test_every_flag_is_explained() -> None:
    """No empty cell in the column of meanings."""
    every = [(name, flag) for name, command in COMMANDS.items() for flag in flags(command)]
    assert len(every) > 100
    assert [f"unmask {name} {flag.name}" for name, flag in every if not flag.meaning] == []


def test_every_public_name_is_documented() -> None:
    """On the page of the Python API; sub-modules have pages or sections of their own."""
    shown = set(re.findall(r"^::: unmask\.(\w+)$", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.M))
    public = {name for name in unmask.__all__ if not isinstance(getattr(unmask, name), ModuleType)}
    assert shown == public


def test_the_reference_shows_values_as_they_are_typed() -> None:
    """Numbers without tails, pairs with a space, and the exact value of a recipe."""
    assert [value_text(v) for v in (0.1, (0.6, 1.0), None, True, 3e-3)] == ["0.1", "0.6 1", "none", "on", "0.003"]
    page = render()
    assert "| `--mask-ratio` | float | 0.6 |" in page
    assert re.search(r"\| `--mask-ratio` \| 0\.5 \| 0\.6 \| 0\.6 \| 0\.6 \| 0\.75 \|", page)
