"""The run folder: atomic, refused when occupied, resumed only unchanged."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import unmask
from unmask.config import ClassifyConfig, CompareConfig, MaskConfig, PretrainConfig, PretrainRecipe, from_json, to_json
from unmask.errors import UserError
from unmask.runs.environment import describe_environment
from unmask.runs.files import atomic_path, read_json, write_json
from unmask.runs.folder import check_folder, claim_folder, require_same_data
from unmask.runs.layout import distinct_names
from unmask.runs.metrics import TrainingRow, append_metrics, read_metrics, rewind_metrics
from unmask.runs.read import write_config
from unmask.runs.records import DataFacts, Environment


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """And no temporary file."""
    write_json(tmp_path / "a.json", {"value": 1})

    def fail() -> None:
        with atomic_path(tmp_path / "a.json") as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert read_json(tmp_path / "a.json") == {"value": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.case("a second run overwrote the first")
def test_an_occupied_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    """The message names both flags."""
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UserError, match=r"`resume=True` .*`overwrite=True`"):
        claim_folder(tmp_path, PretrainConfig())
    with pytest.raises(UserError, match="holds no run"):
        claim_folder(tmp_path, PretrainConfig(), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_overwrite_replaces_a_run(tmp_path: Path) -> None:
    """The old files are gone, the new configuration is there."""
    claim_folder(tmp_path / "run", PretrainConfig(seed=1))
    (tmp_path / "run" / "metrics.jsonl").write_text("{}\n")
    assert claim_folder(tmp_path / "run", PretrainConfig(seed=2), overwrite=True) is False
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
    assert read_json(tmp_path / "run" / "config.json")["seed"] == 2


def test_overwrite_spares_other_programs_and_its_own_input(tmp_path: Path) -> None:
    """A config.json of another program is not a run; a run that needs weights from the folder may not delete it."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(UserError, match="not the configuration of a run of this package"):
        claim_folder(tmp_path / "model", PretrainConfig(), overwrite=True)
    claim_folder(tmp_path / "run", PretrainConfig())
    (tmp_path / "run" / "encoder.safetensors").write_bytes(b"weights")
    for init in (tmp_path / "run", tmp_path / "run" / "encoder.safetensors"):
        with pytest.raises(UserError, match="it would delete"):
            claim_folder(tmp_path / "run", PretrainConfig(init=str(init)), overwrite=True)
    assert (tmp_path / "run" / "encoder.safetensors").exists()


def test_overwrite_deletes_what_such_a_run_writes_and_nothing_else(tmp_path: Path) -> None:
    """Foreign files are named and kept, wherever they are; exports and audits count as foreign, half files as own."""
    run = tmp_path / "run"
    own = ("metrics.jsonl", "checkpoints/step_00000010.safetensors", "pictures/step_00000010.png", "trackers/a/b.c")
    claim_folder(run, PretrainConfig())
    for name in (*own, "checkpoints/.step_00000020.safetensors.7.tmp", "report.html"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("own")
    strange = ("export-onnx/model.onnx", "export-onnx/README.md", "checkpoints/best.pt", "my_notes.txt", "x.txt")
    for name in strange:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("mine")
    with pytest.raises(UserError) as error:
        claim_folder(run, PretrainConfig(seed=1), overwrite=True)
    assert str(error.value) == (
        f"{run}: `overwrite=True` refused, it would delete what a pretraining does not write: checkpoints/best.pt, "
        "export-onnx, my_notes.txt and 1 more; move that away, or give another `out`"
    )
    assert all((run / name).exists() for name in (*own, *strange))
    for name in strange:
        (run / name).unlink()
    assert claim_folder(run, PretrainConfig(seed=1), overwrite=True) is False
    assert [path.name for path in run.iterdir()] == ["config.json"]


@pytest.mark.parametrize("flag", ["resume", "overwrite"])
def test_another_kind_of_run_is_said_and_kept(tmp_path: Path, flag: str) -> None:
    """One line says what the folder holds, instead of fields that differ."""
    kinds = {
        "pretraining": PretrainConfig(),
        "fine-tuning": ClassifyConfig(init="p"),
        "training from scratch": ClassifyConfig(),
        "comparison": CompareConfig(),
    }
    for kind, config in kinds.items():
        claim_folder(tmp_path / kind, config)
        for other in set(kinds) - {kind}:
            with pytest.raises(
                UserError, match=f"`{flag}=True` refused, this is a {kind}, not a {other}; give another"
            ):
                claim_folder(tmp_path / kind, kinds[other], **{flag: True})
        assert claim_folder(tmp_path / kind, config, **{flag: True}) is (flag == "resume")


def test_a_linked_run_folder_is_overwritten_within(tmp_path: Path) -> None:
    """The link stays."""
    claim_folder(tmp_path / "run", PretrainConfig())
    (tmp_path / "link").symlink_to("run")
    claim_folder(tmp_path / "link", PretrainConfig(seed=1), overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert read_json(tmp_path / "run" / "config.json")["seed"] == 1


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path: Path) -> None:
    """Before the data are read: `check_folder` says so."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=f"x/y: cannot create a folder there, {tmp_path}/file is a file"):
        check_folder(tmp_path / "file" / "x" / "y", PretrainConfig())
    if Path("/proc/version").exists():
        with pytest.raises(UserError, match=r"^/proc/x: cannot write to /proc "):
            check_folder(Path("/proc/x"), PretrainConfig())
    with pytest.raises(UserError, match="expected a UTF-8 path"):
        check_folder(tmp_path / "\udcff", PretrainConfig())
    check_folder(tmp_path / "new" / "run", PretrainConfig())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_changed_data_are_noticed(tmp_path: Path) -> None:
    """The fingerprint of the run's beginning decides."""
    config = PretrainConfig()
    write_config(tmp_path, config)
    assert require_same_data(tmp_path, config, "b") == []
    write_json(tmp_path / "environment.json", describe_environment(data=DataFacts(fingerprint="a")))
    assert require_same_data(tmp_path, config, "a") == []
    with pytest.raises(UserError, match="images, labels or splits"):
        require_same_data(tmp_path, config, "b")


def test_resume_wants_the_same_configuration(tmp_path: Path) -> None:
    """A field that changes the result is named; one that changes the speed is free."""
    claim_folder(tmp_path / "run", PretrainConfig())
    assert claim_folder(tmp_path / "run", PretrainConfig(keep=5), resume=True) is True
    changed = PretrainConfig(recipe=PretrainRecipe(mask=MaskConfig(mask_ratio=0.5)))
    with pytest.raises(UserError, match=r"recipe\.mask\.mask_ratio"):
        claim_folder(tmp_path / "run", changed, resume=True)


def test_checking_writes_nothing(tmp_path: Path) -> None:
    """`check_folder` is for before the data is read."""
    assert check_folder(tmp_path / "new", PretrainConfig()) is False
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match="exclude"):
        check_folder(tmp_path, PretrainConfig(), resume=True, overwrite=True)


