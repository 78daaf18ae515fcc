"""Which trained networks of a comparison are kept on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unmask.comparison.plan import TrialKey, all_trials, audited_trials
from unmask.config import CompareConfig
from unmask.config.budget import labeled_count
from unmask.config.metric import Metric
from unmask.runs.kept import best_trial
from unmask.runs.layout import NETWORKS, TRIALS
from unmask.runs.trial_records import TrialResult
from unmask.runs.trials import read_trial


@dataclass(frozen=True)
class NetworkFile:
    """Where the network of a trial is written, and the trials that it competes with for being kept."""

    path: Path
    rivals: tuple[str, ...] = ()
    """Names of trials, including this one, of which only the best one's network is kept; empty: this one is kept."""
    lasting: frozenset[str] = frozenset()
    """Those of them whose networks are always kept."""
    metric: Metric = "accuracy"
    """The metric they compete by."""


def network_files(config: CompareConfig, out: Path, sizes: Sequence[int]) -> dict[TrialKey, NetworkFile]:
    """The trials whose networks are written.

    Those that an audit needs are kept. Of the others none, all, or the best of every arm at its largest budget are
    kept; `sizes` are the labeled training images per class.
    """
    lasting = {key for draw in audited_trials(config) for key in draw} if config.audit else set()
    groups: dict[str, list[TrialKey]] = {}
    for key in all_trials(config):
        groups.setdefault(key.arm, []).append(key)
    files = {}
    for keys in groups.values():
        labels = {key: labeled_count(key.budget, sizes) for key in keys}
        most = max(labels.values())
        rivals = [key for key in keys if labels[key] == most] if config.keep == "best" else []
        names = tuple(key.name for key in rivals)
        for key in keys:
            own = names if key in rivals else ()
            if own or key in lasting or config.keep == "all":
                stay = frozenset(rival.name for rival in rivals if rival in lasting)
                files[key] = NetworkFile(NETWORKS.path(out, key.name), own, stay, config.metric)
    return files


def drop_outranked(out: Path, network: NetworkFile) -> None:
    """Delete the networks of finished rivals that are not the best. Several processes may do so at the same time."""
    finished = _finished(out, network.rivals)
    for name in finished.keys() - network.lasting - {best_trial(finished, network.metric)} if finished else ():
        NETWORKS.path(out, name).unlink(missing_ok=True)


def lacking(out: Path, files: Mapping[TrialKey, NetworkFile]) -> set[TrialKey]:
    """The finished trials whose networks should exist and do not: they are trained again."""
    best: dict[tuple[str, ...], str] = {}
    missing = set()
    for key, network in files.items():
        if network.path.exists() or not TRIALS.path(out, key.name).exists():
            continue
        if network.rivals and network.rivals not in best:
            best[network.rivals] = best_trial(_finished(out, network.rivals), network.metric)
        if not network.rivals or key.name in network.lasting or best[network.rivals] == key.name:
            missing.add(key)
    return missing


def _finished(out: Path, names: tuple[str, ...]) -> dict[str, TrialResult]:
    files = {name: TRIALS.path(out, name) for name in names}
    return {name: read_trial(file) for name, file in files.items() if file.exists()}
