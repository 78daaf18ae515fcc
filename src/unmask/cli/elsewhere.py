"""What commands share that send pieces of work to workers elsewhere."""

from unmask.config.cluster import ClusterConfig


def print_job_script(cluster: ClusterConfig, gpus: int = 1) -> int:
    """Print the job script that would be submitted, with this many GPUs if any; returns the exit code."""
    from unmask.comparison.job_scripts import job_script

    print(job_script(cluster, gpus), end="")
    return 0
