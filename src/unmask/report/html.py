"""Stories → one HTML page, by the templates beside this file."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from unmask.report.blocks import Section, Story


def render_page(title: str, stories: Sequence[Story], sections: Sequence[Section]) -> str:
    """A page of stories, with sections about all of them before."""
    environment = Environment(
        loader=PackageLoader("unmask.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html.j2")
    return template.render(title=title, stories=stories, overview=sections)
