"""Jobs of SLURM and others: their scripts, and a comparison on jobs of a scheduler that is played by this machine."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tiny
from unmask.cli.main import parse
from unmask.comparison.job_scripts import job_script, open_jobs
from unmask.config.cluster import ClusterConfig
from unmask.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask's own about ports, and sockets that it closes late

SLURM = ClusterConfig(
    on="slurm",
    partition="gpu",
    account="lab",
    walltime="02:00:00",
    job_gpu=True,
    job_lines=("#SBATCH --constraint=a100",),
    job_setup=("module load cuda",),
)
GOLDEN = Path(__file__).with_name("job.slurm")


def _script(config: ClusterConfig) -> str:
    return job_script(config).replace(sys.executable, "python").rstrip() + "\n"


def test_the_script_of_slurm() -> None:
    """Every line, as it was looked at once; the command line prints the same."""
    assert _script(SLURM) == GOLDEN.read_text()


def test_the_command_line_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    """--dry-run needs neither scheduler nor data; lines for the scheduler stand as in a script."""
    words = [
        "compare",
        "--on",
        "slurm",
        "--partition",
        "gpu",
        "--account",
        "lab",
        "--walltime",
        "02:00:00",
        "--job-gpu",
        "--dry-run",
    ]
    more = ["--job-lines", "#SBATCH --constraint=a100", "--job-setup", "module load cuda"]
    assert parse([*words, *more]).run() == 0
    assert capsys.readouterr().out.replace(sys.executable, "python").rstrip() + "\n" == GOLDEN.read_text()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("slurm", ["#SBATCH -p short", "#SBATCH -A lab", "#SBATCH -t 01:30:00", "#SBATCH --cpus-per-task=4"]),
        ("pbs", ["#PBS -q short", "#PBS -A lab", "#PBS -l walltime=01:30:00"]),
        ("lsf", ["#BSUB -q short", '#BSUB -P "lab"', "#BSUB -W 01:30", "#BSUB -n 4"]),
        ("sge", ["#$ -q short", "#$ -P lab", "#$ -l h_rt=01:30:00"]),
    ],
)
def test_every_scheduler_gets_what_was_asked_for(name: str, lines: list[str]) -> None:
    """Partition, account, time and cores in its own words; four workers of one thread without a GPU, one with it."""
    config = ClusterConfig(on=name, partition="short", account="lab", walltime="01:30:00")
    script = _script(config)
    assert set(lines) <= set(script.splitlines())
    assert "--nworkers 4" in script
    assert "--lifetime 5280s" in script
    assert "--lifetime 144s" in _script(replace(config, walltime="00:03:00"))
    with_gpu = _script(replace(config, job_gpu=True))
    assert "--nworkers" not in with_gpu
    assert "gpu" in with_gpu
    assert with_gpu.rstrip().splitlines()[-1].count("--nthreads 1") == 1
    assert with_gpu.index("--nthreads 1") > with_gpu.index("--nthreads 4")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"on": "slrum"}, r"on = 'slrum' is out of range: expected local, dask:tcp"),
        ({"walltime": "4h"}, r"walltime = '4h'"),
        ({"job_memory": "much"}, r"job_memory = 'much'"),
        ({"on": "slurm", "job_lines": ("--gres=gpu:1",)}, r"job_lines = '--gres=gpu:1'.*begin with '#SBATCH '"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], said: str) -> None:
    """One line that names the field and what is allowed."""
    with pytest.raises(UserError, match=said):
        ClusterConfig(**fields)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--partition", "gpu"], r"partition.*has no effect: no jobs are submitted \(`on` is local\)"),
        (["--dry-run"], r"dry_run.*has no effect: no jobs are submitted"),
        (["--on", "slurm", "--jobs", "4"], r"jobs=4.*has no effect"),
    ],
)
def test_flags_without_effect(words: list[str], said: str) -> None:
    """Those of jobs where none are submitted, and the number of local processes where there are none."""
    with pytest.raises(UserError, match=said):
        parse(["compare", *words])


def _commands(folder: Path, sbatch: str) -> str:
    """A folder with commands that play a scheduler, as PATH."""
    folder.mkdir()
    for name, text in (("sbatch", sbatch), ("scancel", 'kill -- -"$1"')):
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


REFUSING = "echo 'sbatch: error: invalid partition specified: no-such' >&2; exit 1"
RUNNING = 'cd "$(dirname "$0")"; cp "$1" job; setsid bash job >log 2>&1 & echo Submitted batch job $!'


def test_a_partition_that_there_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scheduler says, in one line."""
    monkeypatch.setenv("PATH", _commands(tmp_path / "bin", REFUSING))
    with (
        pytest.raises(UserError, match=r"on = slurm: .* not accepted \(.*invalid partition specified: no-such"),
        open_jobs(ClusterConfig(on="slurm", partition="no-such"), tmp_path),
    ):
        pass


def test_no_scheduler_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command is named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"not accepted \(.*sbatch"), open_jobs(ClusterConfig(on="slurm"), tmp_path):
        pass


def _write(file: Path, data: Any) -> None:
    file.write_text(str(os.getpid()))


@pytest.mark.slow
def test_jobs_do_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script that is submitted starts a worker that finds the scheduler and does the pieces."""
    monkeypatch.setenv("PATH", _commands(tmp_path / "bin", RUNNING))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    config = ClusterConfig(on="slurm", cluster_jobs=1, job_cores=1, job_memory="2GiB")
    data = tiny.load_data(tiny.DATA, labels=True, progress=False)
    with open_jobs(config, tmp_path) as place:
        assert place.jobs == 1
        files = [tmp_path / str(i) for i in range(2)]
        assert sorted(place.run([(_write, (file,)) for file in files], data)) == [(0, None), (1, None)]
    assert str(os.getpid()) not in {file.read_text() for file in files}
