"""Figures and pictures as text that can stand inside a page."""

import base64
import io
import re
import warnings
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from unmask.report.palette import INK

_STYLE = {
    "svg.fonttype": "none",
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
_LARGEST_PNG = 400_000
_WIDEST = 1200


def style() -> AbstractContextManager[None]:
    """The settings under which figures are drawn, as a context: `with style(): ...`."""
    return mpl.rc_context(_STYLE)


def blank(width: float = 360, height: float = 260) -> Figure:
    """An empty figure of so many CSS pixels. 360 pixels keep the text legible on a telephone."""
    return Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")


def to_svg(figure: Figure, name: str, alt: str) -> Markup:
    """A figure as inline SVG that follows the page's text colour and width, with `alt` as its text alternative.

    Args:
        figure: the figure.
        name: prefix of all ids in it, unique on the page.
        alt: what the figure shows, in words.
    """
    buffer = io.StringIO()
    with warnings.catch_warnings(), mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        # The browser's fonts draw the text, so glyphs that matplotlib's own font lacks do not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", text)
    text = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font:([^;\"]*?)px [^;\"]*", r"font:\1px system-ui, sans-serif", text)
    text = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", text)
    text = re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", text)
    text = text.replace(INK, "currentColor")
    opening = f'<svg role="img" aria-label="{Markup.escape(alt)}"'
    return Markup(text.replace("<svg", opening, 1))


def picture_uri(path: Path) -> str:
    """An image file as a data URI; a large one is made at most 1200 pixels wide and stored as JPEG."""
    data = path.read_bytes()
    if len(data) <= _LARGEST_PNG:
        return "data:image/png;base64," + base64.b64encode(data).decode()
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if image.width > _WIDEST:
        image = image.resize((_WIDEST, round(image.height * _WIDEST / image.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
