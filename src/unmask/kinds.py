"""The kinds of runs: which one a configuration is of, and which files it writes."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

PRETRAINING, FINETUNING, SCRATCH, COMPARISON = "pretraining", "fine-tuning", "training from scratch", "comparison"
_TRAINING = (
    *("config.json", "environment.json", "metrics.jsonl", "encoder.safetensors", "report.html"),
    *("checkpoints/step_*.safetensors", "trackers/*"),
)
_PRETRAINING = (*_TRAINING, "pictures/step_*.png")
_CLASSIFICATION = (*_TRAINING, "result.json")
_WRITTEN = {
    PRETRAINING: _PRETRAINING,
    FINETUNING: _CLASSIFICATION,
    SCRATCH: _CLASSIFICATION,
    COMPARISON: (
        *("config.json", "environment.json", "summary.json", "wall.json", "report.html"),
        *("cells/*.json", "cells/*.safetensors", "networks/*.safetensors", "tuning/*.json"),
        *("audit/audit.*", "audit/pictures/*"),
        *(f"{name}/seed_*/{file}" for name in ("pretrain", "pretrain_given") for file in _PRETRAINING),
    ),
}
_CUT_OFF = re.compile(r"\..*\.tmp")


def kind_of_run(config: Any) -> str | None:
    """The kind of run that a configuration, as plain JSON values, is of; None where it is not one of this package."""
    if not isinstance(config, Mapping) or not {"data", "encoder", "seed"} <= set(config):
        return None
    if "subset_seed" in config:
        return SCRATCH if config.get("init") is None else FINETUNING
    return COMPARISON if "arms" in config else PRETRAINING


def is_cut_off(path: Path) -> bool:
    """Whether a kill in the middle of `atomic_path` left this half file."""
    return _CUT_OFF.fullmatch(path.name) is not None


def foreign(folder: Path, kind: str) -> list[str]:
    """What lies in a folder though no run of this kind writes it, relative to it: files, or whole folders."""
    known = {pattern.partition("/")[0] for pattern in _WRITTEN[kind]}
    found = (path.relative_to(folder) for path in _files(folder) if not is_cut_off(path))
    strange = [path for path in found if not any(fnmatchcase(path.as_posix(), name) for name in _WRITTEN[kind])]
    return sorted({str(path) if path.parts[0] in known else path.parts[0] for path in strange})


def _files(folder: Path) -> Iterator[Path]:
    """Everything below that is no folder; a link is not followed."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path
