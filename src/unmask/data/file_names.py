"""Names of files: natural order, junk, text that can be printed."""

import re
from pathlib import PurePath

from unmask.wording import printable

JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
"""Files that operating systems leave behind, besides hidden files."""


LONGEST = 400
"""Characters of a text that a message shows."""


def natural_key(text: str) -> tuple[tuple[str | tuple[int, str], ...], str]:
    """A key that sorts 1, 2, 10 as numbers, of any length, and everything else as text, the same on every machine."""
    parts = re.split(r"([0-9]+)", text)
    # Digits are ordered by length, not read: Python reads 4,300 at most.
    return tuple((len(part.lstrip("0")), part.lstrip("0")) if i % 2 else part for i, part in enumerate(parts)), text


def path_key(path: PurePath) -> list[object]:
    """Natural order, folder by folder."""
    return [natural_key(part) for part in path.parts]


def is_junk(name: str) -> bool:
    """Hidden files and folders, and what operating systems and notebooks leave behind."""
    return name.startswith(".") or name.lower() in JUNK


def in_line(text: str) -> str:
    """A text as part of a message: printable, on one line, a long one without its middle."""
    line = " ".join(printable(text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"


def one_line(error: BaseException) -> str:
    """The message of an exception on one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join((text or type(error).__name__).split()))
