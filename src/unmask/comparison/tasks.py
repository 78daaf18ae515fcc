"""The remaining work of a comparison, as tasks for worker processes. A task whose file exists is done."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unmask.comparison.candidates import arms_of
from unmask.comparison.kept_networks import lacking, network_files
from unmask.comparison.pieces import Task
from unmask.comparison.plan import (
    Chosen,
    Materials,
    TrialKey,
    TuningKey,
    all_trials,
    audited_trials,
    count_pretrainings,
    trial_config,
    tuning_config,
)
from unmask.comparison.pretrained_runs import images_seen
from unmask.comparison.train_trial import run_trial, run_tuning_trial
from unmask.comparison.tuning import RecipeChoice, first_keys, following_keys
from unmask.config import ARMS, CompareConfig, PretrainConfig
from unmask.config.arms import Start
from unmask.config.budget import Budget, is_chosen
from unmask.data.load import Dataset
from unmask.distributed import is_main
from unmask.randomness import derive_seed
from unmask.runs.layout import (
    AUDIT_FILE,
    AUDIT_FOLDER,
    ENCODER_FILE,
    GIVEN_PRETRAININGS,
    NETWORKS,
    PRETRAININGS,
    TRIALS,
    TUNING,
    Files,
)
from unmask.runs.work import write_work
from unmask.stages.pretrain import pretrain
from unmask.training.checkpoint import is_whole
from unmask.training.step import Step

_PRETRAININGS: dict[Start, Files] = {"mrp": PRETRAININGS, "given_mrp": GIVEN_PRETRAININGS}
"""The pretrainings of each start."""


@dataclass(frozen=True)
class Work:
    """The unfinished pieces of one comparison in its folder."""

    config: CompareConfig
    out: Path
    data: Dataset
    pretrains_in_workers: bool = False
    """Whether every pretraining is a piece for a worker, however few there are."""

    @property
    def encoders(self) -> dict[Start, list[Path]]:
        """The run of every pretraining, finished or not, by the start of the arms that use it."""
        wanted = {arm.start for arm in arms_of(self.config) if arm.is_pretrained}
        count = count_pretrainings(self.config)
        runs = {start: [files.path(self.out, k) for k in range(count)] for start, files in _PRETRAININGS.items()}
        if self.config.pretrained:
            runs["mrp"] = list(self.config.pretrained)
        return {start: folders for start, folders in runs.items() if start in wanted}

    def pretrainings(self) -> list[Task]:
        """Pretrainings to run or to continue."""
        tasks: list[Task] = []
        for start, folders in self.encoders.items():
            if start == "mrp" and self.config.pretrained:
                continue
            init = self.config.given if start == "given_mrp" else None
            for index, folder in enumerate(folders):
                used = self.config.design == "crossed" or index < max(
                    self.config.planned_draws, self.config.tuning_draws
                )
                if used and not is_whole(folder / ENCODER_FILE):
                    tasks.append((run_pretraining, (_pretraining(self.config, index, init), folder)))
        return tasks

    @property
    def materials(self) -> Materials:
        """What its trainings share."""
        seen = images_seen(self.config, len(self.data.pretrain))
        return Materials(encoders=self.encoders, seen=seen, sizes=self.data.class_sizes, out=self.out)

    def tuning_trials(self, keys: Sequence[TuningKey]) -> list[Task]:
        """The tuning trials that are not done."""
        return [
            (run_tuning_trial, (tuning_config(self.config, key, self.materials), key, self.out))
            for key in keys
            if not TUNING.path(self.out, key.name).exists()
        ]

    def sure_trials(self, *, pretrained: bool) -> list[Task]:
        """Tasks that can be trained before any choice: without a pretraining, or once their own is finished."""
        keys = [k for k in first_keys(self.config) if ARMS[k.arm].is_pretrained == pretrained]
        sure = [arm.name for arm in arms_of(self.config) if arm.frozen and arm.is_pretrained == pretrained]
        return [*self.tuning_trials([k for k in keys if not is_chosen(k.budget)]), *self._trials({}, only=sure)]

    def decided_trials(self, chosen: Chosen) -> list[Task]:
        """Tuning trials of arms that start from random weights and whose recipe another arm has chosen."""
        keys = following_keys(self.config, chosen)
        return self.tuning_trials([k for k in keys if not ARMS[k.arm].is_pretrained and not is_chosen(k.budget)])

    def trials(self, recipes: Chosen) -> list[Task]:
        """Trials to train, with the recipes chosen for their arms."""
        return self._trials(recipes)

    def _trials(self, recipes: Chosen, only: Sequence[str] | None = None) -> list[Task]:
        tasks: list[Task] = []
        networks = network_files(self.config, self.out, self.data.class_sizes)
        again = lacking(self.out, networks)
        for key in all_trials(self.config):
            done = TRIALS.path(self.out, key.name).exists() and key not in again
            if done or (only is not None and (key.arm not in only or is_chosen(key.budget))):
                continue
            one = trial_config(self.config, key, recipes.get((key.budget, key.arm), 0), self.materials)
            tasks.append((run_trial, (one, key, self.out, networks.get(key))))
        return tasks

    def needs_audit(self, *, again: bool) -> bool:
        """Whether an audit is due: one is wanted, and none exists, or `again`: a trial was trained since."""
        return self.config.audit and (again or not (self.out / AUDIT_FOLDER / AUDIT_FILE).exists())

    def audited(self) -> list[dict[TrialKey, Path]]:
        """Files of the networks to audit, by label draw."""
        return [{key: NETWORKS.path(self.out, key.name) for key in draw} for draw in audited_trials(self.config)]


def _pretraining(config: CompareConfig, index: int, init: str | None) -> PretrainConfig:
    return PretrainConfig(
        data=config.data,
        encoder=config.encoder,
        recipe=config.pretrain,
        init=init,
        normalization=config.normalization,
        seed=derive_seed(config.seed, "pretraining", index) % 2**31,
    )


def newly_decided(work: Work) -> Callable[[], list[Task]]:
    """Give the `decided_trials` of the recipes chosen since the last call."""
    choice, known = RecipeChoice(work.config, work.out), dict[tuple[Budget, str], int]()

    def joining() -> list[Task]:
        new = {place: candidate for place, candidate in choice.look().items() if place not in known}
        known.update(new)
        return work.decided_trials(new)

    return joining


def run_pretraining(
    config: PretrainConfig, folder: Path, data: Dataset, *, on_step: Callable[[Step], None] | None = None
) -> None:
    """One pretraining of a comparison, or the rest of it; in one process, or in those that a launcher started."""
    began = time.monotonic()
    pretrain(config, folder, resume=True, progress=False, dataset=data, on_step=on_step)
    if is_main():
        write_work(folder.parent.parent, "pretraining", f"{folder.parent.name}-{folder.name}", began)
