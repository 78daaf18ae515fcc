"""Test errors of the learners on the downstream task, for sweeps: SL, fine-tuned MRP and its linear probe.

Four learners, in tables by these names: `scratch`, SL on the `labeled` samples; `scratch_few`, SL on labels_per_class
labels per class; `fine_tuned` and `probe`, MRP on the same few labels. With task_classes or task_views the task shows
only part of the features of pretraining; with `missing` it shows features that pretraining has never seen.
"""

from math import nan

from torch import Tensor

from unmask.theory.capture import captured, own_held, views_per_class
from unmask.theory.jobs import Memo
from unmask.theory.problem import World, downstream, task_features
from unmask.theory.supervision import Supervised, fine_tune, linear_probe, logits, train_from_scratch
from unmask.theory.sweep_measures import Row, encoder, from_scratch

LEARNERS = ("scratch", "scratch_few", "fine_tuned", "probe")
KINDS = ("multi", "single", "mixed")
"""Test data: multi-view, single-view, and both with the share test_single_share of single-view ones."""


def learner_rows(w: World, memo: Memo) -> list[Row]:
    """Errors of all learners on all kinds of test data, and views per class that SL has learned."""
    task, _, trained = _train(w, memo)
    row: Row = {}
    for name, learner in trained.items():
        multi, single = (float(_wrong(task, learner, kind)[0].mean()) for kind in (False, True))
        share = task.setting.test_single_share
        row |= {f"{name}_multi": multi, f"{name}_single": single}
        row[f"{name}_mixed"] = (1 - share) * multi + share * single
    own = own_held(trained["scratch"].weights[0] @ task.v.T, task.setting)
    row["scratch_views"] = float(views_per_class(own, task.setting.data.views).double().mean())
    row |= {f"{name}_fitted": int(learner.fitted[0]) for name, learner in trained.items()}
    return [row]


def downstream_rows(w: World, memo: Memo) -> list[Row]:
    """Errors of all learners, over all classes and apart: those whose features pretraining has all seen, and the rest.

    Also how many features of the task pretraining has seen and has not, and the share of either that the encoder holds
    before and after fine-tuning.
    """
    task, pretrained, trained = _train(w, memo)
    unseen = task_features(w.setting) < w.setting.missing
    foreign = unseen.unflatten(0, (task.setting.data.classes, -1)).any(1)
    row: Row = {"seen_features": int((~unseen).sum()), "unseen_features": int(unseen.sum())}
    for name, learner in trained.items():
        for single, kind in ((False, "multi"), (True, "single")):
            wrong, labels = _wrong(task, learner, single)
            row[f"{name}_{kind}"] = float(wrong.mean())
            row[f"{name}_{kind}_seen"] = _mean(wrong[~foreign[labels]])
            row[f"{name}_{kind}_unseen"] = _mean(wrong[foreign[labels]])
    for when, weights in (("pretrained", pretrained[0]), ("fine_tuned", trained["fine_tuned"].weights[0])):
        held = captured(weights @ task.v.T, task.setting).any(0).double()
        row |= {f"{when}_holds_seen": _mean(held[~unseen]), f"{when}_holds_unseen": _mean(held[unseen])}
    return [row]


def _train(w: World, memo: Memo) -> tuple[World, Tensor, dict[str, Supervised]]:
    """The task, the pretrained encoder (1, K, d), and the learners."""
    task, weights = downstream(w), encoder(w, memo)
    few = [task.few()]
    learners = (
        from_scratch(w, task, memo),
        train_from_scratch([task], data=few),
        fine_tune([task], weights, few),
        linear_probe([task], weights, few),
    )
    return task, weights, dict(zip(LEARNERS, learners, strict=True))


def _wrong(task: World, learner: Supervised, single: bool) -> tuple[Tensor, Tensor]:
    """Whether each test sample of a kind is wrong, and its label, (N,) each."""
    data = task.test(single)
    answer = logits(learner.weights[0], learner.head[0], data.x, task.setting).argmax(1)
    return (answer != data.labels).double(), data.labels


def _mean(values: Tensor) -> float:
    return float(values.mean()) if values.numel() else nan
