"""The story of one fine-tuning or one training from scratch."""

from unmask.inference.verdict import describe_split
from unmask.report.blocks import Fold, Plate, Section, Story, Table
from unmask.report.classes import confusion_map
from unmask.report.curves import monitor, series
from unmask.report.folders import RunFolder
from unmask.report.setting import describe_data, notes_section, settings_section
from unmask.report.words import duration, percent

_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")


def classification_story(run: RunFolder) -> Story:
    """Scores, classes and confusions, training curves."""
    sections = [
        _scores(run),
        _confusions(run),
        _training(run),
        notes_section(
            [*run.environment.get("notes", []), *run.result.get("notes", [])], run.environment.get("bad_files", [])
        ),
        settings_section(run),
    ]
    start = run.config.get("init")
    subtitle = f"{describe_data(run.config)}, start: {start or 'random weights'}"
    return Story(run.name, "classification", subtitle, classification_headline(run), [s for s in sections if s])


def classification_headline(run: RunFolder) -> str:
    """Accuracy on the scored images in one sentence."""
    metrics = run.result.get("metrics", {})
    if not metrics:
        nothing = "Finished, but nothing was measured: the data have neither validation nor test images."
        return nothing if run.result else "Not finished: there is no result yet."
    names = [name for name in metrics if name != "val"] or list(metrics)
    parts = [f"{percent(metrics[name]['accuracy'])} % of {describe_split(name)}" for name in names]
    images = run.result.get("labelled_images")
    learnt = f", learnt from {images} labelled images" if images else ""
    return f"Right on {', '.join(parts)}{learnt}."


def score_rows(run: RunFolder) -> list[tuple[str, ...]]:
    """A row a split: its name and the four scores in per cent."""
    metrics = run.result.get("metrics", {})
    return [(describe_split(split), *(percent(values.get(s)) for s in _SCORES)) for split, values in metrics.items()]


def _scores(run: RunFolder) -> Section:
    columns = ("images", "accuracy", "balanced accuracy", "macro-F1", "AUROC")
    rows = score_rows(run)
    seconds = run.result.get("seconds")
    intro = f"Trained in {duration(seconds)}." if seconds else ""
    return Section("Scores", intro, tables=[Table("Scores, %", columns, rows)] if rows else [])


def _confusions(run: RunFolder) -> Section:
    plates, tables = [], []
    for split, values in run.result.get("metrics", {}).items():
        classes = [row["name"] for row in values.get("per_class", ())]
        if not classes or "confusion" not in values:
            continue
        where = describe_split(split)
        lines = [
            (row["name"], percent(row["recall"]), percent(row["precision"]), str(row["images"]))
            for row in values["per_class"]
        ]
        alt = f"Confusion matrix on {where}. Recall in per cent: " + ", ".join(f"{line[0]} {line[1]}" for line in lines)
        caption = f"Confusions on {where}: share of each true class (row), counts written in"
        plates.append(Plate(confusion_map(values["confusion"], classes), alt, caption))
        tables.append(Table(f"Classes on {where}", ("class", "recall, %", "precision, %", "images"), lines))
    return Section("Classes", plates=plates, folds=[Fold("Recall and precision a class", tables)] if tables else [])


def _training(run: RunFolder) -> Section:
    plates = []
    for field, title in (("loss", "training loss"), ("val_accuracy", "validation accuracy, share of images")):
        values = series(run.metrics, field)[1]
        if len(values):
            alt = f"{title} over steps, from {values[0]:.3g} to {values[-1]:.3g}"
            caption = f"{title[0].upper()}{title[1:]}"
            plates.append(Plate(monitor({run.name: run.metrics}, field, title), alt, caption))
    return Section("Training", plates=plates)
