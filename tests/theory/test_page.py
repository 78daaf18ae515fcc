"""The page of the laboratory: everything promised stands on it, and in Chromium it is legible, silent and alone."""

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from chromium import measure, needs_chromium, open_page
from unmask.cli.main import main
from unmask.report.theory.findings import Findings, gather, plan
from unmask.report.theory.page import CLAIMS, TITLES, letters, page
from unmask.theory.presets import paper_small
from unmask.theory.setting import Setting
from unmask.theory.verdict import tally

SWEEPS = [
    ("phases", ("mask_ratio=0.1,0.55,0.8", "teacher_scale=1.4")),
    ("capture", ()),
    ("purity", ("kernels_per_class=6",)),
    ("correlations", ()),
    ("learners", ("labeled_single_share=0.2",)),
    ("learners", ("labels_per_class=2",)),
    ("downstream", ("task_classes=2",)),
    ("downstream", ("missing=2",)),
]
"""Those of the page, with fewer points."""


def names(sweeps: list[tuple[str, tuple[str, ...]]]) -> list[tuple[str, str]]:
    return [(measure, axes[0].split("=")[0] if axes else "") for measure, axes in sweeps]


@pytest.fixture(scope="module")
def found(tiny: Setting) -> Findings:
    with pytest.MonkeyPatch.context() as patch:  # they have settings and tests of their own
        patch.setattr("unmask.theory.verify.objective_checks", lambda seed: [])
        patch.setattr("unmask.theory.verify.learner_checks", lambda seed: [])
        told: list[tuple[int, int]] = []
        patch.setattr("unmask.report.theory.findings.plan", lambda setting: SWEEPS)
        small = replace(tiny, samples=80, labeled=80)
        one = gather(small, 1, told=lambda done, total: told.append((done, total)))
        assert len({total for _, total in told}) == 1, "one progress over all"
        assert told[-1][0] == told[-1][1]
        return one


@pytest.fixture(scope="module")
def written(found: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "theory.html"
    path.write_text(page("tiny", 1, found), encoding="utf-8")
    return path


@pytest.mark.slow
def test_every_promised_figure_and_every_verdict_stands_on_the_page(found: Findings, written: Path) -> None:
    text = html.unescape(written.read_text(encoding="utf-8"))
    assert names(SWEEPS) == names(plan(paper_small())) == list(TITLES)
    for title, intro in TITLES.values():
        assert title in text
        assert intro in text
    assert text.count("<figure>") == text.count('role="img"') == 4 + 4 + 1 + 3 + 3 + 4 + 3 + 3 + 4 + 4
    assert CLAIMS in text
    assert len(found.verdicts) > 30
    for verdict in found.verdicts:
        row = text[text.index(verdict.claim) :]
        row = row[: row.index("</tr>")]
        assert {"holds": "✓ holds", "fails": "✗ fails"}.get(verdict.outcome, verdict.outcome) in row
        assert verdict.source in row
        assert f"{verdict.measured:.4g}" in row
    assert tally(found.verdicts) in text
    assert "<script" not in text
    assert "$" not in text, "mathematics that nobody draws"
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)


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


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_text_is_legible_and_nothing_is_cut_off(written: Path, tmp_path: Path, width: int) -> None:
    seen = measure(written, tmp_path, width)
    assert seen["page"] <= width
    assert seen["clipped"] == 0
    assert seen["cut"] == 0
    assert seen["texts"] > 400
    assert seen["smallest"] >= 8.9


@pytest.mark.slow
@needs_chromium
def test_no_console_message_and_no_request(written: Path, tmp_path: Path) -> None:
    said, asked = open_page(written, tmp_path, 1280)
    assert "CONSOLE" not in said
    assert asked == []
