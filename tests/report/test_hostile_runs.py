"""A run folder from a stranger: what its files say is text on the page, and no file outside of it is shown."""

import json
import os
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from unmask.errors import UserError
from unmask.report.audit_story import write_audit_page
from unmask.report.blocks import Swatch
from unmask.report.page import write_report

Writer = Callable[..., Path]
HOSTILE = "\"'><meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'><script>x</script><img src=x onerror=x>"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">{}</svg>'


@pytest.fixture(scope="module")
def stored_audit(tmp_path_factory: pytest.TempPathFactory, audit_folder: Writer) -> Path:
    """Drawn once."""
    return audit_folder(tmp_path_factory.mktemp("stored") / "audit")


@pytest.fixture
def audit(stored_audit: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(stored_audit, tmp_path / "audit"))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def _require_harmless(page: Path) -> None:
    tags = _Tags()
    tags.feed(page.read_text(encoding="utf-8"))
    assert {tag for tag, _ in tags.found}.isdisjoint(
        {"script", "iframe", "object", "embed", "form", "base", "foreignobject"}
    )
    assert [attrs.get("http-equiv") for tag, attrs in tags.found if tag == "meta"] == [
        None,
        "Content-Security-Policy",
        None,
        None,
    ]
    for _, attrs in tags.found:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href", "xlink:href"):
            assert (attrs.get(name) or "#").startswith(("#", "data:"))


def _replaced(folder: Path, *words: str, text: str = HOSTILE) -> None:
    """Put the hostile text in the place of words in all JSON of a folder."""
    for file in [*folder.rglob("*.json"), *folder.rglob("*.jsonl")]:
        content = file.read_text(encoding="utf-8")
        for word in words:
            content = content.replace(json.dumps(word), json.dumps(text + word))
        file.write_text(content, encoding="utf-8")


@pytest.mark.slow
def test_names_in_the_files_of_a_comparison_are_text(comparison_folder: Writer, tmp_path: Path) -> None:
    """Splits, classes, notes, and the folder's own name; an arm that does not exist is refused."""
    folder = comparison_folder(tmp_path / "<meta http-equiv=refresh content=0>", draws=2, budgets=(10,))
    _replaced(folder, "multi", "single_1", "ring", "effective learning rate 1e-3")
    page = write_report([folder])
    _require_harmless(page)
    assert "&lt;meta http-equiv=refresh" in page.read_text(encoding="utf-8")
    _replaced(folder, "scratch_same", text="<base>")
    with pytest.raises(UserError, match=r"config\.json: arms = '<base>scratch_same' is out of range"):
        write_report([folder])


def test_names_in_the_files_of_trainings_are_text(
    classification_folder: Writer, pretraining_folder: Writer, tmp_path: Path
) -> None:
    """Two runs side by side."""
    folders = [classification_folder(tmp_path / "<i>a"), pretraining_folder(tmp_path / "<i>b")]
    for folder in folders:
        _replaced(folder, "test", "ring", "disc", "a/cut.jpg", "effective learning rate 1e-3", "own/images")
    page = write_report(folders)
    _require_harmless(page)
    assert "&lt;meta http-equiv=refresh" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "content",
    [
        "<script>x</script>",
        "<foreignObject><p xmlns='http://www.w3.org/1999/xhtml'/></foreignObject>",
        "<meta xmlns='http://www.w3.org/1999/xhtml' http-equiv='refresh' content='0;url=http://127.0.0.1:9/'/>",
        "<g onload='x'/>",
        "<a xlink:href='http://127.0.0.1:9/'><text>x</text></a>",
        "<image xlink:href='http://127.0.0.1:9/x.png'/>",
        "<image xlink:href='file:///etc/passwd'/>",
        "<image xlink:href='data:image/svg+xml;base64,AAAA'/>",
        "<use xlink:href='x.svg#a'/>",
        "<style>@import url(http://127.0.0.1:9/);</style>",
        "<style>*{position: fixed}</style>",
        "<rect style='fill: url(http://127.0.0.1:9/#a)'/>",
        "<rect style='fill: u\\72l(http://127.0.0.1:9/)'/>",
        "<rect fill='url(http://127.0.0.1:9/)'/>",
        "<rect style='position: fixed'/>",
        "<animate attributeName='href' to='javascript:x'/>",
        "<set attributeName='onload' to='x'/>",
    ],
)
def test_a_drawing_of_an_audit_holds_lines_and_text_alone(content: str, audit: Path) -> None:
    """Anything else is refused by the name of the file, in a line."""
    drawing = next((audit / "pictures").glob("*.svg"))
    drawing.write_text(SVG.format(content), encoding="utf-8")
    with pytest.raises(UserError, match=rf"{drawing.name}: holds .* which no figure of unmask has"):
        write_audit_page(audit)


@pytest.mark.parametrize("content", ["", "x", "<svg", "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg>&a;</svg>", "\x00<svg/>"])
def test_a_damaged_drawing_is_one_line(content: str, audit: Path) -> None:
    """Cut off, or with entities of its own."""
    drawing = next((audit / "pictures").glob("*.svg"))
    drawing.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"{drawing.name}: "):
        write_audit_page(audit)


def test_a_color_is_a_color() -> None:
    """A swatch stands in a style attribute."""
    with pytest.raises(UserError, match="expected #rrggbb"):
        Swatch("x", "red; position: fixed; inset: 0")


def _secret(folder: Path) -> Path:
    path = folder / "secret.png"
    Image.new("RGB", (7, 5), "red").save(path)
    return path


@pytest.mark.parametrize("how", ["link", "relative link", "linked folder", "pipe", "not PNG"])
def test_pictures_that_are_not_of_the_run_are_refused(
    how: str, pretraining_folder: Writer, audit: Path, tmp_path: Path
) -> None:
    """A page is sent to others: it holds no other file of this machine, and reading never waits."""
    secret = _secret(tmp_path)
    for folder, write in (
        (pretraining_folder(tmp_path / "run"), lambda folder: write_report([folder])),
        (audit, write_audit_page),
    ):
        picture = max((folder / "pictures").glob("*.png"))
        picture.unlink()
        if how == "linked folder":
            (folder / "pictures").rename(tmp_path / f"other {folder.name}")
            (tmp_path / f"other {folder.name}" / picture.name).write_bytes(secret.read_bytes())
            (folder / "pictures").symlink_to(tmp_path / f"other {folder.name}")
        elif how == "pipe":
            os.mkfifo(picture)
        elif how == "not PNG":
            picture.write_text("root:x:0:0")
        else:
            picture.symlink_to(secret if how == "link" else Path("../../secret.png"))
        with pytest.raises(UserError, match=r"pictures/.*: not a "):
            write(folder)


def test_a_link_within_the_run_is_followed(pretraining_folder: Writer, tmp_path: Path) -> None:
    """As `cp -l` and some archives leave them; and a run may be reached by a link."""
    folder = pretraining_folder(tmp_path / "run")
    picture = max((folder / "pictures").glob("*.png"))
    picture.rename(folder / "kept.png")
    picture.symlink_to(folder / "kept.png")
    (tmp_path / "link").symlink_to(folder)
    assert b"data:image/png" in write_report([tmp_path / "link"]).read_bytes()
