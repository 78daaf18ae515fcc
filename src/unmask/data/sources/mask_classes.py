"""The file that names the classes of masks, classes.csv or classes.json beside them: names, and values or colors."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unmask.config.data import IGNORED
from unmask.data.decoding.decode import named
from unmask.data.decoding.mask import Color, MaskCode
from unmask.errors import UserError

FILES = ("classes.csv", "classes.json")
_COLOR = re.compile(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_TRIPLE = re.compile(r"\(?\s*(\d+)[\s,;]+(\d+)[\s,;]+(\d+)\s*\)?")


def find_classes(folder: Path) -> MaskCode:
    """The classes that a file in the folder names; no names without one.

    The classes have the order of the file; the first one, 0, is the background. classes.csv has the column name
    and, if masks hold other numbers than that order, value, or, if they are in color, color (#rrggbb or
    "255 0 0"). classes.json is a list of names, or of objects with these fields.

    Raises:
        UserError: both files exist, or one cannot be parsed. The message names the file.
    """
    found = [folder / name for name in FILES if (folder / name).is_file()]
    if len(found) > 1:
        raise UserError(f"{folder}: has {FILES[0]} and {FILES[1]}: keep one of them")
    return read_classes(found[0]) if found else MaskCode()


def read_classes(file: Path) -> MaskCode:
    """See `find_classes`."""
    with named(file):
        text = file.read_text(encoding="utf-8-sig")
        rows = _json_rows(text) if file.suffix.lower() == ".json" else _csv_rows(text)
        return code_of(rows)


def code_of(rows: Sequence[Mapping[str, Any]]) -> MaskCode:
    """Classes from rows with a name and, of all or of none, a value or a color."""
    names = tuple(str(row.get("name") or "").strip() for row in rows)
    if not names or not all(names):
        raise UserError("names no class" if not names else f"class {names.index('')} has no name (column name)")
    if len(set(names)) < len(names):
        raise UserError(f"class {next(name for name in names if names.count(name) > 1)} is named twice")
    if len(names) > IGNORED:
        raise UserError(f"{len(names)} classes: a mask can hold at most {IGNORED}")
    values = _column(rows, names, "value", _value)
    colors = _column(rows, names, "color", _color)
    return MaskCode(names, values, colors)


def _column(rows: Sequence[Mapping[str, Any]], names: Sequence[str], column: str, read: Any) -> dict[Any, int]:
    """The value or color of each class → its index; empty if the column is missing."""
    cells = [row.get(column) for row in rows]
    given = [cell is not None and str(cell).strip() != "" for cell in cells]
    if not any(given):
        return {}
    if not all(given):
        raise UserError(f"class {names[given.index(False)]} has no {column}, others have")
    keys = [read(cell) for cell in cells]
    if len(set(keys)) < len(keys):
        twice = next(cell for cell, key in zip(cells, keys, strict=True) if keys.count(key) > 1)
        raise UserError(f"{column} {twice} stands for two classes")
    return {key: index for index, key in enumerate(keys)}


def _value(cell: Any) -> int:
    try:
        return int(str(cell))
    except ValueError:
        raise UserError(f"value {cell!r} is not a whole number") from None


def _color(cell: Any) -> Color:
    text = " ".join(map(str, cell)) if isinstance(cell, list | tuple) else str(cell).strip()
    if found := _COLOR.fullmatch(text):
        red, green, blue = (int(part, 16) for part in found.groups())
    elif found := _TRIPLE.fullmatch(text):
        red, green, blue = map(int, found.groups())
    else:
        raise UserError(f"color {cell!r} is neither #rrggbb nor three numbers")
    if max(red, green, blue) > 255:
        raise UserError(f"color {cell!r}: numbers are 0 to 255")
    return red, green, blue


def _csv_rows(text: str) -> list[dict[str, Any]]:
    rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "name" not in header:
        raise UserError(
            f"no column name; found {', '.join(header) or 'nothing'}, expected name and optionally value or color"
        )
    return [dict(zip(header, row, strict=False)) for row in rows[1:]]


def _json_rows(text: str) -> list[dict[str, Any]]:
    content = json.loads(text)
    if not isinstance(content, list) or not all(isinstance(row, str | dict) for row in content):
        raise UserError("expected a list of names, or of objects with name and optionally value or color")
    return [{"name": row} if isinstance(row, str) else row for row in content]
