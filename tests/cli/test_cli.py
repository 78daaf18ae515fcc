"""The command line: fast help, defaults from recipes, one line and exit code 2 for every mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unmask.cli.main import COMMANDS, main, parse
from unmask.config import DataConfig, EncoderConfig, PretrainConfig, to_json
from unmask.errors import UserError
from unmask.recipes import multiview, small_cnn
from unmask.runs.read import write_config


def _run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "unmask", *words], capture_output=True, text=True, cwd=cwd, timeout=300, check=False
    )


@pytest.mark.parametrize("words", [["--help"], *([*name.split(), "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    """Neither torch nor anything that imports it: what keeps every --help under a second."""
    code = (
        "import sys\nfrom unmask.cli.main import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'timm', 'sklearn', 'scipy', 'matplotlib', 'accelerate', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert "usage: unmask" in result.stdout


def test_recipe_of_the_data_gives_the_defaults() -> None:
    """The built-in has its recipe, small images theirs; flags win over both."""
    command = parse(["compare", "--out", "x"])
    assert command.config.encoder.encoder == "patchnet"
    assert command.config.finetune == multiview().finetune
    command = parse(["pretrain", "--data", "digits", "--out", "x", "--mask-ratio", "0.5", "--lr", "1e-4"])
    assert command.config.encoder == small_cnn().encoder
    assert command.config.recipe.mask.mask_ratio == 0.5
    assert command.config.recipe.optimizer.lr == 1e-4
    command = parse(["pretrain", "--data", "digits", "--out", "x", "--encoder", "resnet18"])
    assert command.config.encoder == EncoderConfig(encoder="resnet18")
    assert command.config.recipe.mask.cell is None
    command = parse(["pretrain", "--data=digits", "--recipe", "mae-vit-small", "--out", "x"])
    assert command.config.encoder.encoder == "vit_small_patch16_224"


def test_a_run_to_begin_with_gives_encoder_and_size(tmp_path: Path) -> None:
    """--init and --pretrained name a run: what must equal it need not be typed again, and a flag still wins."""
    data = DataConfig(data="digits", image_size=(24, 24))
    write_config(tmp_path, PretrainConfig(data=data, encoder=EncoderConfig(encoder="resnet18", unstrided=2)))
    start = str(tmp_path)
    for words in (
        ["finetune", "--data", "digits", "--init", start, "--out", "x"],
        ["compare", "--data", "digits", "--pretrained", start, "--out", "x"],
        ["pretrain", "--data", "digits", "--recipe", "small-cnn", f"--init={start}", "--out", "x"],
    ):
        command = parse(words)
        assert command.config.encoder == EncoderConfig(encoder="resnet18", unstrided=2)
        assert command.config.data.image_size == (24, 24)
        assert parse([*words, "--image-size", "32", "32"]).config.data.image_size == (32, 32)
        assert parse([*words, "--encoder", "resnet34"]).config.encoder.encoder == "resnet34"
    assert command.config.recipe.mask.cell is None  # That of the recipe's own encoder does not fit this one.
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UserError, match="not the configuration of a run"):
        parse(["finetune", "--data", "digits", "--init", start, "--out", "x"])


def test_a_stored_configuration_repeats_or_varies_a_run(tmp_path: Path) -> None:
    """--config gives every default, flags win; what belongs to other data or to another encoder does not carry over."""
    words = ["pretrain", "--lr", "0.5", "--seed", "7", "--execution", "dense", "--out", "x"]
    first = parse(words)
    write_config(tmp_path, first.config)
    again = ["pretrain", "--config", str(tmp_path / "config.json"), "--out", "y"]
    assert parse(again).config == first.config
    varied = parse([*again, "--lr", "0.25"]).config
    assert varied.recipe.optimizer.lr == 0.25
    assert to_json(varied) == to_json(first.config) | {"recipe": to_json(varied.recipe)}
    other = parse([*again, "--data", "digits", "--encoder", "resnet18"]).config
    assert (other.data.data, other.data.options, other.recipe.mask.cell) == ("digits", None, None)
    assert other.encoder == EncoderConfig(encoder="resnet18")
    assert other.seed == 7
    compared = parse(["compare", "--budgets", "3", "--finetune.lr", "0.5", "--out", "x"]).config
    write_config(tmp_path, compared)
    assert parse(["compare", *again[1:]]).config == compared
    values = json.loads((tmp_path / "config.json").read_text())
    for change, line in (({"format": 1}, "earlier version"), ({"sede": 1}, "unknown field 'sede'")):
        (tmp_path / "config.json").write_text(json.dumps(values | change))
        with pytest.raises(UserError, match=line):
            parse(["compare", *again[1:]])


def test_a_stored_configuration_is_of_the_same_command_and_no_recipe_is_beside_it(tmp_path: Path) -> None:
    """One line, also where there is not a file."""
    write_config(tmp_path, PretrainConfig())
    file = str(tmp_path / "config.json")
    for words, line in (
        (["compare", "--config", file], "belongs to a pretraining"),
        (["pretrain", "--config", file, "--recipe", "small-cnn"], "recipe: 'small-cnn' was given with"),
        (["pretrain", "--config", str(tmp_path / "none.json")], "no such file"),
    ):
        with pytest.raises(UserError, match=line):
            parse([*words, "--out", "x"])


def test_a_reader_that_has_seen_enough_gets_no_error() -> None:
    """unmask audit --help | head: neither a line about a broken pipe nor a traceback."""
    words = [sys.executable, "-u", "-m", "unmask", "audit", "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 141


@pytest.mark.slow
@pytest.mark.case("paths that are not ASCII could not be read")
def test_names_that_the_terminal_cannot_show_are_escaped(tmp_path: Path) -> None:
    """Neither a Latin-1 terminal nor a path that is no UTF-8 ends a command with a traceback."""
    for name in ("猫", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(4):
            picture = np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / "images" / name / f"{i}.png")
    result = subprocess.run(
        [sys.executable, "-m", "unmask", "data", "check", "images", "--json", "--quiet"],
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert set(json.loads(result.stdout)["classes"]) == {"猫", "b"}


def test_sections_of_a_comparison_have_their_own_flags() -> None:
    """--pretrain.lr and --finetune.lr are two things; --data is one."""
    words = [
        "compare",
        "--data",
        "digits",
        "--out",
        "x",
        "--pretrain.lr",
        "1e-4",
        "--finetune.lr",
        "1e-3",
        "--budgets",
        "5",
        "10",
        "--draws",
        "2",
    ]
    config = parse(words).config
    assert (config.pretrain.optimizer.lr, config.finetune.optimizer.lr) == (1e-4, 1e-3)
    assert (config.budgets, config.draws, config.data.data) == ((5, 10), 2, "digits")
    assert config.scratch_candidates == small_cnn().scratch_candidates


def test_json_fields() -> None:
    """Options are JSON objects; anything else is one line."""
    words = ["pretrain", "--out", "x", "--encoder-options", '{"width": 8}', "--options", "none"]
    assert parse(words).config.encoder.encoder_options == {"width": 8}
    assert parse(words).config.data.options is None
    assert parse(["pretrain", "--out", "x"]).config.data.options == multiview().data.options
    for command in ("pretrain", "compare"):  # Options of the recipe's own data are of no others.
        words = [command, "--data", "digits", "--recipe", "multiview", "--out", "x"]
        assert parse(words).config.data.options is None


def test_help_says_whose_defaults_it_shows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Those of the recipe of --data, and of the first run in an audit; the help tells how to see them."""
    config = PretrainConfig(data=DataConfig(data="digits", val_share=0.31))
    write_config(tmp_path, config)
    for words, hint, default in (
        (["pretrain"], "--recipe or else --data selects", "(default: patchnet)"),
        (["pretrain", "--data", "digits"], "--recipe or else --data selects", "(default: resnet10t)"),
        (["audit", str(tmp_path)], "without a run folder it shows the defaults", "(default: 0.31)"),
    ):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        said = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert hint in said
        assert default in said


