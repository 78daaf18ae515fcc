"""What a comparison has yet to do, as tasks for worker processes. A task whose file exists is done."""

from dataclasses import dataclass
from pathlib import Path

from unmask.comparison.cells import run_cell, run_trial
from unmask.comparison.origins import images_seen
from unmask.comparison.plan import (
    PRETRAINED_ARMS,
    CellKey,
    all_cells,
    audited_cells,
    candidates,
    cell_config,
    pretrainings,
    tuning_config,
)
from unmask.comparison.workers import Task
from unmask.config import ClassifyConfig, CompareConfig, PretrainConfig
from unmask.data.load import Dataset
from unmask.randomness import derive_seed
from unmask.runs.files import read_json
from unmask.runs.layout import ENCODER_FILE
from unmask.stages.pretrain import pretrain

_TUNED = ("scratch_best", "scratch_compute")


@dataclass(frozen=True)
class Work:
    """The unfinished pieces of one comparison in its folder."""

    config: CompareConfig
    out: Path
    data: Dataset
    cell: int | None
    """Side of a mask cell, for scratch_masked."""

    @property
    def encoders(self) -> dict[str, list[Path]]:
        """Runs of every pretraining by arm family, "mrp" and "given_mrp", finished or not."""
        config, families = self.config, {}
        if {"mrp", "probe_mrp"} & set(config.arms):
            families["mrp"] = list(config.pretrained) or self._folders("pretrain")
        if "given_mrp" in config.arms:
            families["given_mrp"] = self._folders("pretrain_given")
        return families

    def pretrainings(self) -> list[Task]:
        """Pretrainings to run or to continue."""
        config, tasks = self.config, []
        for family, folders in self.encoders.items():
            if family == "mrp" and config.pretrained:
                continue
            init = config.given if family == "given_mrp" else None
            for index, folder in enumerate(folders):
                if not (folder / ENCODER_FILE).exists():
                    tasks.append((_pretrain, (_pretraining(config, index, init), folder)))
        return tasks

    def trials(self) -> list[Task]:
        """Trials of the recipes among which scratch_best chooses; none where there is no choice."""
        return [
            (_trial, (tuning_config(self.config, *trial), file))
            for trial, file in self._trial_files().items()
            if not file.exists()
        ]

    def chosen(self) -> dict[int, int]:
        """The candidate of scratch_best per budget, by mean validation accuracy over the trials; all must be done."""
        files = self._trial_files()
        if not files:
            return dict.fromkeys(self.config.budgets, 0)
        accuracy = {trial: float(read_json(file)["val_accuracy"]) for trial, file in files.items()}
        count, draws = len(candidates(self.config)), range(self.config.tuning_seeds)

        def mean(budget: int, candidate: int) -> float:
            return sum(accuracy[budget, candidate, draw] for draw in draws) / len(draws)

        return {b: max(range(count), key=lambda c: mean(b, c)) for b in self.config.budgets}

    def cells(self, chosen: dict[int, int] | None) -> list[Task]:
        """Cells to train. `chosen` None: only those that need neither a pretraining nor a choice."""
        tasks: list[Task] = []
        networks = {key: file for draw in self.networks() for key, file in draw.items()}
        for key in all_cells(self.config):
            network = networks.get(key)
            waits = key.arm in PRETRAINED_ARMS or key.arm in _TUNED
            done = (self.out / "cells" / f"{key.name}.json").exists() and (network is None or network.exists())
            if (chosen is None and waits) or done:
                continue
            one = cell_config(
                self.config,
                key,
                encoders=self.encoders,
                chosen=chosen or {},
                seen=images_seen(self.config, len(self.data.pretrain)),
                classes=len(self.data.classes),
                cell=self.cell,
            )
            tasks.append((_cell, (one, key, self.out / "cells", network)))
        return tasks

    def networks(self) -> list[dict[CellKey, Path]]:
        """Files of the networks that are kept for the audit, by label draw; empty without one."""
        if not self.config.audit:
            return []
        return [
            {key: self.out / "networks" / f"{key.name}.safetensors" for key in draw}
            for draw in audited_cells(self.config)
        ]

    def _folders(self, name: str) -> list[Path]:
        return [self.out / name / f"seed_{k}" for k in range(pretrainings(self.config))]

    def _trial_files(self) -> dict[tuple[int, int, int], Path]:
        config, count = self.config, len(candidates(self.config))
        if not set(_TUNED) & set(config.arms) or count == 1:
            return {}
        return {
            (budget, candidate, draw): self.out / "tuning" / f"b{budget}-c{candidate}-d{draw}.json"
            for draw in range(config.tuning_seeds)
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


def _cell(config: ClassifyConfig, key: CellKey, folder: Path, network: Path | None, data: Dataset) -> None:
    run_cell(config, data, key, folder, network)


def _trial(config: ClassifyConfig, file: Path, data: Dataset) -> None:
    run_trial(config, data, file)
