"""Records of a run: to JSON and back, and every altered file is one line or is read as it is written."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from record_values import altered, values_of
from unmask.config import ClassifyConfig, CompareConfig, PretrainConfig, from_json, to_json
from unmask.errors import UserError
from unmask.inference.summary import summarize
from unmask.inference.table import scores_of
from unmask.report.audit_story import AuditReport
from unmask.report.blocks import Plate, Section, Table
from unmask.runs.environment import describe_environment
from unmask.runs.files import read_json, write_json
from unmask.runs.metrics import TrainingRow, ValidationRow, append_metrics, read_metrics
from unmask.runs.read import FORMAT, read_config, read_record, write_config
from unmask.runs.records import AuditDifference, ClassificationResult, DataFacts, Environment, Interval
from unmask.runs.scores import ClassificationScores, ClassScores
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import PieceOfWork, StartingWeights, TrialResult, TuningResult, WallTime

RECORDS = (
    *(
        Environment,
        ClassificationResult,
        TrainingRow,
        ValidationRow,
        TrialResult,
        TuningResult,
        PieceOfWork,
        StartingWeights,
        WallTime,
    ),
    Summary,
)
SCORES = ClassificationScores(
    accuracy=0.5,
    balanced_accuracy=0.5,
    macro_f1=1 / 3,
    auroc=None,
    per_class=(ClassScores(name="a", recall=1.0, precision=0.5, images=1),),
    confusion=((0, 0, 1),),
)
TRIALS = [
    TrialResult(
        arm=arm,
        budget=3,
        draw=draw,
        pretraining=0 if arm == "mrp" else None,
        metrics={split: replace(SCORES, accuracy=0.5 + 0.1 * draw) for split in ("val", "test")},
        labeled_images=6,
        seconds=2.0,
        history=(TrainingRow(step=1, loss=0.5, phase="all"),),
        probe_strength=None,
    )
    for arm in ("mrp", "scratch_same")
    for draw in range(2)
]
EXAMPLES = {
    "environment.json": describe_environment(data=DataFacts(fingerprint="f"), notes=("one",), steps=3),
    "result.json": ClassificationResult(
        metrics={"test": SCORES}, seconds=1.5, labeled_images=9, validation_labels=3, notes=()
    ),
    "trial.json": TRIALS[0],
    "tuning.json": TuningResult(arm="mrp", budget=10, draw=0, candidate=0, val_score=0.5, seconds=1.0),
    "work.json": PieceOfWork(kind="trial", name="mrp-b10-d0-p0", host="north", started=1.8e9, seconds=2.0),
    "weights.json": StartingWeights(digests={"given": "0f"}),
    "wall.json": WallTime(wall_seconds=1.0),
    "summary.json": summarize(
        CompareConfig(arms=("mrp", "scratch_same"), budgets=(3,)),
        [score for trial in TRIALS for score in scores_of(trial)],
        ensembles={("mrp", 3, "test"): 0.5},
        notes=["one"],
    ),
    "audit.json": AuditReport(
        models={"a": {"health": {"stages": {}}}},
        differences=(AuditDifference.of("views", "a", "b", Interval(0.5, None, None, 1, "single")),),
        setting={"health": {"images": 9}},
        page=(
            Section("Health", plates=[Plate(Path("x.svg"), "alt", "caption")], tables=[Table("t", ("a",), [("1",)])]),
        ),
    ),
}
STEADY = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_record_has_an_inverse(kind: type[Any], data: st.DataObject) -> None:
    """Through real JSON text."""
    record = data.draw(values_of(kind))
    assert from_json(kind, json.loads(json.dumps(to_json(record)))) == record


@pytest.mark.parametrize("name", EXAMPLES)
@given(data=st.data())
@STEADY
def test_an_altered_file_is_one_line_or_read_as_it_stands(name: str, data: st.DataObject, tmp_path: Path) -> None:
    """The line begins with the file; nothing is read as something else, nothing missing as a default."""
    file = tmp_path / name
    write_json(file, EXAMPLES[name])
    changed = data.draw(altered(read_json(file)))
    write_json(file, changed)
    try:
        found = read_record(type(EXAMPLES[name]), file)
    except UserError as error:
        assert str(error).startswith(f"{file}: ")  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert to_json(found) == changed


@pytest.mark.parametrize(
    "config", [PretrainConfig(), ClassifyConfig(budget=3), ClassifyConfig(init="p"), CompareConfig()]
)
@given(data=st.data())
@STEADY
def test_an_altered_configuration_likewise(config: Any, data: st.DataObject, tmp_path: Path) -> None:
    """What is read has exactly the fields and values of the file."""
    write_config(tmp_path, config)
    file = tmp_path / "config.json"
    changed = data.draw(altered(read_json(file)))
    write_json(file, changed)
    try:
        found = read_config(tmp_path)
    except UserError as error:
        assert str(error).startswith(f"{file}: ")  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert to_json(found) == {name: value for name, value in changed.items() if name not in ("format", "kind")}


@given(
    line=st.dictionaries(
        st.sampled_from(["kind", "step", "loss", "x"]), st.none() | st.integers() | st.text() | st.floats()
    )
)
@example(line={"kind": "train", "step": 3, "loss": math.nan})
@STEADY
def test_an_altered_line_of_the_metrics_names_its_number(line: dict[str, Any], tmp_path: Path) -> None:
    """Between two good lines."""
    file = tmp_path / "metrics.jsonl"
    good = TrainingRow(step=1, loss=0.5)
    file.unlink(missing_ok=True)
    append_metrics(tmp_path, good)
    with file.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    append_metrics(tmp_path, good)
    try:
        rows = read_metrics(tmp_path)
    except UserError as error:
        assert str(error).startswith(f"{file}: line 2: ")  # noqa: PT017
    else:
        assert rows == [good, TrainingRow(**line), good]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"metrics": {}, "seconds": "1"}, "seconds: expected a finite number, found '1'"),
        ({"seconds": math.nan}, "seconds: expected a finite number, found nan"),
        ({"notes": None}, "notes: expected a list, found None"),
        (
            {"note": []},
            "unknown field 'note'; the fields are labeled_images, metrics, notes, seconds, validation_labels",
        ),
        ({"metrics": {"test": {}}}, "metrics.test: the field 'accuracy' is missing"),
        (
            {"metrics": {"test": to_json(SCORES) | {"per_class": [{"name": 3}]}}},
            "metrics.test.per_class[0].name: expected text, found 3",
        ),
    ],
)
def test_the_line_names_file_and_field(change: dict[str, Any], line: str, tmp_path: Path) -> None:
    """Of a result; the value too."""
    file = tmp_path / "result.json"
    write_json(file, to_json(EXAMPLES["result.json"]) | change)
    with pytest.raises(UserError) as error:
        read_record(ClassificationResult, file)
    assert str(error.value) == f"{file}: {line}"


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (None, "an earlier version of unmask (format 1,"),
        (FORMAT + 1, f"a newer version of unmask (format {FORMAT + 1},"),
    ],
)
def test_a_run_of_another_format_is_said(found: int | None, line: str, tmp_path: Path) -> None:
    """Before its fields are looked at, which may be other ones."""
    values = {"format": found, "kind": "another", "data": {}, "seed": 0, "unheard_of": 1}
    write_json(tmp_path / "config.json", {name: value for name, value in values.items() if value is not None})
    with pytest.raises(UserError) as error:
        read_config(tmp_path)
    assert f"was written by {line} this version reads {FORMAT})" in str(error.value)


def test_a_configuration_of_another_kind_than_it_says(tmp_path: Path) -> None:
    """A fine-tuning starts from weights."""
    write_config(tmp_path, ClassifyConfig(init="p"))
    file = tmp_path / "config.json"
    write_json(file, read_json(file) | {"init": None})
    with pytest.raises(UserError, match="the configuration is of a training from scratch, not of a fine-tuning"):
        read_config(tmp_path)


def test_a_line_has_the_fields_that_are_known(tmp_path: Path) -> None:
    """Others are left out, not null."""
    append_metrics(tmp_path, TrainingRow(step=1, loss=0.5))
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "loss": 0.5, "kind": "train"}
    assert read_metrics(tmp_path) == [TrainingRow(step=1, loss=0.5)]
