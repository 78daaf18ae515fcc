"""Commands other than `compare` on the workers of a Dask cluster: what they find is what they find here."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from unmask.cli.main import parse
from unmask.comparison.workers import LocalProcesses
from unmask.config import ClassifyConfig, ClassifyRecipe, OptimizerConfig
from unmask.errors import UserError
from unmask.stages.classify import scratch
from unmask.theory.axes import parse_axes
from unmask.theory.presets import preset
from unmask.theory.sweep import UnfinishedSweepError, run_sweep
from unmask.theory.verdict import Verdict
from warm_dask import two_workers

pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask's own about ports, and sockets that it closes late

SWEEP = ["theory", "sweep", "--over", "mask_ratio=0.1,0.5,0.7", "--seeds", "2"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the scheduler of two workers, as `--on` names it."""
    with two_workers(tmp_path_factory.mktemp("dask")) as cluster:
        yield f"dask:{cluster.scheduler_address}"


def run(*words: str) -> int:
    """A command as it is typed."""
    return parse(list(words)).run()


def files(folder: Path) -> dict[str, bytes]:
    """The content of all files but those that say when and where."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name not in ("environment.json", "audit.html")}


@pytest.mark.slow
def test_a_sweep(address: str, tmp_path: Path) -> None:
    """The same table, to the byte, in the order of its grid."""
    here, there = tmp_path / "here", tmp_path / "there"
    assert run(*SWEEP, "--out", str(here / "table.csv")) == 0
    assert run(*SWEEP, "--out", str(there / "table.csv"), "--on", address) == 0
    assert files(here) == files(there)
    assert sorted(files(here)) == ["table.csv", "table.png"]


SMALL = replace(tiny.LABORATORY, samples=80, labeled=80)


def _no_checks(*_: object) -> list[Verdict]:
    """In place of checks that have settings of their own, and take long."""
    return []


@pytest.mark.slow
def test_a_sweep_whose_points_share_encoders(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points that differ in labels alone share an encoder: the rows are the same, whichever of them a worker has."""
    monkeypatch.setattr("unmask.theory.presets.preset", lambda name: SMALL)
    words = ["theory", "sweep", "--measure", "learners", "--over", "labels_per_class=1,2", "--seeds", "1"]
    assert run(*words, "--out", str(tmp_path / "here" / "table.csv")) == 0
    assert run(*words, "--out", str(tmp_path / "there" / "table.csv"), "--on", address) == 0
    assert files(tmp_path / "here") == files(tmp_path / "there")
    assert len((tmp_path / "here" / "table.csv").read_text().splitlines()) == 1 + 2


