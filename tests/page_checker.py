"""Reads a page as a browser does, and collects what tests look at."""

from html.parser import HTMLParser
from pathlib import Path


class PageChecker(HTMLParser):
    """Collects headings, ids, addresses, and checks that tags close in order."""

    void = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.unnamed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [str(values[name]) for name in ("src", "href", "xlink:href") if name in values]
        if "id" in values:
            self.ids.append(str(values["id"]))
        if (tag == "img" and not values.get("alt")) or (tag == "svg" and not values.get("aria-label")):
            self.unnamed.append(tag)
        if tag not in self.void:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] in ("h1", "h2", "h3") and data.strip():
            self.headings.append(data.strip())


def check_page(path: Path) -> PageChecker:
    """What was collected of a page whose tags all close."""
    checker = PageChecker()
    checker.feed(path.read_text(encoding="utf-8"))
    assert checker.stack == []
    return checker
