"""The kinds of runs and the files that each writes. Writers, readers and `--overwrite` take all names from here."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from unmask.config import AuditRun, ClassifyConfig, CompareConfig, PretrainConfig

CONFIG_FILE = "config.json"
"""Format, kind and the whole configuration."""
ENVIRONMENT_FILE = "environment.json"
"""Versions, hardware, git state, fingerprint of the data, notes."""
METRICS_FILE = "metrics.jsonl"
"""One JSON object per line, appended while training lasts."""
ENCODER_FILE = "encoder.safetensors"
"""The trained network as a plain state_dict with its card."""
RESULT_FILE = "result.json"
"""Scores of a classifier. Written last: it means "finished"."""
SUMMARY_FILE, WALL_FILE, LOOKS_FILE = "summary.json", "wall.json", "looks.json"
WEIGHTS_FILE = "weights.json"
"""Which weights a comparison was given."""
REPORT_FILE = "report.html"
AUDIT_FILE, AUDIT_PAGE, AUDIT_PICTURES = "audit.json", "audit.html", "pictures"
AUDIT_FOLDER = "audit"
"""The audit inside a comparison."""
TRACKERS = "trackers"
"""What trackers write to disk, e.g. for `tensorboard --logdir RUN/trackers`."""


@dataclass(frozen=True)
class Files:
    """Files of one form in a run folder; their names differ at the star of the pattern."""

    pattern: str

    def path(self, run: Path, name: str | int) -> Path:
        """The file of this name in a run; a number gets at least 8 digits if the pattern counts steps."""
        text = f"{name:08d}" if isinstance(name, int) and "step_" in self.pattern else str(name)
        return run / self.pattern.replace("*", text)

    @property
    def folder(self) -> str:
        """The part of the pattern above the files."""
        return self.pattern.rpartition("/")[0]

    def found(self, run: Path) -> list[Path]:
        """The existing files, by name."""
        return sorted(run.glob(self.pattern))


GALLERY_FILE = "gallery.json"
"""What a classifier gets wrong, and how images relate in its features."""

CHECKPOINTS = Files("checkpoints/step_*.safetensors")
PICTURES = Files("pictures/step_*.png")
PRETRAININGS, GIVEN_PRETRAININGS = Files("pretrain/seed_*"), Files("pretrain_given/seed_*")
"""Runs inside a comparison: from random weights, and continued from given ones."""
TRIALS, OUTPUTS = Files("trials/*.json"), Files("trials/*.safetensors")
NETWORKS = Files("networks/*.safetensors")
JUDGED = ".judged"
"""Suffix of a split's name in the outputs' file, for what scores per image are computed from."""
CHOSEN = Files("chosen/*.json")
"""The images that a pretrained encoder chooses from the pool of a label draw."""
TUNING, TUNING_OUTPUTS = Files("tuning/*.json"), Files("tuning/*.safetensors")
WORK = Files("work/*.json")
"""Where and when each training of a comparison was done."""
SHEETS = Files("gallery/*.jpg")
"""The pictures of a gallery."""


Config = PretrainConfig | ClassifyConfig | CompareConfig | AuditRun


@dataclass(frozen=True)
class RunKind:
    """A kind of run, by its name in config.json, and what it writes as patterns relative to its folder."""

    name: str
    config: type[Config]
    files: tuple[str, ...]
    """Written by every finished run."""
    optional: tuple[str, ...] = ()
    """Written by some: on demand, or while the run is in progress."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """Everything that a run of this kind may write."""
        return self.files + self.optional


_TRAINING = (CONFIG_FILE, ENVIRONMENT_FILE, METRICS_FILE, ENCODER_FILE, CHECKPOINTS.pattern)
_ON_DEMAND = (REPORT_FILE, f"{TRACKERS}/*")
PRETRAINING = RunKind("pretraining", PretrainConfig, _TRAINING, (PICTURES.pattern, *_ON_DEMAND))
_SHOWN = (GALLERY_FILE, SHEETS.pattern)
FINETUNING = RunKind("fine-tuning", ClassifyConfig, (*_TRAINING, RESULT_FILE), (*_SHOWN, *_ON_DEMAND))
SCRATCH = RunKind("training from scratch", ClassifyConfig, FINETUNING.files, FINETUNING.optional)
AUDIT = RunKind("audit", AuditRun, (CONFIG_FILE, ENVIRONMENT_FILE, AUDIT_FILE, AUDIT_PAGE), (f"{AUDIT_PICTURES}/*",))
COMPARISON = RunKind(
    "comparison",
    CompareConfig,
    (
        *(CONFIG_FILE, ENVIRONMENT_FILE, SUMMARY_FILE, WALL_FILE, REPORT_FILE),
        *(TRIALS.pattern, OUTPUTS.pattern, WORK.pattern),
    ),
    (
        *(NETWORKS.pattern, WEIGHTS_FILE, LOOKS_FILE, CHOSEN.pattern, TUNING.pattern, TUNING_OUTPUTS.pattern, *_SHOWN),
        *(f"{AUDIT_FOLDER}/{file}" for file in AUDIT.patterns),
        *(f"{runs.pattern}/{file}" for runs in (PRETRAININGS, GIVEN_PRETRAININGS) for file in PRETRAINING.patterns),
    ),
)
KINDS = {kind.name: kind for kind in (PRETRAINING, FINETUNING, SCRATCH, COMPARISON, AUDIT)}

_CUT_OFF = re.compile(r"\..*\.tmp")


def kind_of_config(config: Config) -> RunKind:
    """The kind of run that a configuration starts."""
    if isinstance(config, ClassifyConfig):
        return SCRATCH if config.init is None else FINETUNING
    return next(kind for kind in KINDS.values() if kind.config is type(config))


def is_cut_off(path: Path) -> bool:
    """Whether this is a partial file that a kill in the middle of `atomic_path` left."""
    return _CUT_OFF.fullmatch(path.name) is not None


def foreign_files(folder: Path, kind: RunKind) -> list[str]:
    """Contents of a folder that no run of this kind writes, relative to it: files, or whole folders."""
    known = {pattern.partition("/")[0] for pattern in kind.patterns}
    found = (path.relative_to(folder) for path in _files(folder) if not is_cut_off(path))
    strange = [path for path in found if not any(fnmatchcase(path.as_posix(), name) for name in kind.patterns)]
    return sorted({str(path) if path.parts[0] in known else path.parts[0] for path in strange})


def _files(folder: Path) -> Iterator[Path]:
    """Everything below that is not a folder; a link is not followed."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """A name for each path: the fewest last parts that no other path ends with. All parts if a path is given twice."""
    parts = [path.resolve().parts for path in paths]

    def shortest(own: tuple[str, ...]) -> str:
        depths = range(1, len(own) + 1)
        depth = next((n for n in depths if sum(other[-n:] == own[-n:] for other in parts) == 1), len(own))
        return "/".join(own[-depth:])

    return [shortest(own) for own in parts]
