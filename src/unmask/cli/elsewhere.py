"""What the commands share that send pieces of work to workers elsewhere."""

from unmask.config.cluster import ClusterConfig


def print_job_script(cluster: ClusterConfig) -> int:
    """Print the script of a job that would be submitted; returns the exit code."""
    from unmask.comparison.job_scripts import job_script

    print(job_script(cluster), end="")
    return 0
