"""Fine-tuning and scratch as runs with their own folders."""

from pathlib import Path
from typing import TypedDict, Unpack

from unmask.config import ClassifyConfig
from unmask.data.load import Dataset
from unmask.data.sources.torch_dataset import Given
from unmask.distributed import on_main, world_size
from unmask.errors import UserError
from unmask.runs.environment import describe_environment
from unmask.runs.files import write_json
from unmask.runs.layout import ENCODER_FILE, ENVIRONMENT_FILE, RESULT_FILE
from unmask.runs.records import ClassificationResult, DataFacts
from unmask.stages.early_checks import check_encoder, check_start
from unmask.stages.gallery import Embedded, Predictions
from unmask.stages.provenance import origin_notes
from unmask.stages.supervised import Outcome, Supervised
from unmask.stages.task_gallery import write_task_gallery
from unmask.training.open_run import BeforeWork, open_run
from unmask.training.stage import Setup
from unmask.training.step import OnStep
from unmask.weights.card import Card, save_weights


class _How(TypedDict, total=False):
    """Of a run; see `pretrain`."""

    resume: bool
    overwrite: bool
    progress: bool
    dataset: Dataset | Given | None
    on_step: OnStep | None
    before: BeforeWork[ClassifyConfig] | None


def finetune(config: ClassifyConfig, out: Path, **how: Unpack[_How]) -> Path:
    """Fine-tune `config.init` on the labeled images and return the run folder with result.json; see `pretrain`."""
    if config.init is None:
        raise UserError("init: fine-tuning starts from weights; give a run folder or a file, or use scratch")
    return _classify(config, out, **how)


def scratch(config: ClassifyConfig, out: Path, **how: Unpack[_How]) -> Path:
    """Run the same training from random weights."""
    if config.init is not None:
        raise UserError(f"init = {config.init!r}: scratch starts from random weights; use finetune")
    return _classify(config, out, **how)


def _classify(
    config: ClassifyConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | Given | None = None,
    on_step: OnStep | None = None,
    before: BeforeWork[ClassifyConfig] | None = None,
) -> Path:
    check_start(config.init)
    check_encoder(config.encoder, config.data, masked=config.hide_cells > 0, cell=config.hide_cell, execution="dense")
    setup = Setup.of_run(config, out, progress=progress, on_step=on_step)
    with open_run(config, out, dataset, labels=True, resume=resume, overwrite=overwrite, progress=progress) as opened:
        stage = Supervised(opened.config, opened.data, setup)
        origin = on_main(lambda: origin_notes(config.init, opened.data))
        resumed = opened.claim(before)
        if resumed and opened.is_finished:
            return out
        notes = [*opened.data.notes, *origin, *stage.notes, *stage.run.notes]
        opened.tell(notes)
        on_main(lambda: _describe(out, opened.data, notes))
        with stage.run.tracked(opened.config):
            outcome = stage.train(resume=resumed)
        state, card = stage.run.state_of(outcome.model), Card(config.encoder, outcome.format, outcome.task)
        on_main(lambda: save_weights(out / ENCODER_FILE, state, card))
        embedded = stage.embed(outcome.model)
        on_main(lambda: _write(out, opened.data, outcome, embedded, seed=opened.config.seed))
    return out


def _describe(out: Path, data: Dataset, notes: list[str]) -> None:
    """environment.json."""
    facts = describe_environment(
        data=DataFacts(fingerprint=data.fingerprint, classes=data.classes),
        processes=world_size(),
        notes=tuple(notes),
        bad_files=data.bad_files,
    )
    write_json(out / ENVIRONMENT_FILE, facts)


def _write(out: Path, data: Dataset, outcome: Outcome, embedded: Embedded | None, *, seed: int) -> None:
    """Write the network's gallery, and then result.json: it means "finished"."""
    for split in list(data.tests)[:1]:
        found = [("", Predictions(outcome.task.predictions(outcome.outputs[split])))]
        write_task_gallery(out, data, split, found, embed=lambda: embedded, seed=seed)
    result = ClassificationResult(
        metrics=outcome.metrics,
        seconds=outcome.seconds,
        labeled_images=outcome.labeled,
        validation_labels=len(data.val) if data.val is not None else 0,
        notes=tuple(outcome.notes),
    )
    write_json(out / RESULT_FILE, result)
