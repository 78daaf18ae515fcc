"""FAULTS 25: names with control characters are shown on the terminal, not obeyed by it."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unmask.data.decoding.decode import decode
from unmask.errors import UserError
from unmask.wording import printable

ODD = "a\x1b[31m\x1b]0;title\x07\nunmask: all is well\r\u202etxt\x9b"
SHOWN = r"a\x1b[31m\x1b]0;title\x07\nunmask: all is well\r\u202etxt\x9b"


def test_control_characters_are_escapes() -> None:
    """Colors, titles, line ends and turned reading; letters of every language stay."""
    assert printable(ODD) == SHOWN
    assert printable("Ünïcode 猫 \N{ZERO WIDTH JOINER} x\udcff") == "Ünïcode 猫 \N{ZERO WIDTH JOINER} x\\xff"


@given(st.text())
def test_what_is_printable_is_one_line_and_stays(text: str) -> None:
    """Nothing is escaped twice, as where a message quotes another."""
    once = printable(text.replace("\\", ""))
    assert len(once.splitlines()) <= 1
    assert printable(once) == once


@given(st.text())
def test_messages_are_one_line(text: str) -> None:
    """Every message for users, whatever it quotes."""
    assert len(str(UserError(f"{text}: no such file")).splitlines()) == 1


def test_a_bad_file_is_named_in_escapes(tmp_path: Path) -> None:
    """As messages of the reader name it."""
    path = tmp_path / f"{ODD.replace('/', '')}.png"
    path.write_bytes(b"x")
    with pytest.raises(UserError) as raised:
        decode(path)
    assert f"{SHOWN}.png: not an image" in str(raised.value)


def _told(*words: str | Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "unmask", *map(str, words)], capture_output=True, timeout=300, check=False
    )
    return (ran.stdout + ran.stderr).decode()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes, one of an odd name, with a bad file of an odd name in each."""
    for name in (f"class {ODD}", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            Image.effect_noise((16, 16), 50 + i).save(tmp_path / "images" / name / f"{i}{ODD}.png")
        (tmp_path / "images" / name / f"bad{ODD}.png").write_bytes(b"x")
        (tmp_path / "images" / name / f"other{ODD}.x{ODD}").write_bytes(b"x")
    return tmp_path / "images"


@pytest.mark.slow
def test_commands_show_names_in_escapes(images: Path, tmp_path: Path) -> None:
    """data check, a training with its notes, its predictions, and errors about flags."""
    small = ("--recipe", "small-cnn", "--encoder", "patchnet", "--encoder-options", '{"width": 8, "patch": 4}')
    train = ("--data", images, *small, "--steps", "2", "--image-size", "16", "16", "--budget", "2")
    run = tmp_path / f"run{ODD}"
    told = [
        _told("data", "check", "--data", images),
        _told("scratch", *train, "--out", tmp_path / "stopped"),
        _told("scratch", *train, "--out", run, "--on-bad-file", "skip"),
        _told("predict", run, "--out", tmp_path / f"{ODD}.csv", "--on-bad-file", "skip"),
        _told("predict", tmp_path / f"none{ODD}", "--out", tmp_path / "x.csv"),
        _told("scratch", "--data", f"{tmp_path}/{ODD}", "--out", tmp_path / "y"),
        _told("scratch", "--data", images, "--recipe", ODD, "--out", tmp_path / "y"),
        _told(ODD),
    ]
    assert SHOWN in told[0]
    for text in told:
        assert text, told
        assert not set(text) & set("\x1b\x07\x9b\u202e"), text
        assert "\nunmask: all is well" not in text, text
