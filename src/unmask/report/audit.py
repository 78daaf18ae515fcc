"""The page of an audit, from its folder: audit.json and the pictures beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.report.blocks import Fold, Photograph, Plate, Section, Story, Swatch, Table
from unmask.report.html import render_page
from unmask.report.words import flatten
from unmask.runs.files import atomic_path, read_json

AUDIT_FILE, PICTURES, PAGE = "audit.json", "pictures", "audit.html"


def write_audit_page(folder: Path) -> Path:
    """Write audit.html, one self-contained page, from audit.json and the pictures in `folder`."""
    story = audit_story(folder)
    path = folder / PAGE
    with atomic_path(path) as temporary:
        temporary.write_text(render_page(f"unmask: {story.name}", [story], []), encoding="utf-8")
    return path


def audit_story(folder: Path, name: str | None = None) -> Story:
    """All sections of an audit, to stand on a page alone or beside others. Its name is the folder's by default.

    Raises:
        UserError: the folder holds no audit.
    """
    report = read_json(folder / AUDIT_FILE)
    if not isinstance(report, Mapping) or "page" not in report:
        raise UserError(f"{folder / AUDIT_FILE}: not the numbers of an audit")
    sections = [_section(part, folder / PICTURES) for part in report["page"]]
    setting = [Table("Every setting of the audit", ("field", "value"), flatten(report["setting"]))]
    sections.append(Section("How it was measured", folds=[Fold("Settings", setting)]))
    names = list(report["models"])
    return Story(
        name=name or folder.resolve().name,
        kind="audit",
        subtitle=f"data {report['setting'].get('data', {}).get('data', '')}",
        headline=headline(report),
        sections=[section for section in sections if section],
        tally=f"Networks: {', '.join(names)}.",
    )


def headline(report: Mapping[str, Any]) -> str:
    """What was found of the first two networks, or of the first two arms over the label draws, in one sentence."""
    over_draws = [row for row in report["differences"] if row.get("measure") == "arms"]
    rows = over_draws or [row for row in report["differences"] if row.get("quantity") == "views"]
    if not rows:
        return "What the network looks at, and how many parts of an image are each enough for it."
    pair = (rows[0]["model"], rows[0]["baseline"])
    if rows[0]["mean"] is None:
        return f"No image was recognised clearly enough by both {pair[0]} and {pair[1]} to compare their views."
    where = f"{rows[0]['n']} label draws" if over_draws else f"{rows[0]['n']} images kept for both"
    told = [f"{_compared(rows[0], 'sufficient views')} an image, over {where}"]
    told += [
        f"{_compared(row, 'captured parts')} of their classes"
        for row in rows
        if row["quantity"] == "parts captured" and (row["model"], row["baseline"]) == pair
    ]
    return "; ".join(told) + "."


def _compared(row: Mapping[str, Any], what: str) -> str:
    """mrp has more captured parts than scratch_best: +9.40 [+8.29, +10.51]."""
    name, baseline, low, high = row["model"], row["baseline"], row["low"], row["high"]
    interval = "" if low is None else f" [{low:+.2f}, {high:+.2f}]"
    measured = f"{row['mean']:+.2f}{interval}".replace("-", "−")
    if low is None or low <= 0 <= high:
        return f"{name} and {baseline} do not differ measurably in {what}: {measured}"
    return f"{name} has {'more' if low > 0 else 'fewer'} {what} than {baseline}: {measured}"


def _section(part: Mapping[str, Any], folder: Path) -> Section:
    pictures = [(folder / picture["file"], picture["alt"], picture["caption"]) for picture in part["pictures"]]
    return Section(
        part["title"],
        part["intro"],
        legend=[Swatch(**swatch) for swatch in part["legend"]],
        plates=[Plate(*picture) for picture in pictures if picture[0].suffix == ".svg"],
        photographs=[Photograph(*picture) for picture in pictures if picture[0].suffix != ".svg"],
        tables=[Table(**table) for table in part["tables"]],
        notes=part["notes"],
    )
