"""The story of a comparison: verdict first, then the evidence."""

from collections import Counter
from collections.abc import Sequence
from itertools import product

from unmask.config.budget import Budget, labels_in_words
from unmask.config.metric import SCORES
from unmask.inference.summary import summarize_so_far
from unmask.inference.verdict import describe_evaluated, describe_split
from unmask.report.blocks import Board, Fold, Plate, Ruling, Section, Showcase, Story, Swatch, Table
from unmask.report.confusions import confusion_section
from unmask.report.costs import cost_section
from unmask.report.curves import finetuning, series
from unmask.report.figures import arm_dots, label_efficiency
from unmask.report.galleries import showcases
from unmask.report.label_ways import label_ways_section
from unmask.report.mask_classes import mask_classes_by_arm
from unmask.report.outputs import outputs_by_arm
from unmask.report.paired_differences import differences_section
from unmask.report.palette import look
from unmask.report.pretraining import reconstruction_section, training_section
from unmask.report.recalls import class_section, splits_of
from unmask.report.setting import describe_data, notes_section, settings_section
from unmask.report.shown_splits import with_shown_splits
from unmask.report.words import capital, change_writer, interval_text, percent, unit, value_writer
from unmask.report.work import work_section
from unmask.runs.contents import ComparisonRun
from unmask.runs.metrics import TrainingRow
from unmask.runs.summary_records import Mean, Settings, Summary, Verdict
from unmask.wording import in_percent, plural

_NAMES: dict[str, str] = {name: score.title for name, score in SCORES.items() if name != "knn_accuracy"}


def comparison_story(run: ComparisonRun) -> Story:
    """All sections of a comparison, in the order in which a reader asks for them."""
    run = with_shown_splits(run)
    summary = run.summary or summarize_so_far(run.config, run.trials)
    verdicts = summary.verdicts
    advised = summary.recommendations[0].arm if summary.recommendations else ""
    sections: list[Section | Showcase] = [
        _efficiency(summary, describe_evaluated(run.config.evaluate_on)),
        _arms(summary),
        differences_section(summary),
        label_ways_section(summary),
        class_section(run, summary),
        confusion_section(run, summary),
        mask_classes_by_arm(summary, run.trials),
        outputs_by_arm(summary, run.trials, run.gallery, advised),
        *showcases(run.gallery, run.folder, first=advised),
        reconstruction_section(run.pretrainings),
        _training(run, summary),
        training_section(run.pretrainings),
        _ensembles(summary),
        cost_section(run, summary),
        work_section(run.work),
        notes_section(run, summary.notes),
        settings_section(run),
    ]
    return Story(
        name=run.name,
        kind="comparison",
        subtitle=describe_data(run.config),
        headline=_headline(summary),
        sections=[s for s in sections if s],
        verdict=_word(summary),
        tally=_below(summary),
        board=verdict_board(verdicts, summary.settings) if len(verdicts) > 1 else None,
    )


def _headline(summary: Summary) -> str:
    if summary.answer is not None:
        return summary.answer.sentence
    return summary.verdicts[0].sentence if summary.verdicts else f"No verdict yet. {summary.notes[-1]}"


def _word(summary: Summary) -> str:
    """None if the headline says what is best: a gain is about pretraining, which may not be the best."""
    if summary.answer is not None:
        word = summary.recommendations[0].verdict
        return "" if word in ("gain", "loss") else word
    return summary.verdicts[0].verdict if summary.verdicts else ""


def _below(summary: Summary) -> str:
    """The text below the headline: how good that is, what to do next, and whether pretraining helps."""
    words = [row.verdict for row in summary.verdicts]
    if summary.answer is None:
        return tally(words[1:])
    first = [summary.verdicts[0].sentence] if summary.verdicts else []
    worth = [one.sentence for one in summary.labels_worth if one.budget == summary.settings.primary_budget]
    parts = [summary.answer.context, summary.answer.next_step, *first, *worth, tally(words[1:])]
    return " ".join(part for part in parts if part)


def tally(words: Sequence[str]) -> str:
    """The verdicts besides the headline, counted: "Elsewhere: 4 gains, 1 undecided."; empty without any."""
    counts = Counter(words)
    forms = {"gain": "gains", "loss": "losses", "equivalent": "equivalent", "undecided": "undecided"}
    parts = [plural(counts[word], word, form) for word, form in forms.items() if counts[word]]
    return f"Other budgets and images: {', '.join(parts)}." if parts else ""


