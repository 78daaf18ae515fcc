"""Fine-tuning and scratch as runs with a folder of their own."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from unmask.config import ClassifyConfig
from unmask.data.given import Given
from unmask.data.load import Dataset, load_data, name_given
from unmask.distributed import fail_together, on_main, require_alike, world_size
from unmask.errors import UserError
from unmask.runs.environment import describe_environment
from unmask.runs.files import write_json
from unmask.runs.folder import check_folder, claim_folder, require_same_data
from unmask.runs.layout import ENCODER_FILE, ENVIRONMENT_FILE, RESULT_FILE
from unmask.runs.records import ClassificationResult, DataFacts
from unmask.stages.classifier import Outcome, fit, prepare
from unmask.stages.origin import origin_notes
from unmask.training.engine import build_engine, effective_lr
from unmask.training.launch import peers_may_end
from unmask.training.loop import OnStep
from unmask.training.optimiser import plan_steps
from unmask.training.sharding import gathered_by_main, note_of, wants_sharding
from unmask.training.tracking import end_tracker, start_tracker
from unmask.weights import card_of, save_weights


def finetune(
    config: ClassifyConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | Given | None = None,
    on_step: OnStep | None = None,
) -> Path:
    """Fine-tune `config.init` on the labelled images and return the run folder with result.json.

    `dataset` is taken in place of what `config.data` names, `on_step` is called after each step; see `pretrain`.

    Raises:
        UserError: bad input, before training starts; `init` is missing (see `scratch`).
    """
    if config.init is None:
        raise UserError("init: fine-tuning starts from weights; give a run folder or a file, or use scratch")
    return _classify(
        config, out, resume=resume, overwrite=overwrite, progress=progress, dataset=dataset, on_step=on_step
    )


def scratch(
    config: ClassifyConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | Given | None = None,
    on_step: OnStep | None = None,
) -> Path:
    """The same training from random weights."""
    if config.init is not None:
        raise UserError(f"init = {config.init!r}: scratch starts from random weights; use finetune")
    return _classify(
        config, out, resume=resume, overwrite=overwrite, progress=progress, dataset=dataset, on_step=on_step
    )


def _classify(
    config: ClassifyConfig,
    out: Path,
    *,
    resume: bool,
    overwrite: bool,
    progress: bool,
    dataset: Dataset | Given | None,
    on_step: OnStep | None,
) -> Path:
    config = replace(config, data=name_given(config.data, dataset))
    engine = build_engine(config.recipe.optimiser.precision, tracker=config.tracker, folder=out, several=True)
    with peers_may_end():
        on_main(lambda: check_folder(out, config, resume=resume, overwrite=overwrite))
        show = progress and engine.is_main_process
        with fail_together():
            sharded = wants_sharding(config.shard, config.recipe.optimiser.precision)
            data = load_data(config.data, labels=True, progress=show, given=dataset)
            prepared = prepare(config, data)
            size = plan_steps(config.recipe.optimiser, len(prepared[2]), engine.num_processes)[2]
        require_alike(f"data: what {config.data.data} holds", data.fingerprint)
        rate = effective_lr(config.recipe.optimiser, batch=size, processes=engine.num_processes)
        notes = [*data.notes, *on_main(lambda: origin_notes(config.init, data)), rate]
        notes += [note_of(engine)] if sharded else []
        for note in notes if show else ():
            tqdm.write(f"note: {note}", file=sys.stderr)
        resumed = on_main(lambda: _claim(config, out, data, notes, resume=resume, overwrite=overwrite))
        if resumed and on_main(lambda: (out / RESULT_FILE).exists()):
            return out
        start_tracker(engine, out, config)
        try:
            trained = fit(
                config,
                data,
                show=show,
                prepared=prepared,
                engine=engine,
                folder=out,
                resume=resumed,
                sharded=sharded,
                on_step=on_step,
            )
        finally:
            end_tracker(engine)
        state = gathered_by_main(engine, trained.model.state_dict().items())
        on_main(lambda: _write(config, out, data, trained, state))
    return out


def _claim(
    config: ClassifyConfig, out: Path, data: Dataset, notes: list[str], *, resume: bool, overwrite: bool
) -> bool:
    """Make the folder ready and write environment.json; whether an earlier run of the same data is continued."""
    resumed = claim_folder(out, config, resume=resume, overwrite=overwrite)
    if resumed:
        require_same_data(out, data.fingerprint)
        if (out / RESULT_FILE).exists():
            return True
    facts = describe_environment(
        data=DataFacts(fingerprint=data.fingerprint, classes=data.classes),
        processes=world_size(),
        notes=tuple(notes),
        bad_files=data.bad_files,
    )
    write_json(out / ENVIRONMENT_FILE, facts)
    return resumed


def _write(config: ClassifyConfig, out: Path, data: Dataset, outcome: Outcome, state: Mapping[str, Tensor]) -> None:
    """The weights, and then result.json: it means "finished"."""
    save_weights(out / ENCODER_FILE, state, card_of(config.encoder, data, data.classes))
    result = ClassificationResult(
        metrics=outcome.metrics,
        seconds=outcome.seconds,
        labelled_images=outcome.labelled,
        validation_labels=len(data.val) if data.val is not None else 0,
        notes=tuple(outcome.notes),
    )
    write_json(out / RESULT_FILE, result)
