"""The page on which images are labeled: what it shows, and in real Chromium what keys do and what it saves."""

import base64
import csv
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tiny
from chromium import browse, measure, needs_chromium, open_page
from unmask.choosing.choose_images import choose
from unmask.choosing.label_page import label, picture, render_label_page
from unmask.choosing.record import Choice
from unmask.config import ClassifyConfig, ClassifyRecipe, DataConfig, OptimizerConfig
from unmask.data.check.report import check_data
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.sources.labels import read_labels
from unmask.errors import UserError
from unmask.stages.classify import finetune
from unmask.tasks.multilabel import Multilabel

COUNT = 100
CLASSES = ("cat", "dog", "</script>")
SCRIPT = """
<script>
window.addEventListener("load", async () => {
  const press = (key, more) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...more }));
  const text = (id) => document.getElementById(id).textContent;
  const found = { before: text("status") };
  for (const key of KEYS_TO_PRESS) press(key);
  found.after = text("status");
  found.page = document.documentElement.scrollWidth;
  found.window = window.innerWidth;
  found.buttons = [...document.querySelectorAll("button")].map((one) => one.getBoundingClientRect())
    .filter((box) => box.width && box.right <= window.innerWidth + 1 && box.height >= 43).length;
  const [frame, picture] = ["frame", "picture"].map((id) => document.getElementById(id).getBoundingClientRect());
  found.wide = picture.width;
  found.whole = picture.top >= frame.top && picture.bottom <= frame.bottom && picture.right <= frame.right;
  if (SAVING) press("s", { ctrlKey: true });
  await new Promise((done) => setTimeout(done, 300));
  document.body.setAttribute("data-found", JSON.stringify(found));
});
</script></body>
"""


