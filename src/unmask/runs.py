"""The run folder: everything a run was and did, written so that a kill at any moment loses nothing already there.

config.json         the full configuration
environment.json    versions, hardware, git state, seeds, data fingerprint
metrics.jsonl       one JSON object a line, appended
checkpoints/        step_XXXXXXXX.safetensors, newest last
encoder.safetensors the trained encoder as a plain state_dict
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from unmask.config import to_json
from unmask.config.validation import require_utf_8
from unmask.errors import UserError
from unmask.kinds import foreign, is_cut_off, kind_of_run

# Fields that may differ between a run and its continuation: they change the speed or the output, not the numbers.
_SPEED = {"workers", "cache_mib", "execution", "jobs", "threads", "shard"}
_FREE_ON_RESUME = _SPEED | {"save_every", "save_steps", "picture_every", "keep", "tracker", "audit"}
_PACKAGES = ("unmask", "torch", "torchvision", "timm", "accelerate", "numpy", "scipy", "scikit-learn", "safetensors")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Write to the yielded temporary path; on success it is fsynced and renamed over `path`, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, keys in their order."""
    text = json.dumps(to_json(value), indent=1, ensure_ascii=False, allow_nan=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises UserError that names the file if it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; is {path.parent} a run folder?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def append_metrics(folder: Path, **values: Any) -> None:
    """Append one line to metrics.jsonl. A line is written with one call, so a kill never leaves two half lines."""
    line = json.dumps(values, ensure_ascii=False) + "\n"
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(line)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of metrics.jsonl; a last line cut by a kill is left out."""
    path = folder / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def rewind_metrics(folder: Path, step: int) -> None:
    """Drop the lines after `step`, so that a resumed run writes them again instead of twice."""
    rewrite_metrics(folder, [row for row in read_metrics(folder) if row.get("step", 0) <= step])


def rewrite_metrics(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Replace metrics.jsonl by these lines, atomically."""
    with atomic_path(folder / "metrics.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def check_folder(folder: Path, config: Any, *, resume: bool = False, overwrite: bool = False) -> bool:
    """Whether `claim_folder` would continue a run there; raises what it would raise, and writes nothing.

    Raises:
        UserError: the folder cannot be written, or its name is not UTF-8; it is not empty and neither flag is given;
            --resume with another configuration; a flag with a folder of another kind of run, or of none; --overwrite
            on a folder that holds anything else (it would delete what such a run did not write).
    """
    if resume and overwrite:
        raise UserError("--resume and --overwrite exclude each other")
    require_utf_8("out", str(folder))
    if folder.exists() and not folder.is_dir():
        weights = "; these are weights, not a run: use --init" * (folder.suffix == ".safetensors")
        raise UserError(f"{folder}: exists and is not a folder{weights}")
    if not (folder.exists() and any(not is_cut_off(path) for path in folder.iterdir())):
        _require_writable(folder)
        return False
    if not (resume or overwrite):
        raise UserError(
            f"{folder}: not empty; use --resume to continue it, --overwrite to replace it, or another --out"
        )
    before = read_json(folder / "config.json") if (folder / "config.json").exists() else None
    _require_kind(folder, before, to_json(config), "--overwrite" if overwrite else "--resume")
    if overwrite:
        _require_own(folder, to_json(config))
    else:
        _require_same(before, to_json(config), folder)
    return resume


def claim_folder(folder: Path, config: Any, *, resume: bool = False, overwrite: bool = False) -> bool:
    """Make `folder` ready for a run of `config`. Returns True if an earlier run is to be continued.

    Raises what `check_folder` raises.
    """
    if check_folder(folder, config, resume=resume, overwrite=overwrite):
        return True
    if overwrite and folder.exists():
        _clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    return False


def _clear(folder: Path) -> None:
    """Delete what is in a run folder, its config.json last, so that a kill leaves a folder that is still a run's."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "config.json"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _require_writable(folder: Path) -> None:
    """Raise UserError unless the folder is there and takes files, or can be made. What is written to see is removed."""
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir():
        raise UserError(f"{folder}: no folder can be made there, {above} is a file")
    try:
        with tempfile.TemporaryDirectory(prefix=".", suffix=".tmp", dir=above):
            pass
    except OSError as error:
        raise UserError(f"{folder}: nothing can be written in {above} ({error.strerror})") from None


def _require_kind(folder: Path, before: Any, config: Any, flag: str) -> None:
    """Raise UserError unless a folder's configuration is of the same kind of run; other programs write one, too."""
    kind, wanted = kind_of_run(before), kind_of_run(config)
    if kind is None:
        raise UserError(f"{folder}: {flag} refused, the folder is not empty and holds no run of this package")
    if kind != wanted:
        raise UserError(f"{folder}: {flag} refused, this is a {kind}, not a {wanted}; give another --out")


def _require_own(folder: Path, config: Any) -> None:
    """Raise UserError where --overwrite would delete what the run needs, or what no such run wrote."""
    if inside := _paths_inside(config, folder):
        raise UserError(f"{folder}: --overwrite refused, it would delete {inside[0]}, which this run needs")
    kind = kind_of_run(config)
    if kind is not None and (strange := foreign(folder, kind)):
        more = f" and {len(strange) - 3} more" * (len(strange) > 3)
        raise UserError(
            f"{folder}: --overwrite refused, it would delete what a {kind} does not write: {', '.join(strange[:3])}"
            f"{more}; move that away, or give another --out"
        )


def _paths_inside(config: Any, folder: Path) -> list[Path]:
    """Existing paths named in a configuration that lie inside a folder."""
    if isinstance(config, Mapping | list):
        parts = config.values() if isinstance(config, Mapping) else config
        return [path for part in parts for path in _paths_inside(part, folder)]
    if not isinstance(config, str) or not config or not Path(config).exists():
        return []
    return [Path(config)] if Path(config).resolve().is_relative_to(folder.resolve()) else []


def require_same_data(folder: Path, fingerprint: str) -> None:
    """Raise UserError if the data set has changed since the run in `folder` began."""
    path = folder / "environment.json"
    before = read_json(path).get("data", {}).get("fingerprint") if path.exists() else None
    if before is not None and before != fingerprint:
        raise UserError(
            f"{folder}: --resume refused, the images, labels or splits are not those the run began with "
            f"(fingerprint {before}, now {fingerprint}); restore them, or start anew with another --out"
        )


def _require_same(old: Any, new: Any, folder: Path) -> None:
    differing = [name for name in _differences(old, new) if name.split(".")[-1] not in _FREE_ON_RESUME]
    if differing:
        raise UserError(
            f"{folder}: --resume refused, these fields differ from the run's config.json: {', '.join(differing[:5])}; "
            "give the same values, or another --out"
        )


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = sorted(set(old) | set(new))
        return [d for n in names for d in _differences(old.get(n), new.get(n), f"{path}.{n}".lstrip("."))]
    return [] if old == new else [path]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """A name for each path: the fewest of its last parts with which no other one ends. Of a path given twice, all."""
    parts = [path.resolve().parts for path in paths]

    def shortest(own: tuple[str, ...]) -> str:
        depths = range(1, len(own) + 1)
        depth = next((n for n in depths if sum(other[-n:] == own[-n:] for other in parts) == 1), len(own))
        return "/".join(own[-depth:])

    return [shortest(own) for own in parts]


def environment(**extra: Any) -> dict[str, Any]:
    """Versions, hardware and git state of this process, with whatever the stage adds (seeds, fingerprint)."""
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": devices,
        "packages": {name: _version(name) for name in _PACKAGES},
        "git": _git_state(),
        **extra,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _git_state() -> dict[str, Any] | None:
    """Commit and cleanliness of the checkout that holds this package; None for an installed one."""
    here = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "clean": not changed}
