"""Grammar of messages and pages, and text that a terminal only shows."""

import re
from collections.abc import Iterable

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal interprets instead of showing: control characters (colors, titles, line ends) and marks of the
reading direction."""


_HALF = re.compile(r"[\ud800-\udc7f\udd00-\udfff]")
"""Halves of surrogate pairs, except those that stand for a byte of a file's name."""


def printable(text: object) -> str:
    """A text on one line; what a terminal would interpret, and bytes that are not UTF-8, are written as escapes."""
    whole = _HALF.sub(lambda found: f"\\u{ord(found.group()):04x}", str(text))
    readable = whole.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode(), readable)


def plural(count: int | str, noun: str, form: str | None = None) -> str:
    """A count with its noun: 1 image, 3 images; `form` is a plural that is not noun + s."""
    return f"{count} {noun if str(count) == '1' else form or noun + 's'}"


def first_of(names: Iterable[object], most: int = 5) -> str:
    """The first few of some names, and dots if there are more."""
    texts = list(map(str, names))
    return ", ".join(texts[:most]) + (", ..." if len(texts) > most else "")


def in_words(seconds: float) -> str:
    """A time as people say it: about 40 s, about 12 min, about 3.5 h."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def in_percent(share: float) -> str:
    """A confidence level: 95%, 97.5%, 99.8%; none below 1 is rounded up to 100%."""
    text = f"{100 * share:.3g}"
    return f"{100 * share:.6g}%" if text == "100" else f"{text}%"
