"""Prepare the run folder for a new run, continue it unchanged, or replace it; other files are never deleted."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from unmask.config import to_json
from unmask.config.validation import require_utf_8
from unmask.errors import UserError
from unmask.runs.layout import AUDIT, CONFIG_FILE, Config, RunKind, foreign_files, is_cut_off, kind_of_config
from unmask.runs.read import parse_config, read_config, read_environment, write_config

# Fields that may differ between a run and its continuation: they change the speed, the output, or the duration,
# not the numbers.
_SPEED = {"workers", "cache_mib", "execution", "jobs", "pretrain_processes", "threads", "shard", "cluster"}
_PLACE = "data.data"
"""Where the images are; the fingerprint decides whether they are the same."""
_FREE_ON_RESUME = _SPEED | {
    "save_every",
    "save_steps",
    "picture_every",
    "keep",
    "tracker",
    "audit",
    "draws",
    "until",
    "within",
}
_FREE_ON_RESUME |= {"chosen", "recipe_name", "because"}


def check_folder(folder: Path, config: Config, *, resume: bool = False, overwrite: bool = False) -> bool:
    """Whether `claim_folder` would continue a run there; raises what that would raise, and writes nothing.

    Raises:
        UserError: the folder cannot be written, or its name is not UTF-8; it is not empty and neither flag is given;
            `resume` with another configuration; either flag with a folder of another kind of run, or not of a run;
            `overwrite` on a folder that holds anything else (it would delete what such a run did not write).
    """
    if resume and overwrite:
        raise UserError("`resume=True` and `overwrite=True` exclude each other")
    require_utf_8("out", str(folder))
    if folder.exists() and not folder.is_dir():
        weights = "; these are weights, not a run: use `init`" if folder.suffix == ".safetensors" else ""
        raise UserError(f"{folder}: exists and is not a folder{weights}")
    if not (folder.exists() and any(not is_cut_off(path) for path in folder.iterdir())):
        require_writable_folder(folder)
        return False
    if not (resume or overwrite):
        if kind_of_config(config) is AUDIT:
            raise UserError(f"{folder}: not empty; use `overwrite=True` to replace it, or another `out`")
        raise UserError(
            f"{folder}: not empty; use `resume=True` to continue it, `overwrite=True` to replace it, or another `out`"
        )
    flag = "`overwrite=True`" if overwrite else "`resume=True`"
    if not (folder / CONFIG_FILE).exists():
        raise UserError(f"{folder}: {flag} refused, the folder is not empty and holds no run of this package")
    kind, _ = parse_config(folder / CONFIG_FILE)
    wanted = kind_of_config(config)
    if kind is not wanted:
        raise UserError(f"{folder}: {flag} refused, this is a {kind.name}, not a {wanted.name}; give another `out`")
    if overwrite:
        _require_own(folder, to_json(config), kind)
    else:
        _require_same(to_json(read_config(folder)), to_json(config), folder)
    return resume


def claim_folder(folder: Path, config: Config, *, resume: bool = False, overwrite: bool = False) -> bool:
    """Prepare `folder` for a run of `config`. Returns True if an earlier run is to be continued.

    Raises what `check_folder` raises.
    """
    if check_folder(folder, config, resume=resume, overwrite=overwrite):
        return True
    if overwrite and folder.exists():
        _clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, config)
    return False


def _clear(folder: Path) -> None:
    """Delete what is in a run folder, its config.json last, so that a kill leaves a folder that is still a run's."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == CONFIG_FILE):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def require_writable_folder(folder: Path) -> None:
    """Raise UserError unless the folder is writable or can be created. What is written as a test is removed."""
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir():
        raise UserError(f"{folder}: cannot create a folder there, {above} is a file")
    try:
        with tempfile.TemporaryDirectory(prefix=".", suffix=".tmp", dir=above):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot write to {above} ({error.strerror})") from None


def _require_own(folder: Path, config: Any, kind: RunKind) -> None:
    """Raise UserError if `overwrite` would delete what the run needs, or what no such run wrote."""
    if inside := _paths_inside(config, folder):
        raise UserError(f"{folder}: `overwrite=True` refused, it would delete {inside[0]}, which this run needs")
    if strange := foreign_files(folder, kind):
        named = ", ".join(strange[:3]) + (f" and {len(strange) - 3} more" if len(strange) > 3 else "")
        raise UserError(
            f"{folder}: `overwrite=True` refused, it would delete what a {kind.name} does not write: {named}; "
            "move that away, or give another `out`"
        )


def _paths_inside(config: Any, folder: Path) -> list[Path]:
    """Existing paths named in a configuration that lie inside a folder."""
    if isinstance(config, Mapping | list):
        parts = config.values() if isinstance(config, Mapping) else config
        return [path for part in parts for path in _paths_inside(part, folder)]
    if not isinstance(config, str) or not config or not Path(config).exists():
        return []
    return [Path(config)] if Path(config).resolve().is_relative_to(folder.resolve()) else []


def require_same_data(folder: Path, config: Config, fingerprint: str) -> list[str]:
    """Make sure that the run in `folder` continues with the images it started with, wherever they are now.

    If they have moved, config.json gets the new path. Returns notes for the user.

    Raises:
        UserError: the data set has changed since the run started; or it has moved, and it cannot be verified to be
            the same.
    """
    facts, old = read_environment(folder), read_config(folder)
    moved = old.data.data != config.data.data
    recorded = facts.data.fingerprint if facts is not None and facts.data is not None else None
    if recorded is None and moved:
        raise UserError(
            f"{folder}: `resume=True` refused, the run began with {old.data.data} and had not yet recorded what is in "
            "it; give that path, or another `out`"
        )
    if recorded not in (None, fingerprint):
        raise UserError(
            f"{folder}: `resume=True` refused, the images, labels or splits are not those the run began with "
            f"(fingerprint {recorded}, now {fingerprint}); restore them, or start over with another `out`"
        )
    if not moved:
        return []
    write_config(folder, replace(old, data=replace(old.data, data=config.data.data)))
    return [f"the data were at {old.data.data} and are now read from {config.data.data}: their contents are the same"]


def _require_same(old: Any, new: Any, folder: Path) -> None:
    free = {_PLACE, *_FREE_ON_RESUME}
    differing = [name for name in _differences(old, new) if not {name, name.split(".")[0], name.split(".")[-1]} & free]
    if differing:
        raise UserError(
            f"{folder}: `resume=True` refused, these fields differ from the run's config.json: "
            f"{', '.join(differing[:5])}; give the same values, or another `out`"
        )


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = sorted(set(old) | set(new))
        return [d for n in names for d in _differences(old.get(n), new.get(n), f"{path}.{n}".lstrip("."))]
    return [] if old == new else [path]
