"""Sweeps: axes, measures, downstream tasks, tables, pictures, and what is refused."""

from dataclasses import replace
from functools import partial
from math import isnan
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.cli.main import main, parse
from unmask.cli.theory import Sweep
from unmask.comparison.workers import LocalProcesses
from unmask.errors import UserError
from unmask.report.theory.sweep_figure import sweep_figure
from unmask.theory.axes import parse_axes, parse_axis, vary
from unmask.theory.capture import captured, purity
from unmask.theory.jobs import Memo, Tally
from unmask.theory.laws import OneFeature, kernel_law, one_feature
from unmask.theory.learner_errors import LEARNERS, downstream_rows, learner_rows
from unmask.theory.occupancy import reading_time
from unmask.theory.presets import paper_small
from unmask.theory.problem import downstream, world
from unmask.theory.setting import Setting
from unmask.theory.supervision import fine_tune, linear_probe, train_from_scratch
from unmask.theory.sweep import Grid, axes_of, grid_of, measure_of, measured, sweep, write_table
from unmask.theory.sweep_measures import (
    capture_rows,
    correlation_rows,
    encoders,
    from_scratch,
    phase_rows,
    purity_rows,
)
from unmask.theory.teacher_student_flow import pretrain


def test_axes_and_changes() -> None:
    assert parse_axis("mask_ratio=0:0.5:3") == ("mask_ratio", [0.0, 0.25, 0.5])
    assert parse_axis("power=3,4") == ("power", [3.0, 4.0])
    changed = vary(paper_small(), {"power": 3.0, "noise": 0.1, "own": 1.0})
    assert (changed.power, changed.data.noise, changed.data.own) == (3, 0.1, (1.0, 1.0))