def verdict_board(verdicts: Sequence[Verdict], settings: Settings) -> Board:
    """All verdicts at a glance: a row for each kind of images, a column for each budget."""
    budgets = settings.budgets
    found = {(row.split, row.budget): row for row in verdicts}
    rows = []
    for split in dict.fromkeys(row.split for row in verdicts):
        places = [found.get((split, budget)) for budget in budgets]
        rulings = [
            None
            if row is None
            else Ruling(row.verdict, interval_text(row, change_writer(settings.metric)), row.sentence)
            for row in places
        ]
        rows.append((describe_split(split), rulings))
    primary = {row.budget for row in verdicts if row.primary}
    columns = [f"{labels_in_words(budget)}{' (primary)' if budget in primary else ''}" for budget in budgets]
    what = capital(_NAMES[settings.metric])
    return Board(
        f"{what}, pretrained minus the best scratch arm{unit(settings.metric, 'points')} [interval]", columns, rows
    )


def _arm_names(summary: Summary) -> list[str]:
    return [row.arm for row in summary.seconds]


def _efficiency(summary: Summary, images: str) -> Section:
    """The figures of all arms; `images` are those on which the comparison is judged, in words."""
    arms, budgets = _arm_names(summary), summary.settings.budgets
    plates = []
    for split, metric in product(splits_of(summary), summary.settings.in_the_open):
        rows = [row for row in summary.means if row.split == split and row.metric == metric]
        caption = f"{capital(_NAMES[metric])} on {describe_split(split)}"
        alt = f"{caption}. " + _spoken(rows, arms, budgets)
        figure = label_efficiency(rows, arms, budgets) if len(budgets) > 1 else arm_dots(rows, arms)
        plates.append(Plate(figure, alt, caption))
    legend = [Swatch(look(arm).title, look(arm).color, look(arm).line != "-") for arm in arms]
    level = in_percent(summary.settings.confidence)
    ends = ", which end at 0 and 100 %" * SCORES[summary.settings.metric].share
    intro = f"Mean over label draws with {level} intervals over {_varied(summary, images)}{ends}. "
    intro += _narrower(summary, images)
    intro += "The spread of a line shows how much the draw matters."
    intro += " To see whether two arms differ, read the paired differences below, not overlapping intervals."
    what = capital(_NAMES[summary.settings.metric])
    title = f"{what} for few to many labels" if len(budgets) > 1 else f"{what} of every arm"
    return Section(title, intro, legend, plates)


def _varied(summary: Summary, images: str) -> str:
    """What the intervals of the shown metrics are over; images only if values per image are known."""
    methods = [row.method for row in summary.means if row.metric in summary.settings.in_the_open]
    varied = ["pretrainings"] * (len({score.pretraining for score in summary.scores} - {None}) > 1) + ["label draws"]
    if not all(" these " in method for method in methods):
        varied.append(images.replace("images", "groups") if any(" groups" in method for method in methods) else images)
    return " and ".join([", ".join(varied[:-1]), varied[-1]] if len(varied) > 1 else varied)


def _spoken(rows: Sequence[Mean], arms: Sequence[str], budgets: Sequence[Budget]) -> str:
    """The means of a figure as a sentence, for readers who cannot see it."""
    lookup = {(row.arm, row.budget): value_writer(row.metric)(row.mean) for row in rows}
    parts = []
    for arm in arms:
        values = [f"{lookup[arm, b]} with {labels_in_words(b)}" for b in budgets if (arm, b) in lookup]
        if values:
            parts.append(f"{look(arm).title}: {', '.join(values)}")
    return "; ".join(parts) + "."


def _narrower(summary: Summary, images: str) -> str:
    """A sentence on the shown metrics whose intervals are not over other images: values per image are read of one."""
    rows = {metric: [row for row in summary.means if row.metric == metric] for metric in summary.settings.in_the_open}
    these = [_NAMES[metric] for metric, own in rows.items() if any(" these " in row.method for row in own)]
    which = "They" if len(these) == len(rows) else f"Those of {' and '.join(these)}"
    return f"{which} are for these {images} only. " if these else ""


def _arms(summary: Summary) -> Section:
    arms, budgets, splits = _arm_names(summary), summary.settings.budgets, splits_of(summary)
    shown = summary.settings.in_the_open
    known = {one.metric for one in summary.means}
    hidden = [metric for metric in _NAMES if metric not in shown and metric in known]
    tables, others = (
        [_score_table(summary, arms, budgets, split, metric) for split in splits for metric in metrics]
        for metrics in (shown, hidden)
    )
    names = [_NAMES[metric] for metric in hidden]
    title = " and ".join([", ".join(names[:-1])] * bool(names[1:]) + names[-1:])
    folds = [Fold(capital(title), [one for one in others if one.rows])] if names else []
    shown_first = [_arm_table(summary)] * bool(arms)
    return Section("Every arm", _without_skill(summary.settings), tables=[*shown_first, *tables], folds=folds)


