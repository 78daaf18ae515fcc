"""The page of an audit, from its folder: audit.json and the pictures beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unmask.config import to_json
from unmask.errors import UserError
from unmask.report.blocks import Fold, Section, Story, Table
from unmask.report.html import render_page
from unmask.report.words import flatten, interval_text, signed
from unmask.runs.files import write_whole
from unmask.runs.layout import AUDIT_FILE, AUDIT_PAGE, AUDIT_PICTURES
from unmask.runs.read import read_config, read_environment, read_record
from unmask.runs.records import AuditDifference


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """audit.json: the findings of the measures. Whatever could not be measured is None."""

    models: dict[str, dict[str, Any]]
    """For every network its numbers, by measure."""
    differences: tuple[AuditDifference, ...]
    """Paired, one row per pair of given networks and quantity."""
    setting: dict[str, dict[str, Any]]
    """By measure: its settings as used."""
    page: tuple[Section, ...]
    """What the page shows; a picture is the name of a file in the folder of pictures."""


def write_audit_page(folder: Path) -> Path:
    """Write audit.html, one self-contained page, from audit.json and the pictures in `folder`."""
    story = audit_story(folder)
    return write_whole(folder / AUDIT_PAGE, render_page(f"unmask: {story.name}", [story], []))


def audit_story(folder: Path, name: str | None = None) -> Story:
    """All sections of an audit, for a page of its own or beside others. Its name is the folder's by default.

    Raises:
        UserError: the folder holds no audit.
    """
    report = read_record(AuditReport, folder / AUDIT_FILE)
    asked = read_config(folder)
    sections = [_with_pictures(section, folder) for section in report.page]
    facts = {"config": asked, "environment": read_environment(folder), "measures": report.setting}
    setting = [Table("Every setting of the audit", ("field", "value"), flatten(to_json(facts)))]
    sections.append(Section("How it was measured", folds=[Fold("Settings", setting)]))
    return Story(
        name=name or folder.resolve().name,
        kind="audit",
        subtitle=f"data {asked.data.data}",
        headline=headline(report.differences),
        sections=[section for section in sections if section],
        tally=f"Networks: {', '.join(report.models)}.",
    )


def headline(differences: Sequence[AuditDifference]) -> str:
    """The finding on the first two networks, or on the first two arms over the label draws, in one sentence."""
    over_draws = [row for row in differences if row.measure == "arms"]
    rows = over_draws or [row for row in differences if row.quantity == "views"]
    if not rows:
        return "What the network looks at, and how many parts of an image are each enough for it."
    pair = (rows[0].model, rows[0].baseline)
    if rows[0].mean is None:
        return f"No image was recognized clearly enough by both {pair[0]} and {pair[1]} to compare their views."
    where = f"{rows[0].n} label draws" if over_draws else f"{rows[0].n} images kept for both"
    told = [f"{_compared(rows[0], 'sufficient views')} per image, over {where}"]
    told += [
        f"{_compared(row, 'captured parts')} of their classes"
        for row in rows
        if row.quantity == "parts captured" and (row.model, row.baseline) == pair
    ]
    return "; ".join(told) + "."


def _compared(row: AuditDifference, what: str) -> str:
    """mrp has more captured parts than scratch_best: +9.40 [+8.29, +10.51]."""
    name, baseline, low, high = row.model, row.baseline, row.low, row.high
    measured = interval_text(row, signed)
    if low is None or high is None or low <= 0 <= high:
        return f"{name} and {baseline} do not differ measurably in {what}: {measured}"
    return f"{name} has {'more' if low > 0 else 'fewer'} {what} than {baseline}: {measured}"


def _with_pictures(section: Section, folder: Path) -> Section:
    """The section with the paths of its pictures.

    Raises:
        UserError: one is not a bare file name, and could be any file on the machine.
    """

    def path(figure: object) -> Path:
        name = str(figure)
        if Path(name).name != name:
            raise UserError(f"{folder / AUDIT_FILE}: page: {name!r} is not the name of a picture of the audit")
        return folder / AUDIT_PICTURES / name

    return replace(
        section,
        plates=[replace(plate, figure=path(plate.figure)) for plate in section.plates],
        photographs=[replace(photograph, figure=path(photograph.figure)) for photograph in section.photographs],
    )
