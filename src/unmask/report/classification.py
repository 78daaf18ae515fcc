"""The story of one fine-tuning or one training from scratch."""

from unmask.config.metric import SCORES
from unmask.inference.verdict import describe_split, direction_of, titled
from unmask.report.blocks import Fold, Plate, Section, Showcase, Story, Table
from unmask.report.confusions import Confusion
from unmask.report.curves import monitor, one_after_the_other, series, training_loss
from unmask.report.galleries import showcases
from unmask.report.mask_classes import mask_classes
from unmask.report.outputs import output_section
from unmask.report.setting import describe_data, notes_section, settings_section
from unmask.report.words import capital, duration, percent, value_writer
from unmask.runs.contents import ClassificationRun
from unmask.runs.metrics import TrainingRow, rows_of
from unmask.runs.scores import ClassificationScores, Scores, value_of, values_of
from unmask.wording import plural

_KINDS = {"auto": "classification", "multilabel": "multilabel classification"}
"""What a page says it is about, where that is not the task's name."""


def classification_story(run: ClassificationRun) -> Story:
    """Scores, classes and confusions, training curves."""
    sections: list[Section | Showcase] = [
        _scores(run),
        output_section(run),
        _confusions(run),
        mask_classes(run),
        *showcases(run.gallery, run.folder),
        _training(run),
        notes_section(run, after=run.result.notes if run.result is not None else ()),
        settings_section(run),
    ]
    subtitle = f"{describe_data(run.config)}, start: {run.config.init or 'random weights'}"
    kind = _KINDS.get(run.config.data.task, run.config.data.task)
    return Story(run.name, kind, subtitle, classification_headline(run), [s for s in sections if s])


def classification_headline(run: ClassificationRun) -> str:
    """Accuracy on the scored images in one sentence."""
    if run.result is None:
        return "Not finished: there is no result yet."
    metrics = run.result.metrics
    if not metrics:
        return "Finished, but nothing was measured: the data have neither validation nor test images."
    names = [name for name in metrics if name != "val"] or list(metrics)
    learned = f"learned from {plural(run.result.labeled_images, 'labeled image')}."
    right = {name: one for name in names if isinstance(one := metrics[name], ClassificationScores)}
    if not right:
        parts = [f"{_judged(metrics[name], run)} on {describe_split(name)}" for name in names]
        return f"{capital(', '.join(parts))}, {learned}"
    parts = [f"{percent(one.accuracy)} % of {describe_split(name)}{_unequal(one)}" for name, one in right.items()]
    return f"Right on {', '.join(parts)}, {learned}"


def _judged(scores: Scores, run: ClassificationRun) -> str:
    """The metric that the run was judged by, in words; if that belongs to another task, the task's first."""
    metric = run.config.metric if run.config.metric in values_of(scores) else scores.first
    score, value = SCORES[metric], value_of(scores, metric)
    return f"{score.title} {'undefined' if value is None else score.text(value)}{direction_of(metric)}"


def _unequal(scores: ClassificationScores) -> str:
    """Scores added to accuracy if one class is frequent."""
    if not scores.unequal:
        return ""
    return (
        f" (balanced accuracy {percent(scores.balanced_accuracy)} %; the most frequent class is "
        f"{percent(scores.majority)} %, chance {percent(scores.chance)} %)"
    )


def score_rows(run: ClassificationRun) -> list[tuple[str, ...]]:
    """A row per split: its name and the scores of its task, shares in per cent."""
    metrics = run.result.metrics if run.result is not None else {}
    return [
        (describe_split(split), *(value_writer(name)(value) for name, value in values_of(one).items()))
        for split, one in metrics.items()
    ]


def score_columns(scores: Scores) -> tuple[str, ...]:
    """Headers of `score_rows`."""
    return ("images", *map(titled, values_of(scores)))


def _scores(run: ClassificationRun) -> Section:
    rows = score_rows(run)
    intro = f"Trained in {duration(run.result.seconds)}." if run.result is not None else ""
    if run.result is None or not rows:
        return Section("Scores", intro)
    first = next(iter(run.result.metrics.values()))
    shares = all(SCORES[name].share for name in values_of(first))
    return Section("Scores", intro, tables=[Table(f"Scores{', %' * shares}", score_columns(first), rows)])


def _confusions(run: ClassificationRun) -> Section:
    plates: list[Plate] = []
    tables: list[Table] = []
    for split, scores in run.result.metrics.items() if run.result is not None else ():
        if not isinstance(scores, ClassificationScores):
            continue
        where = describe_split(split)
        lines = [(one.name, percent(one.recall), percent(one.precision), str(one.images)) for one in scores.per_class]
        confusion = Confusion.of(f"on {where}", [scores])
        plates += confusion.plates()
        tables.append(Table(f"Classes on {where}", ("class", "recall, %", "precision, %", "images"), lines))
        tables += confusion.tables()
    intro = "Rows are true classes, columns predictions; color is the share of the true class, numbers count images."
    folds = [Fold("Recall, precision and confusions as tables", tables)] if tables else []
    return Section("Which classes are confused", intro if plates else "", plates=plates, folds=folds)


def _first_title(run: ClassificationRun) -> str:
    """The metric of `val_score`."""
    scores = run.result.metrics.get("val") if run.result is not None else None
    return "score" if scores is None else titled(scores.first)


def _training(run: ClassificationRun) -> Section:
    """Loss and validation accuracy, with the head phase and the main phase in sequence on one axis."""
    plates = []
    head_steps = run.config.recipe.head_steps
    rows = one_after_the_other(rows_of(TrainingRow, run.metrics), head_steps)
    phases = f"; the head alone up to step {head_steps} (dotted line), then all weights" if head_steps else ""
    for title, curve in (
        ("training loss", training_loss(rows)),
        ("validation accuracy, share of images", series(rows, lambda row: row.val_accuracy)),
        (f"{_first_title(run)} on validation images", series(rows, lambda row: row.val_score)),
    ):
        if len(curve.steps):
            alt = f"{title} over steps, from {curve.values[0]:.3g} to {curve.values[-1]:.3g}{phases}"
            figure = monitor({run.name: curve}, title, boundary=head_steps)
            plates.append(Plate(figure, alt, f"{capital(title)}{phases}"))
    return Section("Training", plates=plates)
