"""A page in real Chromium: what it says, asks for and looks like.

Our pages have no script and forbid any. To measure one, a copy that allows a script is opened in a frame of the wanted
width (a window cannot be as narrow as a telephone) and tells the page around it what it found.
"""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium: apt-get install chromium")

FLAGS = (
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
_SCRIPT = """
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
function outside(svg) {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((text) => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1 || own.bottom > box.bottom + 1;
  }).length;
}
window.addEventListener("load", () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  all("details").forEach((fold) => { fold.open = true; });
  const texts = all("p, li, td, th, small, caption, figcaption, summary, svg text, svg tspan").filter(shown);
  const stops = all("a[href], summary, [tabindex]");
  const found = {
    width: window.innerWidth,
    page: document.documentElement.scrollWidth,
    smallest: Math.min(...texts.map(size)),
    texts: texts.length,
    stops: stops.length,
    reached: stops.filter((stop) => { stop.focus(); return document.activeElement === stop; }).length,
    wide: all("figure.wide").length,
    scrolling: all("figure.wide .scroll").filter((box) => box.scrollWidth > box.clientWidth + 1).length,
    clipped: all("h1, h2, h3, p, figure, .verdict").filter((element) => shown(element)
      && !element.classList.contains("skip")
      && element.getBoundingClientRect().right > window.innerWidth + 1).length,
    spots: all(".scatter input").length,
    seen: all(".scatter input").filter((spot) => {
      spot.focus();
      const seen = spot.nextElementSibling, box = seen.getBoundingClientRect();
      return document.activeElement === spot && getComputedStyle(seen).opacity === "1"
        && box.left >= 0 && box.right <= window.innerWidth && shown(seen.querySelector(".picture"));
    }).length,
    cut: all("svg").map(outside).reduce((sum, count) => sum + count, 0),
  };
  window.parent.postMessage(JSON.stringify(found), "*");
});
</script></body>
"""
_FRAME = """<!DOCTYPE html><html><body style="margin: 0">
<script>window.addEventListener("message", (event) => document.body.setAttribute("data-found", event.data));</script>
<iframe src="measured.html" style="border: 0; width: WIDTHpx; height: 2000px"></iframe></body></html>
"""


def open_page(page: Path, folder: Path, width: int, *more: str) -> tuple[str, list[str]]:
    """What the console says, and the addresses that the page asked the network for (not those the browser asks for
    itself). `folder` keeps the browser's profile and its picture of the page, page.png."""
    log = folder / "net.json"
    told = (f"--log-net-log={log}", f"--screenshot={folder / 'page.png'}")
    _, console = browse(page, folder, f"--window-size={width},2000", *told, *more)
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    requests = [event["params"] for event in events if "initiator" in event.get("params", {})]
    return console, sorted({r["url"] for r in requests if r["initiator"] != "not an origin"})


def measure(page: Path, folder: Path, width: int) -> dict[str, Any]:
    """Numbers of a page in a frame of `width` pixels, folds open: the page's width, the smallest type, how many texts,
    keyboard stops, stops reached, points of maps (spots), those that show their picture whole when the keyboard is on
    them (seen), wide figures, figures that scroll, elements beyond the right edge (clipped), and texts outside their
    figure (cut)."""
    text = page.read_text(encoding="utf-8").replace("</body>", _SCRIPT)
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    (folder / "measured.html").write_text(text, encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(_FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    text, _ = browse(frame, folder, "--window-size=1400,2000", "--dump-dom", "--virtual-time-budget=5000")
    found = re.search(r'data-found="([^"]*)"', text)
    assert found is not None
    return dict(json.loads(html.unescape(found.group(1))))


def reloads(page: Path, folder: Path, down: int, loads: int = 3) -> list[int]:
    """Where a page that reloads itself stands at each of its first loads; at the first it is scrolled `down`.

    It runs under its own policy but for the script that scrolls and tells.
    """
    assert PROGRAM is not None
    script = """<script>
    addEventListener("load", () => setTimeout(() => {
      console.log(`stands at ${Math.round(scrollY)}.`);
      if (scrollY === 0) { scrollTo({top: DOWN, behavior: "instant"}); }
    }, 100));
    </script></body>"""
    text = page.read_text(encoding="utf-8").replace("</body>", script.replace("DOWN", str(down)))
    copy = folder / "watched.html"
    copy.write_text(text.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'", 1))
    ours = (f"--user-data-dir={folder / 'profile'}", "--remote-debugging-port=0", "--window-size=1280,500")
    found: list[int] = []
    with subprocess.Popen([PROGRAM, *FLAGS, *ours, f"file://{copy}"], stderr=subprocess.PIPE, text=True) as browser:
        watchdog = threading.Timer(120, browser.kill)
        watchdog.start()
        assert browser.stderr is not None
        for line in browser.stderr:
            found += [int(place) for place in re.findall(r"stands at (\d+)\.", line)]
            if len(found) == loads:
                break
        watchdog.cancel()
        browser.kill()
    return found


def download(page: Path, folder: Path, selector: str) -> bytes:
    """What a click on the first element of a CSS selector saves, under the page's own policy but for the script that
    clicks."""
    settings = folder / "profile" / "Default" / "Preferences"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"download": {"default_directory": str(folder / "saved")}}), encoding="utf-8")
    script = f"<script>document.querySelector({json.dumps(selector)}).click()</script></body>"
    text = page.read_text(encoding="utf-8").replace("</body>", script)
    clicked = folder / "clicked.html"
    clicked.write_text(text.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'", 1))
    browse(clicked, folder, "--window-size=1280,2000", "--dump-dom", "--timeout=3000", "--virtual-time-budget=3000")
    (saved,) = (folder / "saved").iterdir()
    return saved.read_bytes()


def browse(page: Path, folder: Path, *more: str) -> tuple[str, str]:
    """What a browser with its profile in `folder` prints, and what its console says.

    On a busy machine it sometimes does not end although it has printed the whole page: it has half a minute to store
    what there is to store.
    """
    assert PROGRAM is not None
    command = [PROGRAM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *more, f"file://{page}"]
    printed, console = folder / "printed.html", folder / "console.txt"
    with printed.open("wb") as out, console.open("wb") as err:
        browser = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True)
    ended = _ends(browser, printed)
    with suppress(ProcessLookupError):  # with its children
        os.killpg(browser.pid, signal.SIGKILL)
    assert browser.wait() == 0 or not ended, console.read_text(encoding="utf-8", errors="replace")
    return printed.read_text(encoding="utf-8"), console.read_text(encoding="utf-8", errors="replace")


def _ends(browser: subprocess.Popen[bytes], printed: Path) -> bool:
    """Whether a browser ends by itself, at the latest half a minute after it has printed a whole page."""
    until = time.monotonic() + 300
    while browser.poll() is None:
        if until - time.monotonic() > 30 and printed.read_bytes().endswith(b"</html>\n"):
            until = time.monotonic() + 30
        if time.monotonic() > until:
            assert printed.stat().st_size, "the browser has printed nothing in five minutes"
            return False
        time.sleep(0.05)
    return True
