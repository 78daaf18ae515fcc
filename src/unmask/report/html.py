"""Stories → one HTML page, with the templates beside this file. Figures become text here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from unmask.data.file_names import one_line
from unmask.errors import UserError
from unmask.report.blocks import Photograph, Pictures, Plate, Section, Showcase, Story
from unmask.report.csv_link import board_table, csv_name, csv_uri
from unmask.report.png import data_uri, jpeg_uri, png_width, to_png
from unmask.report.svg import inline_svg, svg_width, to_svg
from unmask.wording import plural


class Drawn(NamedTuple):
    """A figure as text."""

    text: Markup
    """Inline SVG, or a data URI."""
    width: float
    """Width in CSS pixels at which the figure's text has its original size."""


class Live(NamedTuple):
    """The status that a page shows of a running run."""

    line: str
    """The progress line."""
    written: str
    """Time of day."""
    seconds: int
    """Seconds between two reloads of the page."""


def render_page(title: str, stories: Sequence[Story], sections: Sequence[Section], live: Live | None = None) -> str:
    """A page of stories, preceded by sections about all of them; a `live` page reloads itself."""
    return render_template("page.html.j2", title=title, stories=stories, overview=sections, live=live)


def render_template(name: str, **values: Any) -> str:
    """A page from one of the templates."""
    environment = Environment(
        loader=PackageLoader("unmask.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plate": draw_plate, "photograph": draw_photograph, "plural": plural}
    environment.filters |= {"csv_uri": csv_uri, "csv_name": csv_name, "board_table": board_table}
    environment.filters["sheet"] = draw_sheet
    environment.tests["showcase"] = lambda part: isinstance(part, Showcase)
    return environment.get_template(name).render(**values)


def draw_plate(plate: Plate, prefix: str) -> Drawn:
    """A plot as inline SVG; `prefix` of its ids is unique on the page."""
    figure = plate.figure
    if isinstance(figure, Figure):
        document = to_svg(figure)
        return Drawn(inline_svg(document, prefix, plate.alt), svg_width(document))
    with _named(figure):
        document = _content(figure).decode()
        return Drawn(inline_svg(document, prefix, plate.alt), svg_width(document))


def draw_photograph(photograph: Photograph) -> Drawn:
    """A picture as a data URI."""
    figure = photograph.figure
    if isinstance(figure, Figure):
        png = to_png(figure)
        return Drawn(Markup(data_uri(png)), png_width(png))
    with _named(figure):
        png = _content(figure)
        return Drawn(Markup(data_uri(png)), png_width(png))


def draw_sheet(pictures: Pictures) -> Markup:
    """A sheet of pictures as a data URI."""
    sheet = pictures.sheet
    with _named(pictures.path):
        return Markup(jpeg_uri(_content(pictures.path), (sheet.columns * sheet.width, sheet.rows * sheet.height)))


def _content(path: Path) -> bytes:
    """A picture in the folder of a run's pictures.

    Raises:
        UserError: it is a link that leads out of the run, or not a regular file: a page could embed any file on the
            machine.
    """
    real = path.resolve()
    if not real.is_file() or not real.is_relative_to(path.parent.parent.resolve()):
        raise UserError("not a picture of this run, but a link that leads out of it or something else: remove it")
    return real.read_bytes()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn errors in a file of a run into a one-line `UserError` that begins with its path."""
    try:
        yield
    except (UserError, OSError, ValueError, SyntaxError) as error:  # ElementTree and Pillow raise SyntaxErrors
        raise UserError(f"{path}: {one_line(error)}") from None
