"""Run files that are JSON: each file of each kind of run, what chooses among them, and the page made of them."""

import json
import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fuzz.changes import altered_json, patched, strict_json
from fuzz.judge import Kind
from scripts import TESTS, load_script
from unmask.config import ClassifyConfig, CompareConfig, PretrainConfig, to_json
from unmask.report.audit_story import AuditReport, audit_story
from unmask.report.page import write_report
from unmask.runs.files import write_json
from unmask.runs.gallery import Gallery
from unmask.runs.kept import choose_network
from unmask.runs.layout import NETWORKS, TRIALS, TUNING
from unmask.runs.look_records import LookRow, LookRows
from unmask.runs.metrics import read_metrics
from unmask.runs.read import FORMAT, read_config_file, read_record
from unmask.runs.records import ClassificationResult, Environment
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import PieceOfWork, StartingWeights, TrialResult, TuningResult, WallTime

SHARES = {"accuracy", "balanced_accuracy", "macro_f1", "auroc", "recall", "precision", "knn_accuracy", "probability"}
SHARES |= {"score", "chance", "majority", "miou", "iou", "dice", "boundary_iou", "pixel_accuracy"}
SHARES |= {"val_accuracy", "trustworthiness", "share", "p", "p_equivalent"}
COUNTS = {"step", "images", "draw", "candidate", "repeat", "trainings", "wrong", "seconds", "wall_seconds", "n"}
COUNTS |= {"labeled_images", "validation_labels", "test_images", "count", "trials", "picture", "truth", "sd"}


