"""Figures show the numbers they are given."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from unmask.config.budget import Budget
from unmask.config.metric import SCORES
from unmask.report.classes import class_differences, confusion_map
from unmask.report.confusions import Confusion
from unmask.report.curves import (
    Curve,
    finetuning,
    monitor,
    one_after_the_other,
    pretraining_loss,
    series,
    training_loss,
)
from unmask.report.figures import arm_dots, forest, label_efficiency
from unmask.report.palette import INK
from unmask.report.svg import blank, inline_svg, style, to_svg
from unmask.runs.metrics import TrainingRow, ValidationRow
from unmask.runs.records import Interval
from unmask.runs.summary_records import Difference, Mean


def _mean(arm: str, budget: Budget, mean: float, low: float | None = None, high: float | None = None) -> Mean:
    return Mean(mean, low, high, 3, "t", arm=arm, budget=budget, split="test", metric="accuracy")


def _difference(arm: str, budget: int, mean: float, baseline: str) -> Difference:
    place = {"arm": arm, "budget": budget, "split": "test", "metric": "accuracy"}
    return Difference(mean, mean - 0.01, mean + 0.02, 3, "t", **place, baseline=baseline, baseline_arm="x")


def _points(figure: Figure) -> list[tuple[list[float], list[float]]]:
    return [
        (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in figure.axes[0].lines
    ]


def test_label_efficiency_draws_means_and_intervals_in_per_cent() -> None:
    rows = [_mean("mrp", 50, 0.8, 0.79, 0.82), _mean("mrp", 10, 0.7, 0.69, 0.72), _mean("scratch_same", 10, 0.6)]
    figure = label_efficiency(rows, ["mrp", "scratch_same"], [50, 10])
    drawn = [y for _, y in _points(figure)]
    assert any(y == pytest.approx([70, 80]) for y in drawn)
    assert any(y == pytest.approx([69, 72]) for y in drawn)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["10", "50"]


@pytest.mark.parametrize(
    ("budgets", "ticks", "below"),
    [
        ([10, 50], ["10", "50"], "labels per class"),
        (["total:5", "total:40"], ["5", "40"], "labels in all"),
        ([10, "total:40"], ["10", "total\n40"], "labels"),
        (["random:40", "chosen:40"], ["random\n40", "chosen\n40"], "labels"),
        (["10%", "all"], ["10%", "all"], "labels"),
    ],
)
def test_budgets_say_of_what_they_are_numbers(budgets: list[Budget], ticks: list[str], below: str) -> None:
    rows = [_mean("mrp", budget, 0.8) for budget in budgets]
    axes = label_efficiency(rows, ["mrp"], budgets).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ticks
    assert axes.get_xlabel() == below


def test_an_arm_without_interval_is_a_point() -> None:
    row = _mean("mrp", 10, 0.7)
    assert len(_points(label_efficiency([row], ["mrp"], [10]))) == 1
    assert len(_points(arm_dots([row], ["mrp"]))) == 1


@pytest.mark.parametrize("metric", list(SCORES))
def test_labels_do_not_end_beyond_their_figure(metric: str) -> None:
    """Below an axis that long names have made narrow."""
    names = ("scratch_compute", "probe_given_mrp")
    means = [replace(_mean(name, 10, 0.7, 0.69, 0.72), metric=metric) for name in names]
    rows = [_difference("mrp", 10, 0.02, "scratch_compute"), _difference("probe_mrp", 10, 0.02, "probe_random")]
    with style():
        figures = arm_dots(means, names), forest([replace(row, metric=metric) for row in rows], [10], 0.01)
        for figure in figures:
            figure.draw_without_rendering()
            below = figure.axes[0].xaxis.label.get_window_extent()
            assert below.x0 >= figure.bbox.x0
            assert below.x1 <= figure.bbox.x1


@pytest.mark.parametrize("metric", list(SCORES))
def test_titles_beside_a_curve_are_whole_and_steps_are_whole_numbers(metric: str) -> None:
    curve = Curve(np.array([2.0, 6.0]), np.array([0.5, 0.6]))
    with style():
        figure = monitor({"run": curve}, f"{SCORES[metric].title} on validation images")
        figure.draw_without_rendering()
        beside = figure.axes[0].yaxis.label.get_window_extent()
        assert beside.y0 >= figure.bbox.y0
        assert beside.y1 <= figure.bbox.y1
        assert all(tick.is_integer() for tick in figure.axes[0].get_xticks())


@pytest.mark.parametrize("level", [0.0, 3.9])
def test_a_curve_that_hardly_moves_is_not_on_the_border(level: float) -> None:
    low, high = monitor({"run": Curve(np.array([0, 4]), np.array([level, level]))}, "rank").axes[0].get_ylim()
    assert low == 0
    assert high > 1.04 * level


def test_axes_of_accuracy_end_at_0_and_100_per_cent() -> None:
    """Nothing is drawn where no accuracy can be; points on the border are whole."""
    rows = [_mean("mrp", 10, 1.0, 0.97, 1.0), _mean("mrp", 50, 0.0, 0.0, 0.02)]
    assert label_efficiency(rows, ["mrp"], [10, 50]).axes[0].get_ylim() == (0.0, 100.0)
    for row, end in ((rows[0], 1), (rows[1], 0)):
        axes = arm_dots([row], ["mrp"]).axes[0]
        assert axes.get_xlim()[end] == 100.0 * end
        assert not axes.lines[-1].get_clip_on()


def test_forest_names_baselines_and_budgets() -> None:
    rows = [
        _difference("mrp", 10, 0.03, "best scratch arm"),
        _difference("probe_mrp", 50, 0.1, "probe_random"),
    ]
    figure = forest(rows, [10, 50], 0.01)
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["Best scratch arm", "probe_mrp minus probe_random", "10 labels per class", "50 labels per class"]
    assert any(x == pytest.approx([2, 5]) for x, _ in _points(figure))


def test_curves_read_the_rows_that_have_the_number() -> None:
    look = ValidationRow(
        step=2, epoch=0.1, val_loss=1.0, baseline=3.0, effective_rank=1.0, feature_std=1.0, collapsed=False
    )
    rows = [TrainingRow(step=1, loss=2.0), look, TrainingRow(step=3, loss=1.5, val_accuracy=0.5)]
    assert training_loss(rows).values.tolist() == [2.0, 1.5]
    assert series([rows[0], rows[2]], lambda row: row.val_accuracy).steps.tolist() == [3.0]
    assert [line.get_ydata().tolist() for line in pretraining_loss({"a": rows}).axes[0].lines] == [
        [2.0, 1.5],
        [],
        [1.0],
    ]


def test_long_curves_are_thinned_without_losing_their_mean() -> None:
    values = np.random.default_rng(0).normal(size=3000)
    ((steps, thin),) = _points(monitor({"a": Curve(np.arange(3000), values)}, "x"))
    assert len(steps) == 300
    assert np.mean(thin) == pytest.approx(values.mean())


def test_the_thick_line_is_the_mean_of_the_trials() -> None:
    trials = [Curve(np.array([1, 2]), np.array(values)) for values in ([1.0, 3.0], [2.0, 5.0])]
    drawn = [y for _, y in _points(finetuning({"mrp": trials}, "loss"))]
    assert drawn == [[1.0, 3.0], [2.0, 5.0], [1.5, 4.0]]


def test_the_main_phase_follows_the_head_phase() -> None:
    """Both phases count their steps from 1; the curve of the whole training does not run back in time."""
    rows = [TrainingRow(phase=phase, step=step, loss=1.0) for phase in ("head", "all") for step in (1, 10, 20)]
    assert [row.step for row in one_after_the_other(rows, 20)] == [1, 10, 20, 21, 30, 40]
    marked = _points(monitor({"run": Curve(np.array([1.0, 40.0]), np.ones(2))}, "loss", boundary=20))
    assert marked[0][0] == [20, 20]


def test_many_classes_are_cut_to_the_largest_gains_and_losses() -> None:
    rows = [(f"c{i}", Interval(i / 100, None, None, 1, "single")) for i in range(60)]
    labels = [tick.get_text() for tick in class_differences(rows).axes[0].get_yticklabels()]
    assert labels[0] == "c59"
    assert labels[-1] == "c0"
    assert len(labels) == 24


def test_confusions_are_shares_of_the_true_class() -> None:
    found = Confusion("x", ["a", "b"], {(0, 0): 3.0, (0, 1): 1.0})
    figure = confusion_map(found.counts, found.classes)
    image = figure.axes[0].images[0].get_array()
    assert image is not None
    np.testing.assert_allclose(np.asarray(image), [[0.75, 0.25], [0, 0]])
    assert [text.get_text() for text in figure.axes[0].texts] == ["3", "1"]


def test_svg_carries_its_text_alternative_and_no_address() -> None:
    with style():
        figure = blank()
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=INK)
        axes.set_title("$a_1$ 猫 <b>")
    text = str(inline_svg(to_svg(figure), "one", 'a "line" & more'))
    assert text.startswith('<svg role="img" aria-label="a &quot;line&quot; &amp; more"')
    assert "$a_1$ 猫 &lt;b&gt;" in text
    assert "http" not in text
    assert INK not in text
    assert "currentColor" in text


def test_ids_of_two_figures_do_not_meet() -> None:
    def ids(name: str) -> set[str]:
        figure = blank()
        figure.add_subplot().plot([0, 1], [0, 1])
        parts = str(inline_svg(to_svg(figure), name, "x")).split(' id="')[1:]
        return {part.split('"')[0] for part in parts}

    assert ids("one")
    assert not ids("one") & ids("two")
