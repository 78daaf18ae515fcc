"""The networks that a comparison has kept, and which of them is used if none is named."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unmask.config import ARMS, CompareConfig
from unmask.config.metric import METRIC_NAMES, SCORES, Metric
from unmask.errors import UserError
from unmask.runs.layout import NETWORKS, SUMMARY_FILE, TRIALS
from unmask.runs.read import is_run, read_config, read_record
from unmask.runs.scores import merit_of
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import TrialResult
from unmask.runs.trials import read_trials
from unmask.wording import plural


@dataclass(frozen=True)
class KeptNetwork:
    """A network of a comparison's table, as stored on disk."""

    config: CompareConfig
    trial: TrialResult
    file: Path
    why: str
    """Why this arm, for the user."""

    def __str__(self) -> str:
        one, metric = self.trial, self.config.metric
        score = SCORES[metric].text(SCORES[metric].change(validation_merit(one, metric)))
        return (
            f"network of arm {one.arm} ({ARMS[one.arm].meaning}), trained on {plural(one.labeled_images, 'label')} "
            f"(draw {one.draw + 1}), {METRIC_NAMES[metric]} on validation images {score}; {self.why}"
        )


def is_comparison(folder: Path) -> bool:
    """Whether a folder is that of a comparison."""
    return is_run(folder) and isinstance(read_config(folder), CompareConfig)


def validation_merit(trial: TrialResult, metric: Metric) -> float:
    """The score by which networks are chosen: the comparison's metric on validation images, more being better."""
    return merit_of(trial.metrics["val"], metric)


def best_trial(trials: Mapping[str, TrialResult], metric: Metric) -> str:
    """Name of the best trial on validation images; the first by name among equals."""
    return min(trials, key=lambda name: (-validation_merit(trials[name], metric), name))


def choose_network(folder: Path, arm: str | None = None) -> KeptNetwork:
    """Return the network of a finished comparison to use: the best one kept of an arm.

    Without `arm` it is the arm that the summary recommends at the primary budget; if it recommends none that was
    kept, the arm with the best mean validation score at its largest budget.

    Raises:
        UserError: the comparison is not finished, has kept no network, or none of this arm.
    """
    config = read_config(folder)
    assert isinstance(config, CompareConfig)
    if not (folder / SUMMARY_FILE).exists():
        raise UserError(f"{folder}: is a comparison that is not finished; continue it with `resume=True`")
    trials = read_trials(folder)
    for name in (name for name, one in trials.items() if "val" not in one.metrics):
        raise UserError(f"{TRIALS.path(folder, name)}: metrics: has no scores on validation images (val)")
    found: dict[str, str] = {}
    arms = config.arms or tuple(name for name in ARMS if any(one.arm == name for one in trials.values()))
    for name in (name for name in arms if arm in (None, name)):
        kept = {key: one for key, one in trials.items() if one.arm == name and NETWORKS.path(folder, key).exists()}
        if kept:
            most = max(one.labeled_images for one in kept.values())
            found[name] = best_trial({k: one for k, one in kept.items() if one.labeled_images == most}, config.metric)
    if not found:
        whose = "no network" if arm is None else f"no network of arm {arm}"
        fix = 'compare with `resume=True` and `keep="best"` trains again what is missing'
        hint = f"; its arms are {', '.join(arms)}" if arm is not None and arm not in arms else f"; {fix}"
        raise UserError(f"{folder}: this comparison has kept {whose}{hint}")
    if arm is None:
        arm, why = _recommended(folder, found), "the arm that the comparison recommends"
        if arm is None:
            arm = max(found, key=lambda name: _mean_merit(trials, name, config.metric))
            why = "the arm with the best mean there"
        others = ", ".join(name for name in found if name != arm)
        why += f"; `arm` picks another: {others}" if others else ""
    else:
        why = "the requested arm"
    return KeptNetwork(config, trials[found[arm]], NETWORKS.path(folder, found[arm]), why)


def _recommended(folder: Path, found: Collection[str]) -> str | None:
    """The arm that the summary recommends at the primary budget, if its network was kept."""
    summary = read_record(Summary, folder / SUMMARY_FILE)
    for one in summary.recommendations:
        arm = one.against if one.verdict == "loss" else one.arm
        if one.budget == summary.settings.primary_budget and arm in found:
            return arm
    return None


def _mean_merit(trials: Mapping[str, TrialResult], arm: str, metric: Metric) -> float:
    """Mean validation score of an arm over its trials at its largest budget."""
    own = [one for one in trials.values() if one.arm == arm]
    most = max(one.labeled_images for one in own)
    return float(np.mean([validation_merit(one, metric) for one in own if one.labeled_images == most]))