@pytest.mark.slow
def test_occupied_folder_empty_folder_and_missing_classes(tmp_path: Path) -> None:
    """Through the real program: exit code 2, one line, everything still there."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    (tmp_path / "none").mkdir()
    (tmp_path / "flat").mkdir()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "flat" / "a.png")
    for words, text in (
        (["pretrain", "--data", "digits", "--out", "full"], "not empty"),
        (["pretrain", "--data", "none", "--out", "run"], "none"),
        (["scratch", "--data", "flat", "--out", "run"], "flat"),
    ):
        result = _run(*words, cwd=tmp_path)
        assert result.returncode == 2, result.stderr
        assert "Traceback" not in result.stderr
        assert text in result.stderr.strip().splitlines()[-1]
        assert result.stderr.strip().splitlines()[-1].startswith("unmask: ")
    assert (tmp_path / "full" / "mine.txt").read_text() == "precious"
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_folder_of_images_end_to_end(tmp_path: Path) -> None:
    """The program on real files: pretrain, fine-tune, report; then resume of a finished run returns at once."""
    rng = np.random.default_rng(0)
    for label, shade in (("dark", 60), ("light", 190)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(12):
            picture = rng.normal(shade, 20, (16, 24)).clip(0, 255).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / "images" / label / f"{index}.png")
    small = ["--image-size", "16", "24", "--batch-size", "8", "--quiet"]
    encoder = ["--encoder", "patchnet", "--encoder-options", '{"width": 8, "patch": 4}']
    first = _run("pretrain", "--data", "images", "--out", "p", "--epochs", "2", *small, *encoder, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    tuned = _run(
        *("finetune", "--data", "images", "--init", "p", "--out", "f", "--steps", "40", "--budget", "5"),
        *small,
        *encoder,
        cwd=tmp_path,
    )
    assert tuned.returncode == 0, tuned.stderr
    result = json.loads((tmp_path / "f" / "result.json").read_text())
    assert result["labeled_images"] == 10
    page = _run("report", "p", "f", cwd=tmp_path)
    assert page.returncode == 0, page.stderr
    assert Path(tmp_path / page.stdout.strip()).stat().st_size > 10_000
    again = _run("pretrain", "--data", "images", "--out", "p", "--epochs", "2", *small, *encoder, cwd=tmp_path)
    assert again.returncode == 2
    done = _run(
        "pretrain", "--data", "images", "--out", "p", "--epochs", "2", *small, *encoder, "--resume", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
