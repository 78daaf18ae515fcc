"""The page in real Chromium: no console message, no request, legible on a desk and on a telephone, reachable by keys.

The page itself has no script and forbids any. To measure it, a copy that allows one is opened in a frame of the wanted
width (a window cannot be as narrow as a telephone), and tells the page around it what it found.
"""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unmask.report.page import write_report

pytestmark = pytest.mark.browser
Writer = Callable[..., Path]

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # Nothing the browser itself wants to fetch gets through either.
    "--hide-scrollbars",
    "--enable-logging=stderr",
)

_MEASURE = """
<script>
function size(element) {
  const own = parseFloat(getComputedStyle(element).fontSize);
  const matrix = element.getScreenCTM && element.getScreenCTM();
  return matrix ? own * Math.hypot(matrix.a, matrix.b) : own;
}
function shown(element) {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.height > 0;
}
window.addEventListener("load", () => {
  document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
  const texts = [...document.querySelectorAll("p, li, td, th, caption, figcaption, summary, svg text, svg tspan")];
  const stops = [...document.querySelectorAll("a[href], summary, [tabindex]")];
  const found = {
    width: window.innerWidth,
    page: document.documentElement.scrollWidth,
    smallest: Math.min(...texts.filter(shown).map(size)),
    texts: texts.filter(shown).length,
    stops: stops.length,
    wide: document.querySelectorAll("figure.wide").length,
    scrolling: [...document.querySelectorAll("figure.wide .scroll")].filter(
      (box) => box.scrollWidth > box.clientWidth + 1).length,
    reached: stops.filter((stop) => { stop.focus(); return document.activeElement === stop; }).length,
    clipped: [...document.querySelectorAll("h1, h2, h3, p, figure, .verdict")].filter(
      (element) => shown(element) && !element.classList.contains("skip")
        && element.getBoundingClientRect().right > window.innerWidth + 1).length,
  };
  window.parent.postMessage(JSON.stringify(found), "*");
});
</script></body>
"""
_FRAME = """<!DOCTYPE html><html><body style="margin: 0">
<script>window.addEventListener("message", (event) => document.body.setAttribute("data-found", event.data));</script>
<iframe src="measured.html" style="border: 0; width: WIDTHpx; height: 2000px"></iframe></body></html>
"""


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory,
    comparison_folder: Writer,
    pretraining_folder: Writer,
    classification_folder: Writer,
    audit_folder: Writer,
) -> Path:
    """A page with every kind of section on it, an audit's among them."""
    base = tmp_path_factory.mktemp("browser")
    audit_folder(base / "answer" / "audit")
    folders = [
        comparison_folder(base / "answer"),
        pretraining_folder(base / "pretraining"),
        classification_folder(base / "finetuned", init="runs/pretraining"),
    ]
    return write_report(folders, base / "report.html")


def _chromium(page: Path, folder: Path, width: int, *more: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program is not None, "no chromium: apt-get install chromium, or leave these tests out with -m 'not browser'"
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [program, *_FLAGS, profile, f"--window-size={width},2000", *more, f"file://{page}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def _asked(log: Path) -> list[str]:
    """Addresses that pages asked the network for; what the browser asks for itself has no origin as its initiator."""
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    requests = [event["params"] for event in events if "initiator" in event.get("params", {})]
    return sorted({request["url"] for request in requests if request["initiator"] != "not an origin"})


def _measure(page: Path, folder: Path, width: int) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8").replace("</body>", _MEASURE)
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    (folder / "measured.html").write_text(text, encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(_FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    text = _chromium(frame, folder, 1400, "--dump-dom", "--virtual-time-budget=5000").stdout
    found = re.search(r'data-found="([^"]*)"', text)
    assert found is not None
    return dict(json.loads(html.unescape(found.group(1))))


@pytest.mark.parametrize("width", [1280, 390])
def test_text_is_legible_and_nothing_is_cut_off(page: Path, tmp_path: Path, width: int) -> None:
    found = _measure(page, tmp_path, width)
    assert found["width"] == width
    assert found["page"] <= width
    assert found["clipped"] == 0
    assert found["texts"] > 300
    assert found["smallest"] >= 8.9
    assert found["wide"] >= 3  # Drawn for more than a column: whole on a desk, and on a telephone they scroll inside.
    assert found["scrolling"] == (0 if width == 1280 else found["wide"])


def test_every_stop_is_reached_by_keyboard(page: Path, tmp_path: Path) -> None:
    found = _measure(page, tmp_path, 1280)
    assert found["stops"] > 20
    assert found["reached"] == found["stops"]


def test_no_console_message_and_no_request(page: Path, tmp_path: Path) -> None:
    log, picture = tmp_path / "net.json", tmp_path / "page.png"
    done = _chromium(page, tmp_path, 1280, f"--log-net-log={log}", f"--screenshot={picture}")
    assert "CONSOLE" not in done.stderr
    assert _asked(log) == []
    colours = Image.open(picture).convert("RGB").getcolors(1 << 24)
    assert colours is not None
    assert len(colours) > 500


def test_the_checks_above_can_fail(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!DOCTYPE html><html><body><p style='font-size: 5px; width: 3000px'>x</p>"
        "<script>console.error('noticed')</script><img alt='x' src='http://127.0.0.1:9/x.png'></body></html>"
    )
    log = tmp_path / "net.json"
    done = _chromium(bad, tmp_path, 1280, f"--log-net-log={log}", f"--screenshot={tmp_path / 'page.png'}")
    assert "CONSOLE" in done.stderr
    assert _asked(log) == ["http://127.0.0.1:9/x.png"]
    found = _measure(bad, tmp_path, 390)
    assert found["page"] > 390
    assert found["clipped"] == 1
    assert found["smallest"] == 5
