"""Predictions of a run for any images, with the preprocessing and the numbers of its own evaluation."""

from collections import Counter
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch

from unmask.config.metric import SCORES, Metric, label_form
from unmask.data.imageset import ImageSet
from unmask.data.load import ALL, Dataset
from unmask.deploy.columns import ignored_labels, labels_for, output_columns
from unmask.deploy.images import Named, label_names, load_as_trained, require_apart, require_numbers
from unmask.deploy.predict_masks import PredictedMasks, predict_masks, require_folder
from unmask.deploy.tables import require_writable, write_table
from unmask.deploy.trained import Trained, read_trained, require_classifier, told
from unmask.errors import UserError
from unmask.forward import Outputs, map_images
from unmask.runs.scores import UNEQUAL, Scores
from unmask.tasks.kinds import AnyTask
from unmask.training.engine import build_engine, fast_layout
from unmask.wording import first_of, plural


@dataclass(frozen=True)
class Predicted:
    """What `predict` wrote: the file, its images, and how many of those with a label of the run are right."""

    out: Path
    images: int
    right: int
    labeled: int
    left_out: int
    unknown: dict[str, int] = field(default_factory=dict)
    """Number of images per label that is not a class of the run; the most frequent first."""
    ignored: tuple[str, ...] = ()
    """For several labels per image, those of the data that are none of the run's."""
    network: str = ""
    """Which network of a comparison it was."""
    metric: Metric = "accuracy"
    """What `score` is."""
    scores: Scores | None = None
    """For tasks other than classification, as in the run's result; None if no label is known."""
    beside_accuracy: str = ""
    """Balanced accuracy, share of the most frequent class and chance, if that class is frequent."""

    @property
    def accuracy(self) -> float | None:
        """Share of correct predictions among the labeled images; None without any."""
        return self.right / self.labeled if self.labeled and self.scores is None else None

    @property
    def score(self) -> float | None:
        """The task's first metric on the labeled images; None without any."""
        return self.accuracy if self.scores is None else getattr(self.scores, self.metric)

    def __str__(self) -> str:
        beside = f", {self.beside_accuracy}" if self.beside_accuracy else ""
        known = f"; right on {self.right} of {self.labeled} labeled"
        none = "" if self.unknown else "; no label is known"
        score = f"{known} ({self.accuracy:.1%}{beside})" if self.labeled and self.scores is None else none
        if self.scores is not None and self.score is not None:
            facts = SCORES[self.metric]
            score = f"; {facts.title} {facts.text(self.score)} on {self.labeled} labeled"
        skipped = f"; {plural(self.left_out, 'unreadable file')} left out" if self.left_out else ""
        return f"{self.out}: {plural(self.images, 'image')}{score}{self._unknown()}{skipped}{told(self.network)}"

    def _unknown(self) -> str:
        if self.ignored:
            what = "a label is" if len(self.ignored) == 1 else "labels are"
            return f"; ignored, as {what} none of this run's: {first_of(self.ignored)}"
        if not self.unknown:
            return ""
        one = "a label that is not a class" if len(self.unknown) == 1 else "labels that are not classes"
        return f"; {sum(self.unknown.values())} have {one} of this run ({first_of(self.unknown)})"


