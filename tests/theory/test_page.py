"""The page of the laboratory: everything promised stands on it, and in Chromium it is legible, silent and alone."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unmask.cli import main
from unmask.report.theory import Findings, gather, plan
from unmask.report.theory_page import TITLES, letters, page, tally
from unmask.theory.presets import paper_small
from unmask.theory.setting import Setting
from unmask.theory.verdict import Verdict

SWEEPS = [
    ("phases", ("mask_ratio=0.1,0.55,0.8", "teacher_scale=1.4")),
    ("capture", ()),
    ("purity", ("kernels_per_class=6",)),
    ("correlations", ()),
    ("learners", ("labelled_single_share=0.2",)),
    ("learners", ("labels_per_class=2",)),
    ("downstream", ("task_classes=2",)),
    ("downstream", ("missing=2",)),
]
"""Those of the page, with fewer points."""


def names(sweeps: list[tuple[str, tuple[str, ...]]]) -> list[tuple[str, str]]:
    return [(measure, axes[0].split("=")[0] if axes else "") for measure, axes in sweeps]


@pytest.fixture(scope="module")
def found(tiny: Setting) -> Findings:
    return gather(replace(tiny, samples=80, labelled=80), 1, sweeps=SWEEPS)


@pytest.fixture(scope="module")
def written(found: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "theory.html"
    path.write_text(page("tiny", 1, found), encoding="utf-8")
    return path


def test_every_promised_figure_and_every_verdict_stands_on_the_page(found: Findings, written: Path) -> None:
    text = html.unescape(written.read_text(encoding="utf-8"))
    assert names(SWEEPS) == names(plan(paper_small())) == list(TITLES)
    for title, intro in TITLES.values():
        assert title in text
        assert intro in text
    assert text.count("<figure>") == text.count('role="img"') == 4 + 1 + 3 + 3 + 4 + 3 + 3 + 4 + 4
    assert len(found.verdicts) == 27
    for verdict in found.verdicts:
        row = text[text.index(verdict.claim) :]
        row = row[: row.index("</tr>")]
        assert ("✓ holds" if verdict.holds else "✗ fails") in row
        assert f"{verdict.measured:.4g}" in row
    assert tally(found.verdicts) in text
    assert "<script" not in text
    assert "$" not in text, "mathematics that nobody draws"
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)


def test_the_tally_counts_what_holds() -> None:
    good, bad = (
        Verdict(claim="c", kind="paper", measured=m, predicted=1.0, low=0.9, high=1.1, n=1) for m in (1.0, 2.0)
    )
    assert tally([good, good, bad]) == "Claims that hold here: 0 of 0 proven, 2 of 3 paper, 0 of 0 ours."


def test_letters_are_those_of_the_setting() -> None:
    values = {row[0]: row[2] for row in letters(paper_small()).rows}
    assert values["m, K"] == "16, 160"
    assert values["τ, b, 1 - θ"] == "1.4, 2, 0.1"
    assert values["B"] == "2.222"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--seeds", "0"], "seeds = 0"), (["--preset", "x"], "preset = 'x'"), (["--out", "."], "is a folder")],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["theory", "report", *arguments])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert said in told


_MEASURE = """
<script>
const shown = (e) => { const b = e.getBoundingClientRect(); return b.width > 0 && b.height > 0; };
const size = (e) => {
  const m = e.getScreenCTM && e.getScreenCTM();
  return parseFloat(getComputedStyle(e).fontSize) * (m ? Math.hypot(m.a, m.b) : 1);
};
window.addEventListener("load", () => {
  const texts = [...document.querySelectorAll("p, th, td, small, figcaption, svg text")].filter(shown);
  window.parent.postMessage(JSON.stringify({
    page: document.documentElement.scrollWidth,
    smallest: Math.min(...texts.map(size)),
    texts: texts.length,
    wide: [...document.querySelectorAll("h1, h2, h3, p, figure")].filter(
      (e) => shown(e) && e.getBoundingClientRect().right > window.innerWidth + 1).length,
    cut: [...document.querySelectorAll("svg")].map((s) => [s.getBoundingClientRect(), [...s.querySelectorAll("text")]])
      .flatMap(([box, all]) => all.filter((t) => { const b = t.getBoundingClientRect();
        return b.left < box.left - 1 || b.right > box.right + 1 || b.bottom > box.bottom + 1; })).length,
  }), "*");
});
</script></body>
"""
_FRAME = """<!DOCTYPE html><html><body style="margin: 0">
<script>window.addEventListener("message", (event) => document.body.setAttribute("data-found", event.data));</script>
<iframe src="measured.html" style="border: 0; width: WIDTHpx; height: 2000px"></iframe></body></html>
"""


def chromium(path: Path, folder: Path, width: int, *more: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program is not None, "no chromium: apt-get install chromium, or leave these tests out with -m 'not browser'"
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
    more = (*more, "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--hide-scrollbars")
    command = [program, *flags, *more, "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}"]
    command += [f"--window-size={width},2000", f"file://{path}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def measure(path: Path, folder: Path, width: int) -> dict[str, Any]:
    """What a copy that allows a script finds out about itself in a frame of so many pixels."""
    text = path.read_text(encoding="utf-8").replace("</body>", _MEASURE)
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    (folder / "measured.html").write_text(text, encoding="utf-8")
    (folder / "frame.html").write_text(_FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    told = chromium(folder / "frame.html", folder, 1400, "--dump-dom", "--virtual-time-budget=5000").stdout
    answer = re.search(r'data-found="([^"]*)"', told)
    assert answer is not None
    return dict(json.loads(html.unescape(answer.group(1))))


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_text_is_legible_and_nothing_is_cut_off(written: Path, tmp_path: Path, width: int) -> None:
    seen = measure(written, tmp_path, width)
    assert seen["page"] <= width
    assert seen["wide"] == 0
    assert seen["cut"] == 0
    assert seen["texts"] > 400
    assert seen["smallest"] >= 8.9


@pytest.mark.browser
def test_no_console_message_and_no_request(written: Path, tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    done = chromium(written, tmp_path, 1280, f"--log-net-log={log}", f"--screenshot={tmp_path / 'page.png'}")
    assert "CONSOLE" not in done.stderr
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    asked = [event["params"] for event in events if "initiator" in event.get("params", {})]
    assert [one["url"] for one in asked if one["initiator"] != "not an origin"] == []


@pytest.mark.browser
def test_the_checks_above_can_fail(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!DOCTYPE html><html><body><p style='font-size: 5px; width: 3000px'>x</p><svg width='50' height='20'>"
        "<text x='40' y='15'>far too long</text></svg><script>console.error('noticed')</script></body></html>"
    )
    seen = measure(bad, tmp_path, 390)
    assert (seen["wide"], seen["cut"], seen["smallest"]) == (1, 1, 5)
    assert seen["page"] > 390
    assert "CONSOLE" in chromium(bad, tmp_path, 1280, f"--screenshot={tmp_path / 'page.png'}").stderr