def entries(count: int) -> list[dict[str, Any]]:
    """Pictures of one pixel."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, format="PNG")
    dot = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return [{"path": f"/x/{i}.png", "name": f"{i}.png", "width": 1, "height": 1, "src": dot} for i in range(count)]


def press(page: Path, folder: Path, keys: list[str], *, save: bool = False) -> dict[str, Any]:
    """Open a page in a browser that keeps what pages store below `folder`, press keys, close it; what was seen."""
    settings = folder / "profile" / "Default" / "Preferences"
    if not settings.exists():
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps({"download": {"default_directory": str(folder / "saved")}}), encoding="utf-8")
    script = SCRIPT.replace("KEYS_TO_PRESS", json.dumps(keys)).replace("SAVING", json.dumps(save))
    text = page.read_text(encoding="utf-8").replace("</body>", script)
    pressed = folder / "pressed.html"
    pressed.write_text(re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", text, count=1), encoding="utf-8")
    printed, _ = browse(pressed, folder, "--window-size=800,900", "--dump-dom", "--virtual-time-budget=4000")
    found = re.search(r'data-found="([^"]*)"', printed)
    assert found is not None
    return dict(json.loads(html.unescape(found.group(1))))


def saved(folder: Path) -> list[dict[str, str]]:
    """The rows of the downloaded labels.csv."""
    (file,) = (folder / "saved").iterdir()
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
@needs_chromium
def test_a_hundred_images_by_keyboard_in_two_sittings(run: Path, tmp_path: Path) -> None:
    """Half of them, the browser closed, the other half: nothing is lost, and the table is fit for fine-tuning."""
    pool = tiny.draw(tmp_path / "pool", *(f"{i:03d}.png" for i in range(120)))
    choose(run, tmp_path / "c", data=str(pool), count=COUNT, progress=False)
    page = label(tmp_path / "c", classes=("cat", "dog")).out
    first = press(page, tmp_path, ["1", "2"] * 25)
    assert first["before"].startswith("Image 1 of 100. 0 answered")
    second = press(page, tmp_path, ["2", "1"] * 25, save=True)
    assert second["before"].startswith("Image 51 of 100. 50 answered")
    assert "100 answered. All are answered" in second["after"]
    with (tmp_path / "c" / "choose.csv").open(newline="", encoding="utf-8") as stream:
        wanted = [row["path"] for row in csv.DictReader(stream)]
    rows = saved(tmp_path)
    assert [row["path"] for row in rows] == wanted
    assert [row["label"] for row in rows] == ["cat", "dog"] * 25 + ["dog", "cat"] * 25
    table = next((tmp_path / "saved").iterdir())
    data = DataConfig(data=str(table), image_size=(16, 16))
    report = check_data(data, progress=False)
    assert report.errors == ()
    assert report.images == 100
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=2, batch_size=8))
    config = ClassifyConfig(data=data, encoder=tiny.RESNET, recipe=recipe, init=str(run))
    assert (finetune(config, tmp_path / "tuned", progress=False) / "result.json").exists()


@pytest.mark.slow
@needs_chromium
def test_undo_skip_none_and_several_labels(tmp_path: Path) -> None:
    """Skipped images stay out of the table, those of no class have none; undo goes back to the image."""
    page = tmp_path / "label.html"
    page.write_text(render_label_page(entries(5), CLASSES, several=True, title="Label"), encoding="utf-8")
    keys = [
        "1",
        "3",
        "Enter",
        " ",
        "0",
        "2",
        "2",
        "Enter",
        "3",
        "Enter",
        "1",
        "Enter",
        "Backspace",
        "Backspace",
        "2",
        "Enter",
    ]
    found = press(page, tmp_path, keys, save=True)
    assert "5 answered" in found["after"]
    expected = [("/x/0.png", "cat;</script>"), ("/x/2.png", ";"), ("/x/3.png", "</script>;"), ("/x/4.png", "dog;")]
    rows = saved(tmp_path)
    assert [(row["path"], row["label"]) for row in rows] == expected
    found = read_labels({"label": [row["label"] for row in rows]}, None, "labels.csv")
    assert found.task == Multilabel(labels=("</script>", "cat", "dog"))
    assert found.values.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1]]


@pytest.mark.slow
@needs_chromium
def test_the_page_asks_for_nothing_and_fits_a_telephone(tmp_path: Path) -> None:
    """Under its own policy: no request, no console message; all buttons are large and within 390 pixels. An image
    is whole until + enlarges it."""
    page = tmp_path / "label.html"
    page.write_text(render_label_page(entries(3), CLASSES, several=False, title="Label"), encoding="utf-8")
    console, requests = open_page(page, tmp_path, 390)
    assert "CONSOLE" not in console
    assert requests in ([], [f"file://{page}"])
    found = measure(page, tmp_path, 390)
    assert found["page"] <= found["width"] == 390
    assert found["clipped"] == 0
    plain = press(page, tmp_path / "a", [])
    assert plain["buttons"] == len(CLASSES) + 8
    larger = press(page, tmp_path / "b", ["+"])
    assert plain["whole"], "an image that fills the width ends below its frame"
    assert not larger["whole"]


def test_what_is_in_the_data_cannot_leave_it() -> None:
    """Names of classes and files that look like markup stay text; the page allows its own script alone."""
    images = [{**one, "name": "</script><script>alert(1)</script>"} for one in entries(1)]
    text = render_label_page(images, CLASSES, several=False, title="<b>{SCRIPT}")
    assert text.count("<script") == 2
    assert "<b>" not in text
    assert "unsafe-inline" not in text
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in text


def choice(kind: Any, value_range: tuple[float, float], *, clipped: bool) -> Choice:
    """A record of a choice whose encoder saw images of one format."""
    seen = ImageFormat((8, 8), 1, kind, value_range, clipped, (0.5,), (0.5,))
    facts: dict[str, Any] = {"run": "r", "data": DataConfig(), "task": None, "classes": (), "strategy": "typical"}
    return Choice(format=seen, model=None, seed=0, pool=1, labeled=0, copies=0, unreadable=0, **facts)


def test_deep_images_are_shown_in_the_window_of_the_run() -> None:
    """12 bits in 16: black to white is the window; without one the image's own range; 8 bits stay as they are."""
    deep = np.arange(4096, dtype=np.uint16).reshape(1, 64, 64)
    windowed = picture(deep, choice("uint16", (1024.0, 3072.0), clipped=True))
    assert windowed.shape == (64, 64, 3)
    assert (windowed[0, 0, 0], windowed[-1, -1, 0]) == (0, 255)
    assert abs(int(windowed[32, 0, 0]) - 127) <= 2
    stretched = picture(deep, choice("uint16", (0.0, 65535.0), clipped=False))
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert abs(int(np.median(stretched)) - 127) <= 2
    plain = np.arange(192, dtype=np.uint8).reshape(3, 8, 8)
    assert np.array_equal(picture(plain, choice("uint8", (0.0, 255.0), clipped=False)), plain.transpose(1, 2, 0))
    large = np.zeros((1, 3000, 1500), np.uint8)
    assert picture(large, choice("uint8", (0.0, 255.0), clipped=False)).shape == (1024, 512, 3)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "classes: two or more are needed, found []; give their names with `classes`"),
        ({"classes": ("a", "a")}, "classes: a name is given twice"),
        ({"classes": "cat"}, "classes = 'cat' is one text: give a list of names"),
        ({"classes": ("a;b", "c"), "several": True}, "'a;b' would be read as several labels"),
        ({"classes": ("a|b", "c")}, "'a|b' would be read as several labels"),
    ],
)
def test_bad_classes(run: Path, photos: Path, tmp_path: Path, settings: dict[str, Any], line: str) -> None:
    """Told in a line."""
    choose(run, tmp_path, data=str(photos), count=2, progress=False)
    with pytest.raises(UserError) as raised:
        label(tmp_path, **settings)
    assert line in str(raised.value)


def test_a_folder_without_a_choice_and_images_that_are_gone(run: Path, tmp_path: Path) -> None:
    """Both in a line; a page is not replaced unasked."""
    with pytest.raises(UserError, match=r"no choose\.csv in it; give the folder that `unmask choose` wrote"):
        label(tmp_path, classes=("a", "b"))
    pool = tiny.draw(tmp_path / "pool", "0.png", "1.png", "2.png")
    choose(run, tmp_path / "c", data=str(pool), count=3, progress=False)
    label(tmp_path / "c", classes=("a", "b"))
    with pytest.raises(UserError, match="exists; `overwrite=True` replaces it"):
        label(tmp_path / "c", classes=("a", "b"))
    (pool / "1.png").unlink()
    with pytest.raises(UserError, match=r"1\.png no longer exists; choose again"):
        label(tmp_path / "c", classes=("a", "b"), overwrite=True)
    Image.new("L", (4, 4)).save(pool / "1.png")
    label(tmp_path / "c", classes=("a", "b"), overwrite=True)
