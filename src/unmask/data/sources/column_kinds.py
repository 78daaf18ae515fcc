"""What the texts of label columns hold, and the task that they suggest. Nothing is silently taken for classes."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from unmask.config.metric import TaskName
from unmask.data.file_names import in_line
from unmask.data.sources.manifest_texts import is_no_label, name_of
from unmask.errors import UserError

FEW = 20
"""Up to so many different whole numbers count as classes."""
SEPARATORS = re.compile(r"[;|]")
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
_YES, _NO = frozenset({"1", "1.0", "true", "yes"}), frozenset({"0", "0.0", "false", "no"})
_FIX = "say which with `task`"

Codes = Literal["ask", "contiguous", "all"]
"""Which whole numbers are indices of classes if there are many: none, so that the user is asked; 0 to K - 1 if all
occur; all."""


def suggested_task(columns: Mapping[str, Sequence[str]], where: str, codes: Codes) -> tuple[TaskName, str]:
    """The task that the labels show, and why. Raises UserError, which begins with `where`, if several would fit."""
    if len(columns) > 1:
        return _of_several(columns, where)
    name, column = next(iter(columns.items()))
    return _of_one(name, column, where, codes)


def _of_several(columns: Mapping[str, Sequence[str]], where: str) -> tuple[TaskName, str]:
    kinds = {name: kind_of(column) for name, column in columns.items()}
    known = {name: kind for name, kind in kinds.items() if kind != "empty"}
    names = f"the columns {in_line(', '.join(columns))}"
    if known and all(kind == "yes or no" for kind in known.values()):
        return "multilabel", f"{names} hold 0 and 1"
    if known and all(kind in ("yes or no", "integer", "decimal") for kind in known.values()):
        return "regression", f"{names} hold numbers"
    texts = ", ".join(f"{in_line(name)} ({kind})" for name, kind in kinds.items())
    raise UserError(f"{where}: several label columns of mixed kinds, {texts}: name those to learn with `label_field`")


def _of_one(name: str, column: Sequence[str], where: str, codes: Codes) -> tuple[TaskName, str]:
    kind = kind_of(column)
    if kind == "decimal":
        return "regression", f"the column {in_line(name)} holds numbers with decimals"
    if kind == "mixed":
        text = next(one for one in column if one.lower() not in MISSING and number_of(one) is None)
        raise UserError(
            f"{where}: column {in_line(name)} holds numbers with decimals and text ({in_line(text)}): {_FIX}"
        )
    if kind == "separated":
        return "multilabel", f"labels in the column {in_line(name)} are separated by ; or |"
    distinct = len({name_of(one) for one in column if not is_no_label(one)})
    if kind == "integer" and distinct > FEW and not _are_codes(column, codes):
        raise UserError(
            f"{where}: column {in_line(name)} holds {distinct} different whole numbers, classes or quantities: {_FIX}, "
            "classification or regression"
        )
    commas = Counter(part.strip() for one in set(column) if "," in one for part in one.split(","))
    if kind == "text" and commas and max(commas.values()) > 1:
        raise UserError(
            f"{where}: labels in the column {in_line(name)} hold commas, as {in_line(commas.most_common(1)[0][0])} in "
            f"{max(commas.values())} of them: {_FIX}, classification or multilabel"
        )
    return "classification", ""


def _are_codes(column: Sequence[str], codes: Codes) -> bool:
    """Whether whole numbers are indices of classes."""
    if codes == "contiguous":
        found = {number_of(one) for one in column if not is_no_label(one)}
        return found == set(map(float, range(len(found))))
    return codes == "all"


def kind_of(column: Sequence[str]) -> str:
    """What a column holds: "empty", "yes or no", "integer", "decimal", "separated", "text", or "mixed"."""
    known = {one for one in column if one.lower() not in MISSING}
    if not known:
        return "empty"
    numbers = {one: number_of(one) for one in known}
    if any(number is not None and not number.is_integer() for number in numbers.values()):
        return "decimal" if all(number is not None for number in numbers.values()) else "mixed"
    if all(number is not None for number in numbers.values()):
        return "yes or no" if set(numbers.values()) <= {0.0, 1.0} else "integer"
    if {one.lower() for one in known} <= _YES | _NO:
        return "yes or no"
    return "separated" if any(map(SEPARATORS.search, known)) else "text"


def number_of(text: str) -> float | None:
    """A finite number, else None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def flag_of(text: str) -> bool | None:
    """Yes or no, else None."""
    return text.lower() in _YES if text.lower() in _YES | _NO else None
