"""`compare --watch`: the page of a comparison that is running, and the one that is left when it ends."""

import re
from pathlib import Path

import pytest

import tiny
from chromium import needs_chromium, open_page, reloads
from unmask.comparison import live_page as module
from unmask.comparison.live_page import COST, PACE, LivePage, live_page
from unmask.comparison.run import compare
from unmask.config import ClassifyRecipe, OptimizerConfig
from unmask.report.html import Live
from unmask.report.page import write_live_report, write_report
from unmask.runs.layout import REPORT_FILE
from unmask.runs.read import write_config

CONFIG = tiny.comparison(
    pretrain=tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=4, batch_size=20),
    finetune=ClassifyRecipe(optimizer=OptimizerConfig(steps=2, batch_size=8)),
    arms=("mrp", "scratch_same"),
    given=None,
    keep="none",
    jobs=1,
)
REFRESH = 'http-equiv="refresh"'


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The folder of a comparison of which nothing is finished."""
    write_config(tmp_path / "answer", CONFIG)
    return tmp_path / "answer"


def _text(folder: Path) -> str:
    return (folder / REPORT_FILE).read_text(encoding="utf-8")


def test_a_page_that_is_not_live_has_nothing_of_one_that_is(begun: Path) -> None:
    """Without its three additions the live page is the other one, to the byte."""
    finished = write_report(begun).read_text(encoding="utf-8")
    write_live_report(begun, Live("34%: trials 2 of 4", "08:15:00", 20))
    live = _text(begun)
    assert f'<meta {REFRESH} content="20">' in live
    assert "34%: trials 2 of 4. Written at 08:15:00" in live
    for added in (f"<meta {REFRESH}[^>]*>\n", r"<style>\.live[^\n]*\n", '<p class="live"[^\n]*\n'):
        live, count = re.subn(added, "", live)
        assert count == 1
    assert live == finished


def test_pages_are_written_when_there_is_news_and_the_last_one_is_old(begun: Path) -> None:
    """The first line at once, later ones at the pace; a line that has not changed never."""
    now = 0.0
    page = LivePage(begun, lambda: now)
    page.show("first")
    assert "first" in _text(begun)
    now = PACE - 1
    page.show("second")
    assert "first" in _text(begun)
    now = PACE + 1
    page.show("second")
    assert "second" in _text(begun)
    before = (begun / REPORT_FILE).stat().st_mtime_ns
    now = 10 * PACE
    page.show("second")
    assert (begun / REPORT_FILE).stat().st_mtime_ns == before


def test_a_page_that_takes_long_is_written_less_often(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A twentieth of the time at most; the browser reloads at the same pace."""
    now, written = 0.0, []

    def write(_: Path, live: Live) -> None:
        nonlocal now
        now += 10
        written.append((now, live.seconds))

    monkeypatch.setattr(module, "write_live_report", write)
    page = LivePage(begun, lambda: now)
    for second in range(1000):
        now = max(now, second)
        page.show(str(second))
    assert written == [(10, PACE), (220, 10 * COST), (430, 10 * COST), (640, 10 * COST), (850, 10 * COST)]


def test_a_page_that_cannot_be_written_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is reported once."""
    now = 0.0
    page = LivePage(tmp_path / "nowhere", lambda: now)
    for line in "abc":
        page.show(line)
        now += 2 * PACE
    (said,) = capsys.readouterr().err.splitlines()
    assert "report.html was not updated" in said
    assert "no such folder" in said


def test_a_comparison_that_fails_leaves_a_page_at_rest(begun: Path) -> None:
    """What there is, without the reload; the failure goes on."""
    pages = []

    def fail() -> None:
        with live_page(begun, wanted=True) as listen:
            assert listen is not None
            listen("10%: trials")
            pages.append(_text(begun))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert REFRESH in pages[0]
    assert _text(begun) == write_report(begun).read_text(encoding="utf-8")
    assert REFRESH not in _text(begun)


def test_without_it_nothing_is_written(begun: Path) -> None:
    """The comparison has nobody to tell its lines to."""
    with live_page(begun, wanted=False) as listen:
        assert listen is None
    assert not (begun / REPORT_FILE).exists()


@pytest.mark.slow
def test_a_comparison_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every phase on pages that reload themselves; at the end the page that any comparison leaves."""
    lines: list[str] = []

    def write(folder: Path, live: Live) -> None:
        if live.line.startswith(("0%", "100%")):  # the first and the last are enough
            write_live_report(folder, live)
            assert REFRESH in _text(folder)
        lines.append(live.line)

    monkeypatch.setattr(module, "PACE", 0.0)
    monkeypatch.setattr(module, "COST", 0.0)
    monkeypatch.setattr(module, "write_live_report", write)
    out = compare(CONFIG, tmp_path / "answer", progress=False, watch=True)
    assert [phase for phase in ("pretraining", "tuning", "trials") if any(phase in line for line in lines)] == [
        "pretraining",
        "tuning",
        "trials",
    ]
    assert lines[-1] == "100%: trials 4 of 4"
    left = _text(out)
    assert REFRESH not in left
    assert left == write_report(out).read_text(encoding="utf-8")


@pytest.mark.slow
@needs_chromium
def test_the_page_reloads_itself_and_stays_where_it_is(begun: Path, tmp_path: Path) -> None:
    """In Chromium, under the page's own policy: no message, no request."""
    write_live_report(begun, Live("34%: trials 2 of 4", "08:15:00", 1))
    assert reloads(begun / REPORT_FILE, tmp_path, 300) == [0, 300, 300]
    said, asked = open_page(begun / REPORT_FILE, tmp_path, 1280)
    assert "CONSOLE" not in said
    assert asked == []
