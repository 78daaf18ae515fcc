"""`unmask label`: one page for labeling the chosen images, without a server or a network."""

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.choosing.record import CHOICE_TABLE, Choice, read_choice
from unmask.config.metric import label_form
from unmask.data.decoding.decode import decode, quiet
from unmask.data.decoding.image_format import resize, to_channels
from unmask.data.decoding.reading import reading_of
from unmask.errors import UserError
from unmask.runs.files import write_whole
from unmask.wording import first_of, plural, printable

LABEL_PAGE = "label.html"
SIDE = 1024
"""Longest side of a picture on the page; larger images are downscaled."""
LOSSLESS = 200
"""Longest side of pictures that are stored losslessly."""
SEPARATORS = ";|"
"""Separators between the labels of an image that has several; the page writes the first."""
STRETCH = (0.5, 99.5)
"""Percentiles of an image's values shown as black and white, if the run had no window for values beyond 8 bits."""


@dataclass(frozen=True)
class Labeling:
    """What `label` wrote."""

    out: Path
    images: int
    classes: tuple[str, ...]

    def __str__(self) -> str:
        classes = f"{len(self.classes)} classes ({first_of(self.classes)})"
        return f"{self.out}: {plural(self.images, 'image')}, {classes}"


def label(
    folder: str | PathLike[str],
    *,
    classes: Sequence[str] = (),
    several: bool = False,
    out: str | PathLike[str] | None = None,
    overwrite: bool = False,
) -> Labeling:
    """Write a page for labeling the images of a choice with keys; it saves labels.csv, which `unmask` reads.

    Args:
        folder: a folder written by `choose`.
        classes: their names, in the order of the keys 1 to 9 and a to z. Default: those of the run or the data.
        several: an image may have several labels, written as "cat;dog"; always on if data or run are multilabel.
        out: the file to write. Default: label.html in the folder.
        overwrite: replace an existing file.

    Raises:
        UserError: no choice there, one for masks or numbers, an unreadable image, or classes that cannot be told apart.
    """
    folder = Path(folder)
    out = Path(out) if out is not None else folder / LABEL_PAGE
    choice, paths = read_choice(folder)
    form = label_form(choice.task)
    if form in ("mask", "numbers"):
        wanted = "masks" if form == "mask" else "numbers"
        raise UserError(
            f"{folder}: {choice.task} needs {wanted}, and this page gives names: use a tool for {wanted} on the "
            f"images of {CHOICE_TABLE}"
        )
    several = several or form == "names"
    if isinstance(classes, str):
        raise UserError(f"classes = {classes!r} is one text: give a list of names")
    names = _class_names(tuple(classes) or choice.classes)
    if out.exists() and not overwrite:
        raise UserError(f"out: {out} exists; `overwrite=True` replaces it, and keeps the labels stored in the browser")
    with quiet():
        images = [_entry(Path(path), choice) for path in paths]
    text = render_label_page(images, names, several=several, title=f"Label {folder.absolute().name}")
    write_whole(out, text)
    return Labeling(out, len(images), names)


def _class_names(classes: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in classes)
    if len(names) < 2:
        raise UserError(f"classes: two or more are needed, found {list(names)}; give their names with `classes`")
    if len(set(names)) < len(names) or "" in names:
        raise UserError("classes: a name is given twice, or is empty")
    if bad := [name for name in names if set(SEPARATORS) & set(name)]:
        raise UserError(f"classes: {bad[0]!r} would be read as several labels, because ; and | separate them")
    return names


def render_label_page(images: Sequence[dict[str, Any]], classes: Sequence[str], *, several: bool, title: str) -> str:
    """The page as HTML: only its own style and script may run, and only pictures inside it are shown. Images have path,
    name, width, height and src, a data URI."""
    style, script = _part("label.css"), _part("label.js")
    mark = hashlib.sha256(json.dumps([[one["path"] for one in images], list(classes), several]).encode())
    data = {"id": mark.hexdigest()[:16], "classes": list(classes), "several": several, "images": list(images)}
    values = {
        "STYLE_HASH": _hash(style),
        "SCRIPT_HASH": _hash(script),
        "TITLE": escape(title).replace("{", "&#123;"),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": json.dumps(data).replace("<", "\\u003c"),
    }
    text = _part("label.html")
    for name, value in values.items():
        before, _, after = text.partition(f"{{{name}}}")
        text = before + value + after
    return text


def _part(name: str) -> str:
    return files("unmask.choosing").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _entry(path: Path, choice: Choice) -> dict[str, Any]:
    """An image on the page."""
    shown = picture(decode(path, reading_of(choice.data)), choice)
    height, width = shown.shape[:2]
    buffer = io.BytesIO()
    if max(height, width) <= LOSSLESS:
        Image.fromarray(shown).save(buffer, format="PNG")
        kind = "png"
    else:
        Image.fromarray(shown).save(buffer, format="JPEG", quality=88)
        kind = "jpeg"
    src = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return {"path": str(path), "name": printable(path.name), "width": width, "height": height, "src": src}


def picture(stored: NDArray[np.generic], choice: Choice) -> NDArray[np.uint8]:
    """A stored image (C, H, W) as a person sees it, RGB (H, W, 3): in the window of the run.

    Values of more than 8 bits without a window are stretched between their own 0.5 and 99.5 %. With other than one or
    three channels the first is shown, in gray.
    """
    import torch

    values = torch.from_numpy(np.ascontiguousarray(stored).astype(np.float32))
    values = to_channels(values if len(values) in (1, 3) else values[:1], 3)
    scale = min(1.0, SIDE / max(values.shape[1:]))
    if scale < 1:
        values = resize(values, (max(1, round(scale * values.shape[1])), max(1, round(scale * values.shape[2]))))
    low, high = _window(stored, choice)
    shown = ((values - low) / max(high - low, 1e-12)).nan_to_num(0.0).clamp(0, 1)
    return (255 * shown).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def _window(stored: NDArray[np.generic], choice: Choice) -> tuple[float, float]:
    """The stored values shown as black and white."""
    if choice.format.clipped and stored.dtype.kind == "u" and choice.format.kind != "float32":
        unit = (255 if stored.dtype.itemsize == 1 else 65535) / (255 if choice.format.kind == "uint8" else 65535)
        return choice.format.value_range[0] * unit, choice.format.value_range[1] * unit
    if choice.format.clipped:
        return choice.format.value_range
    if stored.dtype == np.uint8:
        return 0.0, 255.0
    low, high = np.nanpercentile(stored.astype(np.float32), STRETCH)
    return float(low), float(high)
