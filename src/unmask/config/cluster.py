"""Where the pieces of work of a command run: trainings, networks that are checked, points of a grid."""

import re
from dataclasses import dataclass

from unmask.config.validation import require, require_at_least

LOCAL, DASK = "local", "dask:"
DIRECTIVES = {"slurm": "#SBATCH", "pbs": "#PBS", "lsf": "#BSUB", "sge": "#$"}
"""Schedulers that jobs are submitted to, with the prefix of directive lines in their scripts."""


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """The workers, and what they request from a scheduler. Results do not depend on it."""

    on: str = LOCAL
    """Where the work runs. local: on this machine. dask:tcp://HOST:8786: on the workers of a running Dask scheduler.
    slurm, pbs, lsf, sge: in jobs of that scheduler, submitted from here. All but local need the extra `cluster`.
    An --out that every machine sees at the same path is best; audit and networks need one."""
    cluster_jobs: int = 4
    """Number of jobs at a time."""
    partition: str | None = None
    """Partition or queue of the jobs. Default: the scheduler's."""
    account: str | None = None
    """Account or project of the jobs. Default: the scheduler's."""
    walltime: str = "04:00:00"
    """Time limit of a job, hours:minutes:seconds. A job that ends is replaced, and its unfinished work resumes
    elsewhere."""
    job_cores: int = 4
    """Cores per job: each is a worker that does one piece at a time; with a GPU they all belong to one worker."""
    job_memory: str = "8GiB"
    """Memory per job."""
    job_gpu: bool = False
    """Request one GPU per job, which is then one worker."""
    job_lines: tuple[str, ...] = ()
    """Further directives as they appear in the scheduler's scripts: "#SBATCH --constraint=a100"."""
    job_setup: tuple[str, ...] = ()
    """Shell lines to run before the worker starts: "module load cuda"."""

    def __post_init__(self) -> None:
        known = self.on == LOCAL or self.on in DIRECTIVES or self.on.startswith(DASK)
        require(known, "on", self.on, f"{LOCAL}, {DASK}tcp://HOST:8786, {', '.join(DIRECTIVES)}")
        require_at_least("cluster_jobs", self.cluster_jobs, 1)
        require_at_least("job_cores", self.job_cores, 1)
        require(self.seconds > 0, "walltime", self.walltime, "a time such as 04:00:00")
        memory = re.fullmatch(r"[1-9]\d*(\.\d+)?\s?[KMGT]i?B", self.job_memory)
        require(memory is not None, "job_memory", self.job_memory, "an amount such as 8GiB")
        for line in self.job_lines if self.on in DIRECTIVES else ():
            begin = f"{DIRECTIVES[self.on]} "
            require(line.startswith(begin), "job_lines", line, f"lines that begin with {begin!r}")

    @property
    def seconds(self) -> int:
        """`walltime` in seconds; 0 if it is not a time."""
        found = re.fullmatch(r"(\d+):([0-5]\d):([0-5]\d)", self.walltime)
        hours, minutes, seconds = (0, 0, 0) if found is None else map(int, found.groups())
        return 3600 * hours + 60 * minutes + seconds

    @property
    def submits(self) -> bool:
        """Whether jobs are submitted to a scheduler."""
        return self.on in DIRECTIVES

    @property
    def workers(self) -> int:
        """Workers of all jobs."""
        return self.cluster_jobs * (1 if self.job_gpu else self.job_cores)
