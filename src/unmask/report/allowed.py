"""The SVG allowed in a page: what matplotlib writes, and nothing that a browser runs or fetches."""

import re
from xml.etree.ElementTree import Element

from unmask.errors import UserError

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_ELEMENTS = {"svg", "defs", "style", "g", "path", "use", "text", "tspan", "clipPath", "rect", "image", "pattern"}
_ATTRIBUTES = {
    *("id", "d", "x", "y", "dx", "dy", "width", "height", "viewBox", "version", "transform", "points", "type", "style"),
    *("clip-path", "fill", "stroke", "stroke-width", "opacity", "preserveAspectRatio", "patternUnits", "href"),
}
_PROPERTIES = {
    *("fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity", "stroke-linecap"),
    *("stroke-linejoin", "stroke-miterlimit", "stroke-dasharray", "stroke-dashoffset", "opacity", "clip-path"),
    *("font", "font-size", "font-family", "font-weight", "font-style", "font-stretch", "font-variant", "text-anchor"),
    "image-rendering",
}
_RULE = "*{stroke-linejoin: round; stroke-linecap: butt}"
"""The only style sheet in a figure by matplotlib."""
_LINK = re.compile(r"#[\w.-]+|data:image/png;base64,[A-Za-z0-9+/=\s]*")
_VALUE = re.compile(r"(?:url\(#[\w.-]+\)|(?:matrix|translate|rotate|scale|rgba?)\([^()]*\)|[\w\s.,#%+'\"-])*+")


def require_drawing(root: Element) -> None:
    """Raise `UserError` unless an element and its content are a drawing: lines, text and embedded PNG."""
    for element in root.iter():
        name = str(element.tag).removeprefix(_SVG)
        if name not in _ELEMENTS or not str(element.tag).startswith(_SVG):
            raise UserError(f"holds the element {name!r}, which no figure of unmask has")
        if name == "style" and (element.text or "").strip() != _RULE:
            raise UserError("holds a style sheet, which no figure of unmask has")
        for attribute, value in element.attrib.items():
            _require_attribute(attribute.removeprefix(_XLINK), value)


def _require_attribute(name: str, value: str) -> None:
    if name not in _ATTRIBUTES:
        raise UserError(f"holds the attribute {name!r}, which no figure of unmask has")
    if name == "href":
        good = _LINK.fullmatch(value) is not None
    elif name == "type":
        good = value == "text/css"
    elif name == "style":
        parts = [part.partition(":") for part in value.split(";") if part.strip()]
        good = all(key.strip() in _PROPERTIES and _VALUE.fullmatch(text) for key, _, text in parts)
    else:
        good = name == "id" or _VALUE.fullmatch(value) is not None
    if not good:
        raise UserError(f"holds {name}={value[:60]!r}, which no figure of unmask has")
