"""The Python functions: defaults as on the command line, settings by name, results as objects and as paths."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import unmask
from record_values import values_of
from unmask import api
from unmask.cli.main import parse
from unmask.config import AuditConfig, ClassifyConfig, CompareConfig, DataConfig, MaskConfig, PretrainConfig
from unmask.config.names import change, names_of
from unmask.errors import UserError
from unmask.recipes import small_cnn
from unmask.runs.files import write_json
from unmask.runs.read import write_config
from unmask.runs.summary_records import Summary

TINY: dict[str, Any] = {
    "options": {"images": 60, "val_images": 30, "test_images": 30, "classes": 3, "size": 16, "part_size": 4},
    "encoder_options": {"width": 8, "patch": 4, "stride": 2},
    "steps": 3,
    "batch_size": 8,
    "progress": False,
}


@pytest.mark.slow
def test_names_are_shown_and_nothing_heavy_is_imported_for_them() -> None:
    """Tab completion works at once, and recipes, configurations and the theory are reachable without an import."""
    code = (
        "import sys, unmask\n"
        "assert set(dir(unmask)) == {*unmask.__all__, '__version__'}, dir(unmask)\n"
        "assert set(dir(unmask.theory)) == set(unmask.theory.__all__)\n"
        "assert unmask.recipe('small-cnn') == unmask.recipes.small_cnn()\n"
        "assert unmask.config.MaskConfig().cell is None\n"
        "assert 'torch' not in sys.modules\n"
        "for package in (unmask, unmask.theory):\n"
        "    assert all(getattr(package, name) is not None for name in dir(package))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    with pytest.raises(AttributeError, match="'unmask' has no attribute 'pretrian'"):
        unmask.pretrian  # type: ignore[attr-defined]  # noqa: B018


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configurations that the functions hand on, none of which is carried out."""
    found: list[Any] = []

    def keep(config: Any, out: Path, **_: Any) -> Path:
        found.append(config)
        return out

    monkeypatch.setattr(api, "run_pretraining", keep)
    monkeypatch.setattr(api, "run_comparison", keep)
    monkeypatch.setattr(api.classify, "finetune", keep)
    monkeypatch.setattr(api.classify, "scratch", keep)
    return found


@pytest.mark.slow
def test_defaults_are_those_of_the_command_line(asked: list[Any], tmp_path: Path) -> None:
    """For every kind of run: of the data's recipe, of another one, with another encoder, from a run, with settings."""
    write_config(tmp_path, PretrainConfig(data=DataConfig(data="digits", image_size=(24, 24))))
    start = str(tmp_path)
    unmask.pretrain("digits", "x")
    unmask.pretrain("digits", "x", recipe="mae-vit-small", lr=1e-4, image_size=[48, 48])
    unmask.pretrain("multiview", "x", encoder="resnet18", seed=3)
    unmask.finetune("digits", "x", init=tmp_path, budget=5)
    unmask.finetune("digits", "x", init=unmask.Pretraining(tmp_path))
    unmask.scratch("digits", "x", steps=7)
    unmask.compare("digits", "x", budgets=(5,), pretrain={"lr": 1e-4, "steps": 2}, finetune={"lr": 1e-3})
    unmask.compare("digits", "x", pretrained=(tmp_path,))
    words = [
        "pretrain --data digits",
        "pretrain --data digits --recipe mae-vit-small --lr 1e-4 --image-size 48 48",
        "pretrain --encoder resnet18 --seed 3",
        f"finetune --data digits --init {start} --budget 5",
        f"finetune --data digits --init {start}",
        "scratch --data digits --steps 7",
        "compare --data digits --budgets 5 --pretrain.lr 1e-4 --pretrain.steps 2 --finetune.lr 1e-3",
        f"compare --data digits --pretrained {start}",
    ]
    assert asked == [parse([*line.split(), "--out", "x"]).config for line in words]