def predict(
    run: str | PathLike[str],
    out: str | PathLike[str],
    *,
    arm: str | None = None,
    data: Named = None,
    split: str = ALL,
    windows: bool = False,
    on_bad_file: Literal["error", "skip"] = "error",
    overwrite: bool = False,
    progress: bool = True,
) -> Predicted | PredictedMasks:
    """Write path, label (if any), predicted class and the probability p_CLASS of each class, one row per image.

    For multiple labels: those that apply, as "a;b", and the probability of each; for numbers: the columns label_NAME
    and predicted_NAME.
    A segmentation run writes a mask for each image instead, an indexed PNG in its file's size.

    Args:
        run: folder of a fine-tuned run, one from scratch, or a comparison.
        out: .csv or .parquet; a folder for a segmentation run.
        arm: for a comparison: the arm whose network is used. Default: the recommended one.
        data: what `DataConfig.data` takes, or one or several image files. Default: the run's own data.
        split: "all", or a set as the run drew it, e.g. "test"; then the score is that of the run's result.json.
        windows: for a segmentation run: process images larger than those of the training in overlapping windows of that
            size, instead of resizing them to it.
        on_bad_file: stop at an unreadable file, or skip it.
        overwrite: replace an existing file.
        progress: show a bar.

    Raises:
        UserError: bad input, or a score that is not a number, before a file is written.
    """
    run, out = Path(run), Path(out)
    trained = read_trained(run, arm)
    require_classifier(trained)
    assert trained.card.task is not None
    form = label_form(trained.card.task.name)
    if form == "mask":
        require_folder(out, overwrite=overwrite)
        streamed = replace(trained, data=replace(trained.data, cache_mib=0))  # files record the sizes of their images
        dataset = load_as_trained(streamed, data, split=split, on_bad_file=on_bad_file, progress=progress)
        images, bad = dataset.images(split), len(dataset.bad_files)
        classes = () if dataset.task is None else dataset.task.names
        return predict_masks(trained, images, out, classes=classes, left_out=bad, windows=windows, show=progress)
    if windows:
        raise UserError("`windows=True` has no effect: it is for segmentation; leave it out")
    require_writable(out, (".csv", ".parquet"), overwrite=overwrite)
    require_apart(out, trained, data)
    dataset = load_as_trained(trained, data, split=split, on_bad_file=on_bad_file, progress=progress)
    images = dataset.images(split)
    outputs = logits(trained, images, show=progress)
    require_numbers(outputs, "the scores")
    facts = {
        "out": out,
        "images": len(outputs.rows),
        "left_out": len(dataset.bad_before) + len(images) - len(outputs.rows),
        "network": trained.network,
    }
    if form != "class":
        write_table(out, {"path": list(outputs.images.names)} | output_columns(trained.card.task, dataset, outputs))
        return _scored(trained.card.task, dataset, outputs, facts)
    return _classified(trained.card.classes, dataset, outputs, facts)


def _classified(classes: tuple[str, ...], dataset: Dataset, outputs: Outputs, facts: dict[str, Any]) -> Predicted:
    """Write classes and probabilities, and score the images whose label is a class of the run."""
    truth = label_names(outputs.images, dataset.classes)
    predicted = [classes[index] for index in outputs.values.argmax(1).tolist()]
    columns = {"path": list(outputs.images.names)} | ({"label": truth} if dataset.classes else {})
    probabilities = torch.softmax(outputs.values.double(), dim=1)
    shares = {f"p_{name}": probabilities[:, i].tolist() for i, name in enumerate(classes)}
    write_table(facts["out"], columns | {"predicted": predicted} | shares)
    known = [(name, other) for name, other in zip(truth, predicted, strict=True) if name in classes]
    unknown = Counter(name for name in truth if name and name not in classes)
    return Predicted(
        right=sum(name == other for name, other in known),
        labeled=len(known),
        unknown=dict(unknown.most_common()),
        beside_accuracy=_beside_accuracy(known),
        **facts,
    )


def _scored(task: AnyTask, dataset: Dataset, outputs: Outputs, facts: dict[str, Any]) -> Predicted:
    """What `predict` reports for tasks other than classification: the first score, if the data have the labels."""
    labels = labels_for(task, dataset.task, outputs.images.labels)
    facts = facts | {"ignored": ignored_labels(task, dataset.task)}
    if labels is None:
        return Predicted(right=0, labeled=0, **facts)
    known = torch.from_numpy(task.known(labels.numpy()))
    if not bool(known.any()):
        return Predicted(right=0, labeled=0, **facts)
    scores = task.scores(outputs.values[known], labels[known])
    return Predicted(right=0, labeled=int(known.sum()), metric=task.metric, scores=scores, **facts)


def _beside_accuracy(known: list[tuple[str, str]]) -> str:
    """What is reported beside accuracy if one class is frequent; else nothing. `known`: true and predicted classes."""
    counts = Counter(name for name, _ in known)
    if not known or max(counts.values()) <= UNEQUAL * len(known):
        return ""
    right = Counter(name for name, other in known if name == other)
    balanced = sum(right[name] / count for name, count in counts.items()) / len(counts)
    share = max(counts.values()) / len(known)
    return f"balanced {balanced:.1%}; the most frequent class is {share:.1%}, chance {1 / len(counts):.1%}"


def logits(trained: Trained, images: ImageSet, *, show: bool = False) -> Outputs:
    """Outputs [N, K], see `Task.readout`, bit for bit those of the run's evaluation on the same images."""
    engine = build_engine(trained.precision)
    model = fast_layout(trained.model).to(engine.device)
    readout = None if trained.card.task is None else trained.card.task.readout
    return map_images(model, images, engine, readout=readout, description="predict", show=show)