def test_metrics_survive_a_cut_line_and_rewind(tmp_path: Path) -> None:
    """A kill may cut the last line; a resumed run drops what it will write again."""
    for step in range(5):
        append_metrics(tmp_path, TrainingRow(step=step, loss=0.5))
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 5, "lo')
    assert [row.step for row in read_metrics(tmp_path)] == [0, 1, 2, 3, 4]
    rewind_metrics(tmp_path, 2)
    assert [row.step for row in read_metrics(tmp_path)] == [0, 1, 2]


def test_broken_json_is_named(tmp_path: Path) -> None:
    """Missing, cut, not text."""
    for content in (None, b"{", b"\xff\xfe"):
        path = tmp_path / "config.json"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=r"config\.json"):
            read_json(path)


def test_environment_can_be_stored() -> None:
    """Versions, hardware, and what the stage adds."""
    facts = describe_environment(jobs=3)
    assert facts.jobs == 3
    assert facts.packages["torch"]
    assert from_json(Environment, json.loads(json.dumps(to_json(facts)))) == facts


def test_a_half_file_of_a_kill_is_no_content(tmp_path: Path) -> None:
    """Killed before config.json was whole, a run can still be resumed: it begins."""
    (tmp_path / ".config.json.12.tmp").write_text("{")
    assert claim_folder(tmp_path, PretrainConfig(), resume=True) is False
    assert claim_folder(tmp_path, PretrainConfig(), resume=True) is True


@pytest.mark.case("a weights file given to resume was a KeyError")
def test_weights_are_no_run(tmp_path: Path) -> None:
    """Given to --resume, a weights file is answered with the flag that takes it."""
    (tmp_path / "encoder.safetensors").write_bytes(b"weights")
    with pytest.raises(UserError, match="these are weights, not a run: use `init`"):
        check_folder(tmp_path / "encoder.safetensors", PretrainConfig(), resume=True)


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(tuple), min_size=1, unique=True))
def test_names_differ_and_are_ends_of_their_paths(places: list[tuple[str, ...]]) -> None:
    """Over any set of paths; and the last part alone wherever that is enough."""
    paths = [Path("/", *parts) for parts in places]
    names = distinct_names(paths)
    assert len(set(names)) == len(names)
    for path, name in zip(paths, names, strict=True):
        assert str(path).endswith(name.lstrip("/"))
        alone = sum(other.name == path.name for other in paths) == 1
        assert not alone or name == path.name


@pytest.mark.slow
@pytest.mark.case("an installed package recorded the git state of the checkout that its environment lies in")
def test_an_installed_package_has_no_git_state(tmp_path: Path) -> None:
    """Its files are in somebody's checkout, but not of it."""
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), *author, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    package = tmp_path / ".venv" / "unmask"
    shutil.copytree(Path(unmask.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    ask = "from unmask.runs.environment import describe_environment as d; print(d().git)"
    told = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(package.parent)}, cwd=tmp_path,
    )  # fmt: skip
    assert told.stdout.strip() == "None"
