"""Test errors of the learners on the downstream task, for sweeps: SL, fine-tuned MRP and its linear probe.

Four learners, in tables by these names: `scratch`, SL on the `labeled` samples; `scratch_few`, SL on labels_per_class
labels per class; `fine_tuned` and `probe`, MRP on the same few labels. With task_classes or task_views the task shows
only part of the features of pretraining; with `missing` it shows features that pretraining has never seen.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import nan

from torch import Tensor

from unmask.theory.capture import captured, own_held, views_per_class
from unmask.theory.jobs import Memo
from unmask.theory.problem import World, downstream, task_features
from unmask.theory.supervision import Supervised, fine_tune, linear_probe, logits, train_from_scratch
from unmask.theory.sweep_measures import Row, encoders, from_scratch

Learners = dict[str, Supervised]
LEARNERS = ("scratch", "scratch_few", "fine_tuned", "probe")
KINDS = ("multi", "single", "mixed")
"""Test data: multi-view, single-view, and both with the share test_single_share of single-view ones."""


def learner_rows(worlds: Sequence[World], memo: Memo) -> list[list[Row]]:
    """Errors of all learners on all kinds of test data, and views per class learned by SL."""
    return [[_learner_row(task, trained)] for task, _, trained in _train(worlds, memo)]


def _learner_row(task: World, trained: Learners) -> Row:
    row: Row = {}
    for name, learner in trained.items():
        multi, single = (float(_wrong(task, learner, kind)[0].mean()) for kind in (False, True))
        share = task.setting.test_single_share
        row |= {f"{name}_multi": multi, f"{name}_single": single}
        row[f"{name}_mixed"] = (1 - share) * multi + share * single
    own = own_held(trained["scratch"].weights @ task.v.T, task.setting)
    row["scratch_views"] = float(views_per_class(own, task.setting.data.views).double().mean())
    return row | {f"{name}_fitted": int(learner.fitted) for name, learner in trained.items()}


def downstream_rows(worlds: Sequence[World], memo: Memo) -> list[list[Row]]:
    """Errors of all learners, over all classes and separately over those whose features pretraining has all seen, and
    the rest.

    Also how many of the task's features pretraining has and has not seen, and the share of each that the encoder holds
    before and after fine-tuning.
    """
    setting = worlds[0].setting
    unseen = task_features(setting) < setting.missing
    return [[_downstream_row(unseen, *one)] for one in _train(worlds, memo)]


def _downstream_row(unseen: Tensor, task: World, pretrained: Tensor, trained: Learners) -> Row:
    foreign = unseen.unflatten(0, (task.setting.data.classes, -1)).any(1)
    row: Row = {"seen_features": int((~unseen).sum()), "unseen_features": int(unseen.sum())}
    for name, learner in trained.items():
        for single, kind in ((False, "multi"), (True, "single")):
            wrong, labels = _wrong(task, learner, single)
            row[f"{name}_{kind}"] = float(wrong.mean())
            row[f"{name}_{kind}_seen"] = _mean(wrong[~foreign[labels]])
            row[f"{name}_{kind}_unseen"] = _mean(wrong[foreign[labels]])
    for when, weights in (("pretrained", pretrained), ("fine_tuned", trained["fine_tuned"].weights)):
        held = captured(weights @ task.v.T, task.setting).any(0).double()
        row |= {f"{when}_holds_seen": _mean(held[~unseen]), f"{when}_holds_unseen": _mean(held[unseen])}
    return row


def _train(worlds: Sequence[World], memo: Memo) -> list[tuple[World, Tensor, Learners]]:
    """Per seed the task, the pretrained encoder (K, d) and the learners; each learner trains all seeds as one batch."""
    tasks, weights = [downstream(w) for w in worlds], encoders(worlds, memo)
    few = [task.few() for task in tasks]
    learners = (
        from_scratch(worlds, tasks, memo),
        train_from_scratch(tasks, data=few),
        fine_tune(tasks, weights, few),
        linear_probe(tasks, weights, few),
    )
    each = [{name: _of_seed(one, i) for name, one in zip(LEARNERS, learners, strict=True)} for i in range(len(tasks))]
    return list(zip(tasks, weights, each, strict=True))


def _of_seed(batch: Supervised, i: int) -> Supervised:
    """One seed of a batch, without the seed's axis."""
    return replace(batch, weights=batch.weights[i], head=batch.head[i], time=batch.time[i], fitted=batch.fitted[i])


def _wrong(task: World, learner: Supervised, single: bool) -> tuple[Tensor, Tensor]:
    """Whether each test sample of a kind is wrong, and its label, (N,) each."""
    data = task.test(single)
    answer = logits(learner.weights, learner.head, data.x, task.setting).argmax(1)
    return (answer != data.labels).double(), data.labels


def _mean(values: Tensor) -> float:
    return float(values.mean()) if values.numel() else nan