def test_axes_are_repeated_flags_and_default_to_those_of_the_measure() -> None:
    command = parse(["theory", "sweep", "--over", "mask_ratio=0:0.95:20", "--over", "teacher_scale=1.2,1.4"])
    assert isinstance(command, Sweep)
    assert [name for name, _ in axes_of(command.measure, command.over)] == ["mask_ratio", "teacher_scale"]
    assert [name for name, _ in axes_of("purity")] == ["kernels_per_class"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "--preset", "x"], "preset = 'x' is unknown"),
        (["verify", "--seeds", "0"], "seeds = 0"),
        (["verify", "--break", "luck"], "break = 'luck'"),
        (["sweep", "--over", "speed=1:2:3"], "'speed' is not a field"),
        (["sweep", "--over", "mask_ratio"], "NAME=LOW:HIGH:COUNT"),
        (["sweep", "--over", "mask_ratio=a:b"], "neither LOW:HIGH:COUNT nor A,B,C"),
        (["sweep", "--over", "mask_ratio="], "neither LOW:HIGH:COUNT nor A,B,C"),
        (["sweep", "--over", "mask_ratio=0:0.5:0"], "is empty"),
        (["sweep", "--over", "mask_ratio=0.5:0.1:3"], "is empty"),
        (["sweep", "--over", "mask_ratio=nan"], "finite"),
        (["sweep", "--over", "missing=0:10:4"], "missing takes whole numbers"),
        (["sweep", "--over", "mask_ratio=0,1.2"], "mask_ratio = 1.2 is out of range"),
        (["sweep", "--over", "patches=2"], "patches = 2 is out of range"),
        (["sweep", "--over", "task_classes=1"], "task_classes = 1 is out of range"),
        (["sweep", "--over", "noise=0", "--over", "noise=1"], "is given 2 times"),
        (["sweep", "--measure", "speed"], "measure = 'speed' is unknown"),
        (["sweep", "--seeds", "0"], "seeds = 0"),
        (["sweep", "--workers", "0"], "workers = 0"),
        (["sweep", "--out", "table.xls"], "must be .csv or .parquet"),
    ],
)
def test_bad_input_is_one_line_before_any_work(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unmask.theory.sweep.world", None)
    with pytest.raises(SystemExit) as end:
        main(["theory", *arguments])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert said in told


@settings(max_examples=30, deadline=None, derandomize=True)
@given(p=st.floats(1e-6, 0.4), f=st.integers(1, 60))
def test_law_of_a_kernel_is_binomial(p: float, f: int) -> None:
    """Equal chances: mean f p and purity f p (1-p)^(f-1), both given that the kernel holds any."""
    law = OneFeature(torch.tensor([1.0, 2.0]), torch.zeros(f, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OneFeature, "chance", lambda *_: torch.full((f,), p, dtype=torch.float64))
        number, pure = kernel_law(law, 1.0, 1.0)
    some = 1 - (1 - p) ** f
    assert number == pytest.approx(f * p / some, rel=1e-8)
    assert pure == pytest.approx(f * p * (1 - p) ** (f - 1) / some, rel=1e-8)


def test_phases_fall_at_the_predicted_ratios(tiny: Setting) -> None:
    rows = sweep(tiny, [("mask_ratio", [0.1, 0.55, 0.8])], [0], phase_rows)
    assert [row["phase"] for row in rows] == ["grows alone", "grows only together", "dead"]
    assert 0.1 < float(rows[0]["predicted_alone"]) < 0.55 < float(rows[0]["predicted_together"]) < 0.8


def test_capture_over_time_beside_its_law(tiny: Setting) -> None:
    (rows,) = capture_rows([world(tiny, 0)], 4)
    assert [float(row["coverage_law"]) for row in rows][::3] == pytest.approx([0.05, 0.999], abs=1e-3)
    times, covered = ([float(row[name]) for row in rows] for name in ("time", "coverage"))
    assert times == sorted(times)
    assert covered == sorted(covered)
    assert covered[-1] == 1.0


@pytest.mark.slow
def test_all_seeds_of_a_point_are_one_batch_read_at_common_times(tiny: Setting) -> None:
    """SL goes as it goes alone; encoders are read at one time, that of the mean of the laws, and so are rows."""
    worlds = [world(replace(tiny, kernels_per_class=4, labeled=40, samples=60, stop_loss=1.2), seed) for seed in (0, 1)]
    both = from_scratch(worlds, worlds, Memo()).weights
    assert torch.equal(both, torch.cat([train_from_scratch([w]).weights for w in worlds]))
    when = reading_time([one_feature(w.unlabeled(), w.v, w.setting) for w in worlds], worlds[0].setting)
    alone = pretrain(worlds[1:], torch.tensor([when], dtype=torch.float64)).weights[0, 0]
    assert torch.allclose(encoders(worlds, Memo())[1], alone, rtol=1e-3, atol=1e-4)
    first, second = purity_rows(worlds, [0.3])
    assert first[0]["time"] == second[0]["time"]


def test_pure_kernels_follow_the_law_where_nothing_binds(tiny: Setting) -> None:
    """One view per class and no other class: features never meet in a sample, so no kernel binds a second one."""
    alone = replace(tiny.data, views=1, classes=8, others=0.0, noise=0.0, own=(1.0, 1.0))
    w = world(replace(tiny, data=alone, kernels_per_class=60), 0)
    ((row,),) = purity_rows([w], [0.999])
    assert abs(float(row["purity"]) - float(row["purity_law"])) < 0.08
    assert abs(float(row["features_per_kernel"]) / float(row["features_per_kernel_law"]) - 1) < 0.08
    assert float(row["purity_law"]) < 0.95


def test_purity_rises_with_the_number_of_kernels_by_law(tiny: Setting) -> None:
    rows = sweep(tiny, [("kernels_per_class", [8.0, 64.0])], [0], lambda w: purity_rows(w, [0.999]))
    assert float(rows[1]["purity_law"]) > float(rows[0]["purity_law"]) + 0.2
    assert float(rows[1]["time"]) < float(rows[0]["time"])


def test_where_nothing_grows_rows_keep_their_columns(tiny: Setting) -> None:
    rows = sweep(tiny, [("mask_ratio", [0.1, 0.8])], [0], lambda w: purity_rows(w, [0.5]))
    assert list(rows[0]) == list(rows[1])
    assert rows[1]["coverage"] == 0.0
    assert isnan(float(rows[1]["purity"]))


def test_correlations_are_those_of_the_weights(tiny: Setting) -> None:
    w = world(tiny, 0)
    (rows,) = correlation_rows([w], Memo())
    start = torch.tensor([float(row["start"]) for row in rows]).view(tiny.kernels, tiny.data.features)
    assert torch.allclose(start, w.start @ w.v.T)
    after = torch.tensor([float(row["mrp"]) for row in rows]).view_as(start)
    assert captured(after, tiny).any(0).all()
    assert float(purity(captured(after, tiny))) < 1.0


def test_a_downstream_task_shows_only_its_features(tiny: Setting) -> None:
    w = world(replace(tiny, task_classes=3, task_views=1, data=replace(tiny.data, noise=0.0)), 0)
    task = downstream(w)
    assert torch.equal(task.v, w.v[[0, 2, 4]])
    seen = (task.labeled().x @ w.v.T).abs().amax((0, 1)) > 1e-5
    assert seen.tolist() == [True, False, True, False, True, False, False, False]
    assert int(task.labeled().labels.max()) == 2
    assert len(task.start) == 3 * tiny.kernels_per_class
    assert downstream(world(tiny, 0)).setting == tiny


@pytest.mark.slow
def test_learners_on_features_seen_and_unseen(tiny: Setting) -> None:
    """Pretraining helps on single-view data where it has seen the features, and not where it has not."""
    ((row,),) = downstream_rows([world(replace(tiny, missing=4), 0)], Memo())
    assert (row["seen_features"], row["unseen_features"]) == (4, 4)
    assert row["fine_tuned_single_seen"] == 0.0
    assert float(row["fine_tuned_single_unseen"]) > 0.3
    assert float(row["scratch_few_single"]) > 0.3
    assert row["pretrained_holds_seen"] == 1.0


@pytest.mark.slow
def test_learners_over_mu_and_labels(tiny: Setting) -> None:
    few, taught = (
        sweep(
            replace(tiny, labels_per_class=n), [("labeled_single_share", [mu])], [0], partial(learner_rows, memo=Memo())
        )[0]
        for n, mu in ((2, 0.0), (5, 0.2))
    )
    assert float(few["scratch_single"]) > 0.3 > float(taught["scratch_single"])
    assert few["fine_tuned_single"] == few["fine_tuned_multi"] == 0.0
    assert float(few["scratch_mixed"]) == pytest.approx(
        0.8 * float(few["scratch_multi"]) + 0.2 * float(few["scratch_single"])
    )
    assert all(few[f"{name}_fitted"] == 1 for name in LEARNERS)


def test_a_probe_is_fine_tuning_with_a_frozen_encoder(tiny: Setting) -> None:
    """In a time in which the encoder hardly moves both heads are the same; the probe keeps w exactly."""
    w = world(tiny, 0, torch.float64)
    encoder = 0.4 * w.v.repeat(2, 1)[None]
    probe = linear_probe([w], encoder, end=0.5)
    assert torch.equal(probe.weights, encoder)
    tuned = fine_tune([w], encoder, end=0.5)
    assert float((probe.head - tuned.head).abs().max()) < 0.02 * float(tuned.head.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("measure", "axes", "panels"),
    [
        ("phases", [("mask_ratio", [0.1, 0.8]), ("teacher_scale", [1.3, 1.5])], 1),
        ("phases", [("mask_ratio", [0.1, 0.8])], 1),
        ("phases", [("gain", [1.8, 2.0])], 1),
        ("capture", [], 3),
        ("purity", [("kernels_per_class", [4.0, 8.0]), ("samples", [60.0, 80.0])], 6),
        ("correlations", [], 8),
    ],
)
def test_every_measure_has_a_picture(tiny: Setting, measure: str, axes: list, panels: int, tmp_path: Path) -> None:
    rows = sweep(replace(tiny, samples=80), axes, [0], measure_of(measure)[0])
    figure = sweep_figure(rows, measure, axes, tiny)
    assert len(figure.axes) == panels
    figure.savefig(tmp_path / "picture.png", dpi=40)
    assert write_table(rows, str(tmp_path / "t.parquet")).stat().st_size > 0
    assert len(write_table(rows, str(tmp_path / "new" / "t.csv")).read_text().splitlines()) == len(rows) + 1


def test_number_types_share_one_draw_and_agree(tiny: Setting) -> None:
    single, double = (
        sweep(tiny, [("mask_ratio", [0.1])], [0], lambda w: purity_rows(w, [0.5]), dtype=kind)[0]
        for kind in (torch.float32, torch.float64)
    )
    assert float(single["time"]) == pytest.approx(float(double["time"]), rel=1e-4)
    assert single["coverage"] == double["coverage"]


def test_unknown_measures_are_told(tiny: Setting) -> None:
    with pytest.raises(UserError, match="measure"):
        measure_of("speed")
    with pytest.raises(UserError, match="over"):
        parse_axes(["mask_ratio=0", "mask_ratio=1"])
    law = one_feature(world(tiny, 0).unlabeled(), world(tiny, 0).v, tiny)
    assert kernel_law(law, 1e-30, 1e-3) == (1.0, 1.0)


@pytest.mark.slow
def test_sweeps_in_processes_give_the_same_rows(tiny: Setting) -> None:
    """Also where points share a pretraining, which every process then does for itself; the largest begin first."""
    small = replace(tiny, samples=60, labeled=60, kernels_per_class=4)
    grids = [
        Grid("phases", grid_of(small, parse_axes(["mask_ratio=0.1,0.8"])), range(1)),
        Grid("learners", grid_of(small, parse_axes(["labels_per_class=1,2,3"])), range(2), 5),
    ]
    told: list[tuple[int, int]] = []
    here = list(measured(grids, Tally(32, lambda *now: told.append(now))))
    there = list(measured(grids, Tally(32), elsewhere=LocalProcesses(2, patient=False).run))
    assert [(g, i) for g, i, _ in here] == [(1, 0), (1, 1), (1, 2), (0, 0), (0, 1)]
    assert sorted(map(repr, there)) == sorted(map(repr, here))
    assert told == [(done, 32) for done in (0, 10, 20, 30, 31, 32)]
