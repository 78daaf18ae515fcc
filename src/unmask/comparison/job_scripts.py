"""Workers as jobs of SLURM, PBS, LSF or SGE: settings for dask-jobqueue, and the script that it submits."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unmask.comparison.dask_workers import DaskWorkers, open_dask
from unmask.config.cluster import DIRECTIVES, ClusterConfig
from unmask.errors import UserError

_CLUSTERS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}
_GPU = {"slurm": "--gres=gpu:", "lsf": "-gpu num=", "sge": "-l gpu="}
"""The directive that requests GPUs, before their number; PBS has it in its line of resources."""
_GRACE = 120
"""Seconds before the end of a job's time, or a fifth of that time, at which its workers shut down: enough for a step
and a save."""
_COMING = 300
"""Seconds within which a worker must join: importing torch from a busy file system takes long, and a job that gives up
is not replaced."""
_SETUP = ("export OMP_NUM_THREADS=1", "export DASK_DISTRIBUTED__WORKER__DAEMON=False", "trap : TERM")
"""One thread per worker; workers may start processes that decode images; the shell survives SIGTERM, or the scheduler
would kill the workers while they save."""


def job_script(config: ClusterConfig, gpus: int = 1) -> str:
    """The script of a job as submitted, except for the scheduler's address and the worker's name.

    Args:
        config: the requested resources.
        gpus: GPUs per job, if it has any.
    """
    jobs = _cluster_class(config).job_cls
    return str(jobs(scheduler="tcp://SCHEDULER:PORT", name="WORKER", **job_options(config, gpus)).job_script())


def job_options(config: ClusterConfig, gpus: int) -> dict[str, Any]:
    """The settings of a job for dask-jobqueue."""
    begin = DIRECTIVES[config.on]
    lines = [line.removeprefix(begin).strip() for line in config.job_lines]
    processes = 1 if config.job_gpu else config.job_cores
    lifetime = config.seconds - min(_GRACE, config.seconds // 5)
    options = {
        "cores": config.job_cores,
        "processes": processes,
        "memory": config.job_memory,
        "walltime": config.walltime if config.on != "lsf" else config.walltime.rpartition(":")[0],
        "queue": config.partition,
        "account" if config.on in ("slurm", "pbs") else "project": config.account,
        "job_extra_directives": [
            *([f"{_GPU[config.on]}{gpus}"] if config.job_gpu and config.on in _GPU else []),
            *lines,
        ],
        "job_script_prologue": [*_SETUP, *config.job_setup],
        "death_timeout": _COMING,
        "worker_extra_args": ["--nthreads", "1", "--lifetime", f"{lifetime}s"],
        "job_name": "unmask",
    }
    if config.job_gpu and config.on == "pbs":
        memory = config.job_memory.replace(" ", "").replace("i", "").lower()
        options["resource_spec"] = f"select=1:ncpus={config.job_cores}:ngpus={gpus}:mem={memory}"
    return options


@contextmanager
def open_jobs(
    config: ClusterConfig, out: Path | None, pretrain_processes: int = 1, needed: Sequence[Path] = ()
) -> Iterator[DaskWorkers]:
    """Workers started by jobs, while the body runs. A job that ends is replaced.

    Jobs with GPUs have one per process of a pretraining. Every worker must see the `needed` paths.

    Raises:
        UserError: dask-jobqueue or the scheduler's commands are not installed, or the scheduler refuses the job.
    """
    jobs = _cluster_class(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a busy dashboard port does not matter
        cluster = jobs(scheduler_options={"dashboard_address": ":0"}, **job_options(config, pretrain_processes))
    try:
        _submit(cluster, config)
        cluster.adapt(minimum_jobs=config.cluster_jobs, maximum_jobs=config.cluster_jobs)
        with open_dask(cluster.scheduler_address, out, config.workers, pretrain_processes, needed) as workers:
            yield workers
    finally:
        cluster.close()


def _submit(cluster: Any, config: ClusterConfig) -> None:
    """Submit the first jobs, and raise the scheduler's error immediately if it refuses them."""

    async def submitted() -> None:
        cluster.scale(jobs=config.cluster_jobs)
        await cluster  # `scale` alone would leave submission to a task whose result nobody reads

    try:
        cluster.sync(submitted)
    except (RuntimeError, OSError, ValueError) as error:
        for job in cluster.workers.values():
            if job.status.name == "created":  # or the cluster, which waits for it, could not be closed
                job.status = type(job.status).failed
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        after = said[said.index("stderr:") + 1 :] if "stderr:" in said else said
        line = " ".join(after) or "no reason given"
        raise UserError(f"on = {config.on}: the job was not accepted ({line}); `dry_run` prints its script") from None


def _cluster_class(config: ClusterConfig) -> Any:
    try:
        import dask_jobqueue
    except ImportError:
        raise UserError(f"on = {config.on}: dask-jobqueue is not installed: pip install 'unmask[cluster]'") from None
    return getattr(dask_jobqueue, _CLUSTERS[config.on])
