"""Figures as SVG: how they are drawn, and how a drawing becomes part of a page."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unmask.errors import UserError
from unmask.report.allowed import require_drawing
from unmask.report.palette import GRAY, INK

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "unmask",
    "text.parse_math": False,
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
}
_XLINK = "{http://www.w3.org/1999/xlink}"


def style() -> AbstractContextManager[None]:
    """The settings for drawing figures, as a context: `with style(): ...`."""
    return mpl.rc_context(_STYLE)


def blank(width: float = 360, height: float = 260) -> Figure:
    """An empty figure of this size in CSS pixels. 360 pixels keep the text legible on a phone."""
    return Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")


@contextmanager
def plot(
    width: float = 360, height: float = 260, *, grid: Literal["x", "y", "both"] | None = None
) -> Iterator[tuple[Figure, Axes]]:
    """An empty figure with axes to draw on in the body; at the end faint lines are added at the ticks of `grid`."""
    with style():
        figure = blank(width, height)
        axes = figure.add_subplot()
        yield figure, axes
        if grid is not None:
            axes.grid(axis=grid, color=GRAY, alpha=0.25, linewidth=0.8)


def to_svg(figure: Figure) -> str:
    """A figure as a standalone SVG document; the same figure gives the same text."""
    buffer = io.StringIO()
    with warnings.catch_warnings(), style():
        # The browser's fonts render the text, so glyphs missing from matplotlib's own font do not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def inline_svg(document: str, prefix: str, alt: str) -> Markup:
    """An SVG document as part of a page: it follows the page's text color and width.

    Args:
        document: the result of `to_svg`.
        prefix: prefix of all ids in it, unique on the page.
        alt: what the figure shows, in words.

    Raises:
        UserError: it holds anything but lines, text and embedded PNG, as a file in a run folder may.
        ParseError: it is not XML.
    """
    if "<svg" not in document:
        raise UserError("not an SVG figure")
    root = ElementTree.fromstring(document[document.index("<svg") :])
    for child in [child for child in root if child.tag.endswith("}metadata")]:
        root.remove(child)
    require_drawing(root)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {
            name.replace(_XLINK, "xlink:"): _on_page(name.rpartition("}")[2], value, prefix)
            for name, value in element.attrib.items()
        }
    shape = {name: value for name, value in root.attrib.items() if name not in ("width", "height")}
    root.attrib = {"role": "img", "aria-label": alt, **shape}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def svg_width(document: str) -> float:
    """Width in CSS pixels at which an SVG document's text has its original size, from its viewBox."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ', document)
    return float(found.group(1)) if found else 0.0


def _on_page(name: str, value: str, prefix: str) -> str:
    """The value of an attribute, with ids and references to them prefixed, the page's font, and its text color."""
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href":
        return re.sub(r"^#", f"#{prefix}-", value)
    value = re.sub(r"url\(#", f"url(#{prefix}-", value)
    value = re.sub(r"font:([^;]*?)px [^;]*", r"font:\1px system-ui, sans-serif", value)
    return value.replace(INK, "currentColor")
