"""Fine-tuning and scratch as runs with a folder of their own."""

from pathlib import Path
from typing import Any

from unmask.config import ClassifyConfig
from unmask.data.load import Dataset, load_data
from unmask.errors import UserError
from unmask.runs import append_metrics, check_folder, claim_folder, environment, write_json
from unmask.stages.classifier import fit, prepare
from unmask.training.engine import build_engine
from unmask.training.tracking import end_tracker, require_tracker, start_tracker, track
from unmask.weights import ENCODER_FILE, card_of, save_weights


def finetune(
    config: ClassifyConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | None = None,
) -> Path:
    """Fine-tune `config.init` on the labelled images and return the run folder with result.json.

    Raises:
        UserError: bad input, before training starts; `init` is missing (see `scratch`).
    """
    if config.init is None:
        raise UserError("init: fine-tuning starts from weights; give a run folder or a file, or use scratch")
    return _classify(config, out, resume=resume, overwrite=overwrite, progress=progress, dataset=dataset)


def scratch(
    config: ClassifyConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | None = None,
) -> Path:
    """The same training from random weights."""
    if config.init is not None:
        raise UserError(f"init = {config.init!r}: scratch starts from random weights; use finetune")
    return _classify(config, out, resume=resume, overwrite=overwrite, progress=progress, dataset=dataset)


def _classify(
    config: ClassifyConfig, out: Path, *, resume: bool, overwrite: bool, progress: bool, dataset: Dataset | None
) -> Path:
    check_folder(out, config, resume=resume, overwrite=overwrite)
    require_tracker(config.tracker)
    data = dataset if dataset is not None else load_data(config.data, labels=True, progress=progress)
    prepared = prepare(config, data)
    resumed = claim_folder(out, config, resume=resume, overwrite=overwrite)
    if resumed and (out / "result.json").exists():
        return out
    facts = environment(
        seed=config.seed,
        data={"fingerprint": data.fingerprint, "classes": list(data.classes)},
        notes=list(data.notes),
        bad_files=list(data.bad_files),
    )
    write_json(out / "environment.json", facts)
    (out / "metrics.jsonl").unlink(missing_ok=True)
    outcome = fit(config, data, show=progress, prepared=prepared)
    _log(config, out, outcome.history)
    card = card_of(config.encoder, data, data.classes)
    save_weights(out / ENCODER_FILE, outcome.model, card)
    write_json(
        out / "result.json",
        {
            "metrics": outcome.metrics,
            "seconds": outcome.seconds,
            "labelled_images": outcome.labelled,
            "validation_labels": len(data.val) if data.val is not None else 0,
            "notes": outcome.notes,
        },
    )
    return out


def _log(config: ClassifyConfig, out: Path, history: list[dict[str, Any]]) -> None:
    """Every row into metrics.jsonl, and to the tracker where one is wanted. Steps go on from phase to phase."""
    engine = build_engine(config.recipe.optimiser.precision, tracker=config.tracker, folder=out)
    start_tracker(engine, out, config)
    before = config.recipe.head_steps
    for row in history:
        append_metrics(out, kind="train", **row)
        track(engine, {"kind": "train", **row, "step": row["step"] + (0 if row["phase"] == "head" else before)})
    end_tracker(engine)
