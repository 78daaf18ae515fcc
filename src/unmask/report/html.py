"""Stories → one HTML page, by the templates beside this file. Here figures become text."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from unmask.report.blocks import Photograph, Plate, Section, Story
from unmask.report.png import data_uri, png_width, to_png
from unmask.report.svg import inline_svg, svg_width, to_svg
from unmask.wording import plural


class Drawn(NamedTuple):
    """A figure as text."""

    text: Markup
    """Inline SVG, or a data URI."""
    width: float
    """CSS pixels at which the figure's text has its own size."""


def render_page(title: str, stories: Sequence[Story], sections: Sequence[Section]) -> str:
    """A page of stories, with sections about all of them before."""
    return render_template("page.html.j2", title=title, stories=stories, overview=sections)


def render_template(name: str, **values: Any) -> str:
    """A page by one of the templates."""
    environment = Environment(
        loader=PackageLoader("unmask.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plate": draw_plate, "photograph": draw_photograph, "plural": plural}
    return environment.get_template(name).render(**values)


def draw_plate(plate: Plate, prefix: str) -> Drawn:
    """A plot as inline SVG; `prefix` of its ids is unique on the page."""
    figure = plate.figure
    document = to_svg(figure) if isinstance(figure, Figure) else figure.read_text(encoding="utf-8")
    return Drawn(inline_svg(document, prefix, plate.alt), svg_width(document))


def draw_photograph(photograph: Photograph) -> Drawn:
    """A picture as a data URI."""
    figure = photograph.figure
    png = to_png(figure) if isinstance(figure, Figure) else figure.read_bytes()
    return Drawn(Markup(data_uri(png)), png_width(png))