@pytest.mark.slow
def test_verdicts(address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, to the last digit, and the same exit code; all of the work is counted."""
    monkeypatch.setattr("unmask.theory.verify.preset", lambda name: SMALL)
    for name in ("learner_checks", "objective_checks", "exact_checks"):
        monkeypatch.setattr(f"unmask.theory.verify.{name}", _no_checks)
    words = ["theory", "verify", "--seeds", "2", "--json"]
    codes = [run(*words, "--workers", str(torch.get_num_threads()))]
    here = capsys.readouterr()
    codes.append(run(*words, "--on", address))
    there = capsys.readouterr()
    assert here.out == there.out
    assert len(json.loads(here.out)) > 20
    assert codes[0] == codes[1]
    assert "100%" in there.err


@pytest.mark.slow
def test_encoders(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same table, in the order of the names; a law that does not hold is a finding there, too."""
    words = ["encoders", "--check", "patchnet", "test_vit", "no_such_model"]
    codes = [run(*words, "--table", str(tmp_path / "here"))]
    codes.append(run(*words, "--table", str(tmp_path / "there"), "--on", address))
    assert codes == [1, 1]
    assert (tmp_path / "here").read_text() == (tmp_path / "there").read_text()
    assert capsys.readouterr().out.endswith((tmp_path / "there").read_text() + "\n")
    assert [line.split()[1] for line in (tmp_path / "there").read_text().splitlines()[2:]] == words[2:]


@pytest.mark.slow
def test_an_audit(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers and pictures; of the data nothing is left where they lay."""
    monkeypatch.chdir(tmp_path)
    for name, steps in (("long", 20), ("short", 5)):
        recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=steps, batch_size=16, lr=1e-2))
        config = ClassifyConfig(data=tiny.DATA, encoder=tiny.OVERLAPPING_PATCHNET, recipe=recipe)
        scratch(config, tmp_path / name, progress=False)
    words = ["audit", "long", "short", "--images", "9", "--pictures", "2", "--evaluations", "32", "--quiet"]
    assert run(*words, "--out", "here") == 0
    assert run(*words, "--out", "there", "--on", address) == 0
    assert files(Path("here")) == files(Path("there"))
    assert len(json.loads(Path("there/audit.json").read_text())["models"]) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "long", "short", "there"]
    if Path("/proc/self/cwd").exists():  # a path that is another one in every process
        with pytest.raises(UserError, match=r"does not see /proc/self/cwd/\.data.*: give paths that all machines have"):
            run(*words, "--out", "/proc/self/cwd/far", "--on", address)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "long", "short", "there"]


@pytest.mark.parametrize(
    "words",
    [
        ["theory", "sweep"],
        ["theory", "verify"],
        ["encoders", "--check", "patchnet"],
        ["audit", "runs/none", "--out", "audit"],
    ],
    ids=lambda words: words[1],
)
def test_the_job_script(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """That of a comparison; without a scheduler of jobs there is none."""
    flags = ["--on", "slurm", "--partition", "short", "--job-cores", "2", "--dry-run"]
    assert run("compare", *flags) == 0
    script = capsys.readouterr().out
    assert run(*words, *flags) == 0
    assert capsys.readouterr().out == script
    assert "#SBATCH -p short" in script
    with pytest.raises(UserError, match=r"`dry_run=True` has no effect: no jobs are submitted"):
        parse([*words, "--dry-run"])


@pytest.mark.parametrize("name", ["sweep", "verify"])
def test_threads_where_the_work_is_done_elsewhere(name: str) -> None:
    """A flag without effect is refused."""
    with pytest.raises(UserError, match=r"`workers=3` has no effect: the work is done by the workers of `on`"):
        parse(["theory", name, "--on", "dask:tcp://somewhere:1", "--workers", "3"])


def all_but_the_second(pieces: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Pieces done here, of which one fails."""
    yield 2, pieces[2][0](*pieces[2][1], None)
    yield 0, pieces[0][0](*pieces[0][1], None)
    raise UserError("failed on the workers")


def test_a_sweep_that_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points that were finished are written, in the order of the grid, and the line says so."""
    axes = parse_axes(["mask_ratio=0.1,0.5,0.7"])
    with pytest.raises(UnfinishedSweepError) as told:
        run_sweep(preset("paper-small"), axes, "phases", elsewhere=all_but_the_second)
    whole = run_sweep(preset("paper-small"), axes, "phases")
    assert told.value.rows == [whole[0], whole[2]]
    monkeypatch.setattr("unmask.comparison.place.open_elsewhere", _opening(all_but_the_second))
    with pytest.raises(UserError, match=r"^failed on the workers; .*table.csv holds the other points$"):
        run("theory", "sweep", "--over", "mask_ratio=0.1,0.5,0.7", "--out", str(tmp_path / "table.csv"))
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 3


def _opening(elsewhere: Callable[..., Any]) -> Callable[..., Any]:
    @contextmanager
    def open_elsewhere(*_: Any, **__: Any) -> Iterator[Any]:
        yield elsewhere

    return open_elsewhere


def test_an_encoder_whose_worker_is_lost(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the others are printed before the line that tells."""

    def lose(self: LocalProcesses, pieces: Sequence[Any], data: None = None) -> Iterator[tuple[int, Any]]:
        yield 0, pieces[0][0](*pieces[0][1], None)
        raise UserError("failed on the workers")

    monkeypatch.setattr(LocalProcesses, "run", lose)
    with pytest.raises(UserError, match="failed on the workers"):
        run("encoders", "--check", "patchnet", "resnet18")
    assert capsys.readouterr().out.count("| patchnet |") == 2


def test_encoders_of_which_none_was_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No table is printed, and that of an earlier check stays."""

    def lose(self: LocalProcesses, pieces: Sequence[Any], data: None = None) -> Iterator[tuple[int, Any]]:
        raise UserError("the scheduler is gone")
        yield

    monkeypatch.setattr(LocalProcesses, "run", lose)
    file = tmp_path / "table.md"
    file.write_text("earlier", encoding="utf-8")
    with pytest.raises(UserError, match="the scheduler is gone"):
        run("encoders", "--check", "patchnet", "--table", str(file))
    assert capsys.readouterr().out == ""
    assert file.read_text(encoding="utf-8") == "earlier"


def test_the_table_of_encoders_goes_into_a_new_folder_not_onto_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"table = .* is a folder: name a file in it"):
        run("encoders", "--check", "patchnet", "--table", str(tmp_path))
    file = tmp_path / "new" / "table.md"
    assert run("encoders", "--check", "patchnet", "--table", str(file)) == 0
    assert "patchnet" in file.read_text(encoding="utf-8")
