"""What a comparison has yet to do, as tasks for worker processes. A task whose file exists is done."""

from dataclasses import dataclass
from pathlib import Path

from unmask.comparison.kept_networks import lacking, network_files
from unmask.comparison.plan import (
    TrialKey,
    all_trials,
    arms_of,
    audited_trials,
    candidates,
    count_pretrainings,
    trial_config,
    tuning_config,
)
from unmask.comparison.pretrained_runs import images_seen
from unmask.comparison.train_trial import run_trial, run_tuning_trial
from unmask.comparison.workers import Task
from unmask.config import ARMS, CompareConfig, PretrainConfig
from unmask.config.arms import Start
from unmask.data.load import Dataset
from unmask.randomness import derive_seed
from unmask.runs.comparison_records import TuningResult
from unmask.runs.layout import ENCODER_FILE, GIVEN_PRETRAININGS, NETWORKS, PRETRAININGS, TRIALS, TUNING, Files
from unmask.runs.read import read_record
from unmask.stages.pretrain import pretrain
from unmask.training.checkpoint import is_whole

_PRETRAININGS: dict[Start, Files] = {"mrp": PRETRAININGS, "given_mrp": GIVEN_PRETRAININGS}
"""The pretrainings of each start."""


@dataclass(frozen=True)
class Work:
    """The unfinished pieces of one comparison in its folder."""

    config: CompareConfig
    out: Path
    data: Dataset

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
                used = self.config.design == "crossed" or index < self.config.draws
                if used and not is_whole(folder / ENCODER_FILE):
                    tasks.append((_pretrain, (_pretraining(self.config, index, init), folder)))
        return tasks

    def tuning_trials(self) -> list[Task]:
        """Trials of the recipes among which tuned arms choose; none where there is no choice."""
        return [
            (run_tuning_trial, (tuning_config(self.config, *trial), file))
            for trial, file in self._tuning_files().items()
            if not file.exists()
        ]

    def chosen(self) -> dict[int, int]:
        """The candidate of tuned arms per budget, by mean validation accuracy; all tuning trials must be done."""
        files = self._tuning_files()
        if not files:
            return dict.fromkeys(self.config.budgets, 0)
        accuracy = {trial: read_record(TuningResult, file).val_accuracy for trial, file in files.items()}
        count, draws = len(candidates(self.config)), range(self.config.tuning_draws)

        def mean(budget: int, candidate: int) -> float:
            return sum(accuracy[budget, candidate, draw] for draw in draws) / len(draws)

        return {b: max(range(count), key=lambda c: mean(b, c)) for b in self.config.budgets}

    def trials(self, chosen: dict[int, int] | None) -> list[Task]:
        """Trials to train. `chosen` None: only those that need neither a pretraining nor a choice."""
        tasks: list[Task] = []
        networks = network_files(self.config, self.out)
        again = lacking(self.out, networks)
        for key in all_trials(self.config):
            arm = ARMS[key.arm]
            waits = arm.is_pretrained or arm.is_tuned
            done = TRIALS.path(self.out, key.name).exists() and key not in again
            if (chosen is None and waits) or done:
                continue
            one = trial_config(
                self.config,
                key,
                encoders=self.encoders,
                chosen=chosen or {},
                seen=images_seen(self.config, len(self.data.pretrain)),
                classes=len(self.data.classes),
            )
            tasks.append((run_trial, (one, key, self.out, networks.get(key))))
        return tasks

    def audited(self) -> list[dict[TrialKey, Path]]:
        """Files of the networks that the audit looks at, by label draw."""
        return [{key: NETWORKS.path(self.out, key.name) for key in draw} for draw in audited_trials(self.config)]

    def _tuning_files(self) -> dict[tuple[int, int, int], Path]:
        config, count = self.config, len(candidates(self.config))
        if not any(arm.is_tuned for arm in arms_of(config)) or count == 1:
            return {}
        return {
            (budget, candidate, draw): TUNING.path(self.out, f"b{budget}-c{candidate}-d{draw}")
            for draw in range(config.tuning_draws)
            for budget in config.budgets
            for candidate in range(count)
        }


def _pretraining(config: CompareConfig, index: int, init: str | None) -> PretrainConfig:
    return PretrainConfig(
        data=config.data,
        encoder=config.encoder,
        recipe=config.pretrain,
        init=init,
        seed=derive_seed(config.seed, "pretraining", index) % 2**31,
    )


def _pretrain(config: PretrainConfig, folder: Path, data: Dataset) -> None:
    pretrain(config, folder, resume=folder.exists(), progress=False, dataset=data)
