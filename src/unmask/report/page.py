"""Any number of run folders → one HTML file that needs nothing else: no network, no script, no font file."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from unmask.errors import UserError
from unmask.report.audit_story import audit_story
from unmask.report.blocks import Story
from unmask.report.classification import classification_story
from unmask.report.comparison import comparison_story
from unmask.report.html import Live, render_page
from unmask.report.overview import overview
from unmask.report.pretraining import pretraining_story
from unmask.runs.contents import ComparisonRun, PretrainingRun, Run, read_runs
from unmask.runs.files import write_whole
from unmask.runs.layout import AUDIT_FILE, AUDIT_FOLDER, REPORT_FILE


def write_report(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]], out: str | PathLike[str] | None = None
) -> Path:
    """Write the page of one run, or of several side by side.

    Args:
        runs: one or more folders of comparisons, pretrainings or classifications, finished or not.
        out: the file to write. Default: report.html in the first folder.

    Returns:
        The path of the page.

    Raises:
        UserError: no folder is given, or one is not a run.
    """
    folders = [Path(run) for run in ((runs,) if isinstance(runs, str | PathLike) else runs)]
    if not folders:
        raise UserError("report: give at least one run folder")
    path = Path(out) if out is not None else folders[0] / REPORT_FILE
    return write_whole(path, render(read_runs(folders)))


def write_live_report(run: Path, live: Live) -> Path:
    """Write the page of a running run into its folder. Raises what `write_report` raises."""
    return write_whole(run / REPORT_FILE, render(read_runs([run]), live))


def render(runs: Sequence[Run], live: Live | None = None) -> str:
    """The page as HTML."""
    stories = [_story(run) for run in runs]
    title = f"unmask: {runs[0].name}" if len(runs) == 1 else f"unmask: {len(runs)} runs side by side"
    told = [one for run, story in zip(runs, stories, strict=True) for one in (story, _audit(run)) if one is not None]
    return render_page(title, told, overview(runs, stories), live)


def _story(run: Run) -> Story:
    if isinstance(run, ComparisonRun):
        return comparison_story(run)
    return pretraining_story(run) if isinstance(run, PretrainingRun) else classification_story(run)


def _audit(run: Run) -> Story | None:
    """The audit that a comparison made of its own networks."""
    folder = run.folder / AUDIT_FOLDER
    if not isinstance(run, ComparisonRun) or not (folder / AUDIT_FILE).exists():
        return None
    return audit_story(folder, name=f"{run.name}: its networks")