def _without_skill(settings: Settings) -> str:
    """Scores without having learned anything."""
    if settings.majority is None or settings.chance is None or settings.primary_split is None:
        return ""
    return (
        f"On {describe_split(settings.primary_split)} always naming the most frequent class has an accuracy of "
        f"{percent(settings.majority)} % and a balanced accuracy of {percent(settings.chance)} %, the same as guessing."
    )


def _arm_table(summary: Summary) -> Table:
    """What each arm is."""
    rows = [(look(row.arm).title, row.arm, look(row.arm).meaning, str(row.trials)) for row in summary.seconds]
    return Table("The arms", ("arm", "name", "what it is", "trainings"), rows)


def _score_table(
    summary: Summary,
    arms: Sequence[str],
    budgets: Sequence[Budget],
    split: str,
    metric: str,
) -> Table:
    """A row per arm; below a probe's own row, the accuracy of nearest neighbors on its features."""
    found = {(row.arm, row.metric, row.budget): row for row in summary.means if row.split == split}
    shown = {metric: "", "knn_accuracy": ", nearest neighbors (kNN)"} if metric == "accuracy" else {metric: ""}
    rows = []
    for arm, (one, suffix) in product(arms, shown.items()):
        cells = [found.get((arm, one, budget)) for budget in budgets]
        if any(cells):
            scores = [interval_text(cell, value_writer(metric)) for cell in cells]
            counts = sorted({str(cell.n) for cell in cells if cell is not None})
            rows.append((look(arm).title + suffix, *scores, ", ".join(counts)))
    caption = f"{capital(_NAMES[metric])} on {describe_split(split)}{unit(metric, '%')}: mean [interval]"
    return Table(caption, ("arm", *map(labels_in_words, budgets), "n"), rows, numeric=True)


def _training(run: ComparisonRun, summary: Summary) -> Section:
    """Loss and validation score of the trials over steps, at the primary budget."""
    budget = summary.settings.primary_budget
    histories: dict[str, list[list[TrainingRow]]] = {}
    for arm in _arm_names(summary):
        found = [trial.history for trial in run.trials if (trial.arm, trial.budget) == (arm, budget)]
        histories[arm] = [[row for row in history if row.phase != "head"] for history in found]
    plates = []
    first = next((scores.first for one in run.trials if (scores := one.metrics.get("val"))), "accuracy")
    for title, scale, value in (
        ("training loss", 1.0, lambda row: row.loss),
        ("validation accuracy, %", 100.0, lambda row: row.val_accuracy),
        (
            f"{SCORES[first].title} on validation images{unit(first, '%')}",
            SCORES[first].scale,
            lambda row: row.val_score,
        ),
    ):
        curves = {arm: [series(history, value) for history in trials] for arm, trials in histories.items()}
        shown = {arm: known for arm, trials in curves.items() if (known := [one for one in trials if len(one.steps)])}
        if shown:
            alt = (
                f"{title} over steps with {labels_in_words(budget)}, for {', '.join(look(arm).title for arm in shown)}"
            )
            plates.append(Plate(finetuning(shown, title, scale=scale), alt, capital(title)))
    trained = [arm for arm, trials in histories.items() if any(trials)]
    legend = [Swatch(look(arm).title, look(arm).color, look(arm).line != "-") for arm in trained]
    intro = f"Every training with {labels_in_words(budget)} (thin) and the mean of each arm (thick)."
    return Section("Training with labels", intro, legend, plates)


def _ensembles(summary: Summary) -> Section:
    metric = next((row.metric for row in summary.ensembles), "accuracy")
    rows = [
        (
            look(row.arm).title,
            labels_in_words(row.budget),
            describe_split(row.split),
            value_writer(metric)(row.mean),
            value_writer(metric)(row.ensemble),
            change_writer(metric)(row.gap),
        )
        for row in summary.ensembles
    ]
    intro = (
        f"{capital(_NAMES[metric])} of the averaged predictions of an arm's trainings minus their mean. An encoder "
        "that captured every feature has little to gain from an ensemble."
    )
    columns = (
        "arm",
        "labels",
        "images",
        f"mean{unit(metric, '%')}",
        f"ensemble{unit(metric, '%')}",
        f"gap{unit(metric, 'points')}",
    )
    table = Table("Single trainings and their average", columns, rows, numeric=True)
    return Section("Ensemble gap", intro, tables=[table] if rows else [])
