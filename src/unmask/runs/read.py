"""From a run folder to typed values. Anything missing is reported in one line that names the file and the field."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from unmask.config import AuditRun, ClassifyConfig, CompareConfig, PretrainConfig, from_json, to_json
from unmask.config.serialize import require_complete
from unmask.errors import UserError
from unmask.runs.files import read_json, write_json
from unmask.runs.layout import (
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    KINDS,
    Config,
    RunKind,
    kind_of_config,
)
from unmask.runs.records import Environment

FORMAT = 4
"""Format of the files that this version writes and reads; config.json carries it."""
T = TypeVar("T")
EncoderRun = PretrainConfig | ClassifyConfig | CompareConfig


def write_config(folder: Path, config: Config) -> None:
    """Write config.json: format, kind and every field of the configuration."""
    write_json(folder / CONFIG_FILE, {"format": FORMAT, "kind": kind_of_config(config).name, **to_json(config)})


def is_run(folder: Path) -> bool:
    """Whether a folder has the configuration of some run."""
    return (folder / CONFIG_FILE).is_file()


def read_config(folder: Path) -> Config:
    """The configuration of a run; see `read_config_file`."""
    return read_config_file(folder / CONFIG_FILE)


def read_config_file(file: Path) -> Config:
    """The configuration in the config.json of a run.

    Raises:
        UserError: no such file; another format; a field is missing, unknown or wrong.
    """
    kind, fields = parse_config(file)
    config = from_json(kind.config, fields, f"{file}: ")
    require_complete(fields, config, f"{file}: ")
    if kind_of_config(config) is not kind:
        raise UserError(f"{file}: kind: the configuration is of a {kind_of_config(config).name}, not of a {kind.name}")
    return config


def read_encoder_run(folder: Path) -> EncoderRun:
    """The configuration of a run that trains encoders: any but an audit."""
    config = read_config(folder)
    if isinstance(config, AuditRun):
        raise UserError(f"{folder}: is an audit, which trains nothing; give the run of an encoder")
    return config


def parse_config(file: Path) -> tuple[RunKind, dict[str, Any]]:
    """Kind and fields, as plain values, of a config.json.

    Raises:
        UserError: it is not that of a run, or of another format.
    """
    values = read_json(file)
    if not _of_a_run(values):
        raise UserError(f"{file}: not the configuration of a run of this package")
    found, kind = values.get("format", 1), values.get("kind")
    if not isinstance(found, int):
        raise UserError(f"{file}: format: expected a whole number, found {found!r}")
    if found != FORMAT:
        age, fix = ("an earlier", "run it again in another folder") if found < FORMAT else ("a newer", "update unmask")
        raise UserError(
            f"{file}: was written by {age} version of unmask (format {found!r}, this version reads {FORMAT}): {fix}, "
            "or use the version that wrote it"
        )
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"{file}: kind: expected one of {', '.join(KINDS)}, found {kind!r}")
    return KINDS[kind], {name: value for name, value in values.items() if name not in ("format", "kind")}


def _of_a_run(values: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether the content of a config.json is that of a run of any version."""
    return isinstance(values, Mapping) and any(own <= set(values) for own in ({"format", "kind"}, {"data", "seed"}))


def holds_run(folder: Path) -> bool:
    """Whether a folder has the configuration of a run of any version, not a config.json of something else."""
    try:
        return is_run(folder) and _of_a_run(read_json(folder / CONFIG_FILE))
    except UserError:
        return False


def read_environment(folder: Path) -> Environment | None:
    """environment.json; None if it is not written yet."""
    return read_optional(Environment, folder / ENVIRONMENT_FILE)


def read_optional(kind: type[T], file: Path) -> T | None:
    """The content of a file of a run; None without the file."""
    return read_record(kind, file) if file.exists() else None


def read_record(kind: type[T], file: Path) -> T:
    """Return the content of a file of a run.

    Raises:
        UserError: it is not JSON; a field is missing, unknown or of another type. The message names file and field.
    """
    values = read_json(file)
    record = from_json(kind, values, f"{file}: ")
    require_complete(values, record, f"{file}: ")
    return record