def test_a_configuration_is_taken_as_it_is_and_may_be_varied(asked: list[Any]) -> None:
    """No recipe touches it; settings change what they name and nothing else."""
    config = PretrainConfig(data=DataConfig(data="digits", image_size=(16, 16)), seed=4)
    unmask.pretrain(config, "x")
    unmask.pretrain(config, "x", mask=MaskConfig(cell=4), lr=0.5)
    assert asked[0] == config
    assert asked[1] == change(config, {"cell": 4, "lr": 0.5})
    assert (asked[1].recipe.mask.cell, asked[1].recipe.optimizer.lr, asked[1].seed) == (4, 0.5, 4)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"stepz": 3}, "'stepz' is not a field of PretrainConfig; perhaps you meant steps"),
        ({"finetune": {"lr": 1}}, "'finetune' is not a field of PretrainConfig"),
        ({"lr": "fast"}, "lr: expected a finite number, found 'fast'"),
        ({"mask_ratio": 1.5}, "mask_ratio = 1.5 is out of range"),
        ({"recipe": "best"}, "recipe: 'best' is unknown"),
        ({"data": PretrainConfig(), "recipe": "small-cnn"}, "recipe: 'small-cnn' was given with"),
        ({"data": CompareConfig()}, "data: expected a path, a name, or a PretrainConfig, found a CompareConfig"),
    ],
)
def test_mistakes_are_one_line(arguments: dict[str, Any], line: str, tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(UserError, match=line):
        unmask.pretrain(**{"data": "digits", "out": tmp_path / "run", **arguments})
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"perhaps you meant pretrain\.lr or finetune\.lr"):
        unmask.compare("digits", tmp_path / "run", lr=1e-3)


def test_every_name_can_be_changed() -> None:
    """`change` finds the field of each name: to its own value, every configuration stays what it is."""
    for config in (PretrainConfig(), ClassifyConfig(init="x"), CompareConfig()):
        names = [name for name in names_of(type(config)) if "." not in name]
        assert len(names) == len(set(names)) > 15
        for name in names:
            assert change(config, {name: _value(config, name)}) == config
    assert change(CompareConfig(), {"scratch_candidates": small_cnn().scratch_candidates}) != CompareConfig()
    assert "pretrain.lr" in set(names_of(CompareConfig))
    assert "lr" not in set(names_of(CompareConfig))


def _value(config: Any, name: str) -> Any:
    """The value of the innermost field of a name."""
    for inner in vars(config).values():
        if hasattr(inner, "__dataclass_fields__") and name in set(names_of(type(inner))):
            return _value(inner, name)
    return getattr(config, name)


@pytest.mark.slow
def test_results_tell_what_a_run_found_and_are_paths(tmp_path: Path) -> None:
    """From pretraining to predictions without a file name or a JSON key."""
    run = unmask.pretrain("multiview", str(tmp_path / "p"), **TINY)
    assert os.fspath(run) == str(run) == str(tmp_path / "p")
    assert run.config.recipe.optimizer.steps == 3
    assert [row.step for row in run.metrics if row.kind == "train"] == [1, 2, 3]
    assert run.environment is not None
    few = {**TINY, "head_steps": 0}
    tuned = unmask.finetune("multiview", tmp_path / "t", init=run, **few)
    assert tuned.config.init == str(run)
    assert tuned.config.encoder == run.config.encoder
    assert set(tuned.scores) == {"val", *tuned.result.metrics} == set(tuned.result.metrics)
    assert 0 <= tuned.scores["test"].accuracy <= 1
    predicted = unmask.predict(tuned, str(tmp_path / "p.csv"), split="test", progress=False)
    assert predicted.accuracy == tuned.scores["test"].accuracy
    assert unmask.write_report(tuned) == tmp_path / "t" / "report.html"
    audit = unmask.audit_runs([tuned], tmp_path / "a", images=4, evaluations=8, pictures=1, progress=False)
    assert audit.report.is_file()
    assert "t" in audit.numbers.models
    assert audit.config.audit == AuditConfig(images=4, evaluations=8, pictures=1)
    assert audit.config.data == tuned.config.data


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(summary=values_of(Summary))
def test_a_finished_comparison_is_opened_by_its_folder(tmp_path: Path, summary: Summary) -> None:
    """Verdicts are those of summary.json, the first one the headline; a folder without one is one line."""
    (tmp_path / "summary.json").unlink(missing_ok=True)
    answer = unmask.Comparison(str(tmp_path))
    with pytest.raises(UserError, match=r"summary\.json: no such file"):
        answer.verdicts  # noqa: B018
    write_json(tmp_path / "summary.json", summary)
    assert answer.summary == summary
    assert answer.verdicts == summary.verdicts
    assert answer == unmask.Comparison(tmp_path)
