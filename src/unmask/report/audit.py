"""The page of an audit, from its folder: audit.json and the pictures beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from unmask.errors import UserError
from unmask.report.blocks import Fold, Photograph, Plate, Section, Story, Swatch, Table
from unmask.report.html import render_page
from unmask.report.svg import picture_uri
from unmask.report.words import flatten
from unmask.runs import atomic_path, read_json

AUDIT_FILE, PICTURES, PAGE = "audit.json", "pictures", "audit.html"


def write_audit_page(folder: Path) -> Path:
    """Write audit.html, one self-contained page, from audit.json and the pictures in `folder`."""
    story = audit_story(folder, "audit")
    path = folder / PAGE
    with atomic_path(path) as temporary:
        temporary.write_text(render_page(f"unmask: {story.name}", [story], []), encoding="utf-8")
    return path


def audit_story(folder: Path, anchor: str, name: str | None = None) -> Story:
    """All sections of an audit, to stand on a page alone or beside others. Its name is the folder's by default.

    Raises:
        UserError: the folder holds no audit.
    """
    report = read_json(folder / AUDIT_FILE)
    if not isinstance(report, Mapping) or "page" not in report:
        raise UserError(f"{folder / AUDIT_FILE}: not the numbers of an audit")
    sections = [_section(part, folder / PICTURES, anchor) for part in report["page"]]
    setting = [Table("Every setting of the audit", ("field", "value"), flatten(report["setting"]))]
    sections.append(Section("How it was measured", folds=[Fold("Settings", setting)]))
    names = list(report["models"])
    return Story(
        anchor=anchor,
        name=name or folder.resolve().name,
        kind="audit",
        subtitle=f"data {report['setting'].get('data', {}).get('data', '')}",
        headline=headline(report),
        sections=[section for section in sections if section],
        tally=f"Networks: {', '.join(names)}.",
    )


def headline(report: Mapping[str, Any]) -> str:
    """What the sufficient views say of the first two networks, in one sentence."""
    rows = [row for row in report["differences"] if row.get("quantity") == "views"]
    if not rows:
        return "What the network looks at, and how many parts of an image are each enough for it."
    row = rows[0]
    name, baseline, low, high = row["model"], row["baseline"], row["low"], row["high"]
    if row["mean"] is None:
        return f"No image was recognised clearly enough by both {name} and {baseline} to compare their views."
    interval = "" if low is None else f" [{low:+.2f}, {high:+.2f}]"
    measured = f"{row['mean']:+.2f}{interval} an image, over {row['n']} images kept for both.".replace("-", "−")
    if low is None or low <= 0 <= high:
        return f"{name} and {baseline} do not differ measurably in sufficient views: {measured}"
    return f"{name} has {'more' if low > 0 else 'fewer'} sufficient views than {baseline}: {measured}"


def _section(part: Mapping[str, Any], folder: Path, anchor: str) -> Section:
    plates, photographs = [], []
    for picture in part["pictures"]:
        path = folder / picture["file"]
        if path.suffix == ".svg":
            drawn = path.read_text(encoding="utf-8").replace(f"audit-{part['key']}-", f"{anchor}-{part['key']}-")
            plates.append(Plate(Markup(drawn), picture["caption"]))
        else:
            photographs.append(Photograph(picture_uri(path), picture["alt"], picture["caption"], smooth=True))
    return Section(
        part["title"],
        part["intro"],
        legend=[Swatch(**swatch) for swatch in part["legend"]],
        plates=plates,
        photographs=photographs,
        tables=[Table(**table) for table in part["tables"]],
        notes=part["notes"],
    )
