"""What lies below a folder: images, folders and everything that is skipped, each once and by its own name."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unmask.data.decoding.decode import SUFFIXES
from unmask.data.file_names import is_junk, natural_key, one_line, path_key
from unmask.errors import UserError
from unmask.wording import printable

_RUN_CONFIG = "config.json"


@dataclass(frozen=True)
class Listing:
    """Paths relative to the folder, in natural order."""

    images: tuple[Path, ...]
    folders: tuple[Path, ...]
    others: dict[str, int]
    """Suffix → number of files that are neither images nor junk."""
    aside: tuple[str, ...] = ()
    """Notes on skipped links to what is read under its own name, run folders, and image names that are not files."""


@dataclass
class _Found:
    images: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    aside: list[str] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)


def list_images(root: Path) -> Listing:
    """Everything below a folder. Links that lead out of it are followed, those to a folder within it are skipped.

    Raises:
        UserError: a folder cannot be listed (its content must not be missing silently), or it is one of the system's
            virtual folders.
    """
    _require_files(root)
    found = _Found()
    _walk(root, root, os.path.realpath(root), found)
    images, folders = (tuple(sorted(paths, key=path_key)) for paths in (found.images, found.folders))
    return Listing(images, folders, dict(found.others), tuple(found.aside))


def _require_files(folder: Path) -> None:
    """Raise `UserError` for Linux's virtual folders: they hold no images, and links to everything."""
    shown = folder.resolve()
    system = any(shown.is_relative_to(root) for root in ("/proc", "/sys", "/dev"))
    if shown == Path(shown.anchor) or (system and not shown.is_relative_to("/dev/shm")):
        raise UserError(f"data: {folder} is a system folder; give a folder of images")


def _walk(folder: Path, root: Path, real_root: str, found: _Found) -> None:
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in found.seen:
        found.aside.append(f"{_shown(folder, root)} leads to a folder that is read under another name: skipped")
        return
    found.seen.add((status.st_dev, status.st_ino))
    subfolders: list[str] = []
    for entry in _entries(folder):
        if entry.is_dir():
            subfolders.append(entry.name)
        else:
            _note_file(entry, folder, root, found)
    for name in sorted(subfolders, key=natural_key):
        path = folder / name
        if _leads_inside(path, real_root):
            found.aside.append(f"{_shown(path, root)} is a link to a folder that is read under its own name: skipped")
        elif is_run_folder(path):
            found.aside.append(f"{_shown(path, root)} is the folder of a run: skipped")
        else:
            found.folders.append(path.relative_to(root))
            _walk(path, root, real_root, found)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not is_junk(entry.name))
    except OSError as error:
        raise UserError(
            f"{printable(folder)}: cannot be listed ({one_line(error)}): what it holds would be missing"
        ) from None


def _note_file(entry: os.DirEntry[str], folder: Path, root: Path, found: _Found) -> None:
    suffix = Path(entry.name).suffix.lower()
    if suffix not in SUFFIXES:
        found.others[suffix or printable(entry.name)] += 1
    elif entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):
        found.images.append((folder / entry.name).relative_to(root))  # a broken link is an unreadable image
    else:
        found.aside.append(f"{_shown(folder / entry.name, root)} is named like an image but is not a file: skipped")


def _leads_inside(path: Path, real_root: str) -> bool:
    """Whether a folder is a link to one that lies in the root, or holds it."""
    if not path.is_symlink():
        return False
    real = os.path.realpath(path)
    return os.path.commonpath([real, real_root]) in (real, real_root)


def is_run_folder(path: Path) -> bool:
    """Whether a folder is that of a run, whose pictures are not images of a data set."""
    file = path / _RUN_CONFIG
    if not file.is_file() or file.stat().st_size > 2**20:
        return False
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"format", "kind"} <= set(content)


def _shown(path: Path, root: Path) -> str:
    return printable(path.relative_to(root) if path != root else path)