def in_range(value: Any, name: str = "") -> bool:
    """Whether shares are shares and counts are counts, in JSON values of records."""
    if isinstance(value, dict):
        return all(in_range(item, key) for key, item in value.items())
    if isinstance(value, list):
        return all(in_range(item, name) for item in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return not isinstance(value, str) or is_text(value)
    if name in SHARES | COUNTS:
        return 0 <= value <= (1 if name in SHARES else 2**53 if isinstance(value, int) else math.inf)
    return isinstance(value, int) or math.isfinite(value)


def is_text(value: str) -> bool:
    """Whether it holds no half of a surrogate pair."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def says(value: Any, content: bytes) -> bool:
    """Whether a record is what the JSON says, and that is possible."""
    try:
        return bool(to_json(value) == strict_json(content)) and in_range(to_json(value))
    except ValueError:
        return False


def config_says(value: Any, content: bytes) -> bool:
    """The same of config.json, which has two more entries."""
    try:
        found = {k: v for k, v in strict_json(content).items() if k not in ("format", "kind")}
    except ValueError:
        return False
    return bool(to_json(value) == found)


def rows_say(value: Any, content: bytes) -> bool:
    """The same of metrics.jsonl, whose last line a kill may have cut."""
    lines = content.split(b"\n")
    try:
        whole = [strict_json(line) for line in lines[:-1]]
    except ValueError:
        return False
    found = [{k: v for k, v in to_json(row).items() if v is not None} for row in value]
    wanted = [{k: v for k, v in row.items() if v is not None} for row in whole]
    if found != wanted and lines[-1]:
        try:
            wanted.append({k: v for k, v in strict_json(lines[-1]).items() if v is not None})
        except (ValueError, AttributeError):
            return False
    return found == wanted and in_range(found)


@cache
def templates() -> Path:
    """Run folders: a comparison, a training, a pretraining and an audit, of made-up numbers."""
    writers, root = load_script(TESTS / "report" / "conftest.py"), Path(tempfile.mkdtemp())
    answer = writers.write_comparison(root / "answer", draws=2, budgets=(10, 50))
    for file in TRIALS.found(answer)[::3]:
        network = NETWORKS.path(answer, file.stem)
        network.parent.mkdir(exist_ok=True)
        network.touch()
    tuned = TuningResult(arm="mrp", budget=10, draw=0, candidate=0, val_score=0.5, seconds=1.0)
    write_json(TUNING.path(answer, "mrp-b10-c0-d0"), tuned)
    done = PieceOfWork(kind="trial", name="mrp-b10-d0-p0", host="north", started=1.8e9, seconds=2.0)
    write_json(answer / WORK_OF_TRIAL, done)
    writers.write_classification(root / "training")
    writers.write_pretraining(root / "pretraining", steps=60)
    writers.write_audit_folder(root / "audit")
    return root


def copied(folder: Path, name: str) -> None:
    """Put a run folder there, once."""
    if not any(folder.iterdir()):
        shutil.copytree(templates() / name, folder, dirs_exist_ok=True)


def content_of(name: str) -> bytes:
    """A file of a template, with fewer rows where it has hundreds."""
    return (templates() / name).read_bytes()


def _lines(content: bytes) -> st.SearchStrategy[bytes]:
    """metrics.jsonl with one line altered, or damaged anywhere."""
    lines = content.split(b"\n")[:4]

    @st.composite
    def one(draw: st.DrawFn) -> bytes:
        at = draw(st.integers(0, len(lines) - 1))
        return b"\n".join([*lines[:at], draw(altered_json(lines[at])), *lines[at + 1 :], b""])

    return one() | patched(b"\n".join([*lines, b""]))


def _looks() -> bytes:
    row = LookRow(draws=3, plan=9, level=0.01, word="continue", needs=6)
    return json.dumps(to_json(LookRows(looks=(row, replace(row, draws=6))))).encode()


def _record(name: str, kind: type[Any], content: Callable[[], bytes]) -> Kind:
    file = name.rpartition(" ")[2]
    return Kind(name, file, lambda: altered_json(content()), partial(read_record, kind), says)


def _config(config: Any, name: str) -> Kind:
    content = {"format": FORMAT, "kind": name, **to_json(config)}
    return Kind(
        f"{name}'s config.json",
        "config.json",
        lambda: altered_json(json.dumps(content).encode()),
        read_config_file,
        config_says,
    )


def _page(path: Path, depth: int = 1) -> str:
    folder = path.parents[depth - 1]
    return write_report([folder], folder.with_name("page.html")).read_text(encoding="utf-8")


def _in_run(name: str, template: str, file: str, read: Callable[[Path], Any], *, named: bool = True) -> Kind:
    """A whole run folder of which one file is altered."""
    depth = len(Path(file).parts)

    def contents() -> st.SearchStrategy[bytes]:
        content = content_of(f"{template}/{file}")
        return _lines(content) if file.endswith("jsonl") else altered_json(content)

    return Kind(
        name,
        f"run/{file}",
        contents,
        read,
        lambda value, content: True,
        lambda folder: _copied_below(folder, template),
        lambda path: ("report", str(path.parents[depth - 1])),
        named,
    )


def _copied_below(folder: Path, template: str) -> None:
    (folder / "run").mkdir(exist_ok=True)
    copied(folder / "run", template)


def _chosen(path: Path) -> Any:
    """The network of a comparison, in words, and that of each arm."""
    folder = next(parent for parent in path.parents if parent.name == "run")
    return str(choose_network(folder)), str(choose_network(folder, "mrp"))


TRIAL = "trials/mrp-b10-d0-p0.json"
WORK_OF_TRIAL = "work/trial-mrp-b10-d0-p0.json"
RECORDS = (
    _config(PretrainConfig(), "pretraining"),
    _config(ClassifyConfig(budget=3), "training from scratch"),
    _config(CompareConfig(), "comparison"),
    _record("environment.json", Environment, lambda: content_of("answer/environment.json")),
    _record("result.json", ClassificationResult, lambda: content_of("training/result.json")),
    _record("trial.json", TrialResult, lambda: content_of(f"answer/{TRIAL}")),
    _record("tuning.json", TuningResult, lambda: content_of("answer/tuning/mrp-b10-c0-d0.json")),
    _record("work.json", PieceOfWork, lambda: content_of(f"answer/{WORK_OF_TRIAL}")),
    _record("wall.json", WallTime, lambda: json.dumps(to_json(WallTime(wall_seconds=1.0))).encode()),
    _record(
        "weights.json", StartingWeights, lambda: json.dumps(to_json(StartingWeights(digests={"given": "0"}))).encode()
    ),
    _record("looks.json", LookRows, _looks),
    _record("summary.json", Summary, lambda: content_of("answer/summary.json")),
    _record("audit.json", AuditReport, lambda: content_of("audit/audit.json")),
    _record("gallery.json", Gallery, lambda: content_of("training/gallery.json")),
    Kind(
        "metrics.jsonl",
        "metrics.jsonl",
        lambda: _lines(content_of("pretraining/metrics.jsonl")) | _lines(content_of("training/metrics.jsonl")),
        lambda path: read_metrics(path.parent),
        rows_say,
    ),
    _in_run("choice of a network, by trial", "answer", TRIAL, _chosen),
    _in_run("choice of a network, by summary.json", "answer", "summary.json", _chosen),
)
PAGES = (
    _in_run("page of a comparison, by trial", "answer", TRIAL, partial(_page, depth=2)),
    _in_run("page of a comparison, by summary.json", "answer", "summary.json", _page),
    _in_run("page of a comparison, by its work", "answer", WORK_OF_TRIAL, partial(_page, depth=2)),
    _in_run("page of a training, by result.json", "training", "result.json", _page),
    _in_run("page of a training, by gallery.json", "training", "gallery.json", _page),
    _in_run("page of a training, by metrics.jsonl", "training", "metrics.jsonl", _page),
    _in_run("page of a pretraining, by metrics.jsonl", "pretraining", "metrics.jsonl", _page),
    _in_run("page of an audit, by audit.json", "audit", "audit.json", lambda path: audit_story(path.parent)),
)
