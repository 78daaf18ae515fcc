"""Tables as CSV embedded in the page, as links: nothing is fetched, and no script runs."""

import base64
import csv
import io
import re

from unmask.report.blocks import Board, Table

_NUMBER = r"[+−-]?\d+(?:\.\d+)?"
_INTERVAL = re.compile(rf"({_NUMBER}) \[({_NUMBER}), ({_NUMBER})\]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Characters that start a formula in a spreadsheet."""


def csv_text(table: Table) -> str:
    """A table as CSV with its header. A column with intervals becomes three: the mean and both ends."""
    columns = [_column(name, [row[i] for row in table.rows]) for i, name in enumerate(table.columns)]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([_harmless(name) for names, _ in columns for name in names])
    for index in range(len(table.rows)):
        writer.writerow([_harmless(cell) for _, rows in columns for cell in rows[index]])
    return buffer.getvalue()


def csv_uri(table: Table) -> str:
    """The CSV of a table as a data URI; it begins with the byte order mark by which spreadsheets recognize UTF-8."""
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(csv_text(table).encode("utf-8-sig")).decode()


def csv_name(table: Table) -> str:
    """A file name from a table's caption."""
    words = re.findall(r"\w+", table.caption.lower())
    return "-".join(words)[:60].strip("-") + ".csv"


def board_table(board: Board) -> Table:
    """All verdicts as a plain table."""
    rows = [
        (name, *("–" if one is None else f"{one.word}: {one.size}" for one in rulings)) for name, rulings in board.rows
    ]
    return Table(board.caption, ("images", *board.columns), rows)


def _column(name: str, cells: list[str]) -> tuple[list[str], list[list[str]]]:
    """The names of the columns that one column becomes, and their cells for each row."""
    found = [_INTERVAL.fullmatch(cell) for cell in cells]
    if not any(found):
        return [name], [[cell] for cell in cells]
    plain = name.replace(" [interval]", "")
    rows = [list(one.groups()) if one else [cell, "", ""] for cell, one in zip(cells, found, strict=True)]
    return [plain, f"{plain}, low", f"{plain}, high"], rows


def _harmless(cell: str) -> str:
    """A number as programs read it, other text unchanged; an apostrophe prevents text from being read as a formula."""
    if re.fullmatch(_NUMBER, cell):
        return cell.replace("−", "-").removeprefix("+")
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
