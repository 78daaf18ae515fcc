"""Which tar files a name stands for, and which split a file's name refers to."""

import re
from collections.abc import Sequence
from glob import glob, has_magic
from itertools import chain, islice
from pathlib import Path

from unmask.data.file_names import is_junk, natural_key, path_key
from unmask.data.sources.listing import list_images
from unmask.data.sources.source import SPLIT_NAMES, TEST, UNASSIGNED, VAL, held_out_name
from unmask.errors import UserError
from unmask.wording import printable

SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Names that are taken for shards; the compressed ones only to report them."""
MOST = 1_000_000
"""Most shards that one name may stand for."""
BRACES = re.compile(r"\{([^{}]*)\}")


def is_shards(data: str) -> bool:
    """Whether a name refers to tar files."""
    return data.lower().endswith(SUFFIXES)


def expand(data: str) -> list[Path]:
    """The shards that a name with braces ("{000..099}", "{train,val}") or wildcards stands for, in its order.

    Raises:
        UserError: not a local name, or no such file.
    """
    if "://" in data or data.startswith("pipe:"):
        raise UserError(f"data: {data} is not a local file: shards need random access, so mount or download them")
    names = [data]
    while any(map(BRACES.search, names)):
        names = list(islice(chain.from_iterable(map(_expand_first, names)), MOST + 1))
        if len(names) > MOST:
            raise UserError(f"data: {data} stands for more than {MOST:,} shards: name fewer at once")
    found = [one for name in names for one in (sorted(glob(name), key=natural_key) if has_magic(name) else [name])]
    files = list(dict.fromkeys(map(Path, found)))
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        more = f" ({len(missing)} of {len(files)} are missing)" if len(missing) > 1 else ""
        raise UserError(f"data: no shard {missing[0] if missing else data}{more}")
    return files


def find_shards(root: Path) -> list[Path]:
    """The tar files below a folder, in natural order."""
    found = [path for path in root.rglob("*") if is_shards(path.name) and not is_junk(path.name)]
    return sorted(found, key=path_key)


def splits_of(files: Sequence[Path], root: Path) -> list[str]:
    """The split of each shard, from its path in `root`.

    Raises:
        UserError: a shard looks held out by its name, but is not named as a split, and others are not held out.
    """
    paths = [file.relative_to(root) for file in files]
    splits = [split_of(path) for path in paths]
    hidden = {
        path: meant
        for path, split in zip(paths, splits, strict=True)
        if split == UNASSIGNED and (meant := held_out_name(path.as_posix().removesuffix(".tar")))
    }
    if hidden and len(hidden) + sum(split in (VAL, TEST) for split in splits) < len(files):
        path, meant = next(iter(hidden.items()))
        raise UserError(
            f"{root}: {printable(path)} beside other shards looks held out, but is not named as a split: name its file "
            f"or folder {meant}, and nothing else a split, or unlabeled if pretraining may see it"
        )
    return splits


def shards_of(data: str) -> list[Path]:
    """The tar files that the name of a data set stands for, a folder of them too; empty if it names anything else."""
    if is_shards(data):
        return expand(data)
    path = Path(data)
    return [] if not path.is_dir() or list_images(path).images else find_shards(path)


def split_of(file: Path) -> str:
    """The split that words of a shard's path name, "" if none or several do."""
    words = re.split(r"[^a-z]+", file.as_posix().lower().removesuffix(".tar"))
    found = {SPLIT_NAMES[word] for word in words if word and word in SPLIT_NAMES}
    return found.pop() if len(found) == 1 else UNASSIGNED


def _expand_first(name: str) -> list[str]:
    """A name with its first innermost braces replaced by each of what they list."""
    match = BRACES.search(name)
    if match is None:
        return [name]
    first, dots, last = match[1].partition("..")
    parts = match[1].split(",")
    if dots and first.isdecimal() and last.isdecimal():
        if max(len(first), len(last)) > 18 or int(last) - int(first) >= MOST:
            raise UserError(f"data: {{{match[1]}}} stands for more than {MOST:,} shards: name fewer at once")
        width = len(first) if first.startswith("0") or len(first) == len(last) else 0
        parts = [f"{i:0{width}}" for i in range(int(first), int(last) + 1)]
    return [name[: match.start()] + part + name[match.end() :] for part in parts]
