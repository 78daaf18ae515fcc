"""Mistakes on the command line: one line that names flag and value, exit code 2, nothing written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import unmask
from unmask.cli.flags import with_flags
from unmask.cli.main import all_flags, main
from unmask.config import PretrainConfig
from unmask.errors import UserError


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["pretrain", "--data", "digits", "--out", "x", "--mask-ratio", "1.5"], "mask_ratio = 1.5"),
        (["pretrain", "--data", "digits", "--out", "x", "--encoder", "resnet81"], "resnet81"),
        (["pretrain", "--data", "nowhere", "--out", "x"], "nowhere"),
        (["pretrain", "--data", "digits", "--out", "x", "--recipe", "best"], "recipe"),
        (["pretrain", "--data", "digits", "--out", "x", "--image-size", "30", "30", "--cell", "4"], "30"),
        (["finetune", "--data", "digits", "--out", "x"], "init"),
        (["finetune", "--data", "digits", "--out", "x", "--init", "nowhere"], "nowhere"),
        (["compare", "--data", "digits", "--out", "x", "--arms", "mrp", "magic"], "magic"),
        (["report", "nowhere"], "nowhere"),
        (["comparee"], "did you mean compare"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    words: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, the value named, nothing written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([*words, "--quiet"] if words[0] in ("pretrain", "finetune", "compare") else words)
    output = capsys.readouterr()
    assert end.value.code == 2
    lines = output.err.strip().splitlines()
    assert len(lines) == 1, output.err
    assert text in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--maskratio", "0.5"], "--maskratio, 0.5; perhaps you meant --mask-ratio or"),
        (["--mask-ratio", "0.5,0.6"], "--mask-ratio: could not convert string to float: '0.5,0.6'"),
        (["--image-size", "8"], r"--image-size: no type matching .* could be instantiated from \['8'\]"),
        (["--precision", "fp8"], "'fp8' for argument '--precision'"),
        (["--seed"], "Missing value for argument '--seed'"),
    ],
)
def test_what_cannot_be_parsed_is_one_line(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error never passes silently; the near flag is shown, in a narrow terminal too."""
    for columns in ("60", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(SystemExit) as end:
            main(["pretrain", "--data", "digits", "--out", "x", *words])
        assert end.value.code == 2
        said = capsys.readouterr().err
        assert re.fullmatch(rf"unmask: .*{line}.*; unmask pretrain --help lists all flags\n", said)


def test_fields_in_messages_become_flags(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Below the command line messages name fields; it says flags. What is no field stays."""
    said = (
        'use `resume=True`, `on_bad_file="skip"`, `image_size=(28, 14)`, another `out`, `hf auth login`; `no_field=1`'
    )
    told = "use --resume, --on-bad-file skip, --image-size 28 14, another --out, `hf auth login`; `no_field=1`"
    assert with_flags(said, all_flags()) == told
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty; use `resume=True` to continue it"):
        unmask.pretrain(PretrainConfig(), tmp_path / "full")
    with pytest.raises(SystemExit):
        main(["pretrain", "--data", "digits", "--out", str(tmp_path / "full")])
    line = "not empty; use --resume to continue it, --overwrite to replace it, or another --out"
    assert line in capsys.readouterr().err


def test_a_full_disk_may_swallow_the_line_but_not_the_exit_code() -> None:
    """Standard error goes to the disk that is full."""
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "unmask", "pretrian"]
        assert subprocess.run(words, stderr=full, timeout=60, check=False).returncode == 2
