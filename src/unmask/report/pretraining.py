"""The story of a pretraining, and the parts of it that a comparison also shows."""

from collections.abc import Sequence

from unmask.report.blocks import Photograph, Plate, Section, Story, Swatch
from unmask.report.curves import colors_of, monitor, pretraining_loss, series, training_loss
from unmask.report.setting import describe_data, notes_section, settings_section
from unmask.report.words import capital, number
from unmask.runs.contents import PretrainingRun
from unmask.runs.metrics import TrainingRow, ValidationRow, rows_of
from unmask.wording import plural

_PICTURED_RUNS = 3
_ROWS = "Rows: the image, what the encoder saw, its reconstruction."


def pretraining_story(run: PretrainingRun) -> Story:
    """Everything about one pretraining."""
    sections = [
        reconstruction_section([run]),
        training_section([run]),
        notes_section(run),
        settings_section(run),
    ]
    headline = pretraining_headline(run)
    return Story(run.name, "pretraining", describe_data(run.config), headline, [s for s in sections if s])


def pretraining_headline(run: PretrainingRun) -> str:
    """The final loss beside that of the target's baseline, in one sentence."""
    looks, steps = rows_of(ValidationRow, run.metrics), rows_of(TrainingRow, run.metrics)
    if looks:
        where, step, loss, baseline = "on validation images", looks[-1].step, looks[-1].val_loss, looks[-1].baseline
    elif steps:
        where, step, loss, baseline = "in training", steps[-1].step, steps[-1].loss, steps[-1].baseline or 0.0
    else:
        return "No steps logged yet."
    sentence = f"After {plural(step, 'step')} the reconstruction loss {where} is {number(loss)}"
    if not baseline:
        return sentence + "."
    share = 1 - loss / baseline
    better = f"{share:.0%} below that of" if share > 0 else "no better than"
    return f"{sentence}, {better} predicting {run.config.recipe.target.baseline_name} ({number(baseline)})."


def loss_caption(runs: Sequence[PretrainingRun]) -> str:
    """The meaning of the lines of `pretraining_loss`; runs may have different targets."""
    baselines = " or ".join(dict.fromkeys(run.config.recipe.target.baseline_name for run in runs))
    return f"Reconstruction loss (solid), of predicting {baselines} (dashed), on validation (dotted)"


def reconstruction_section(runs: Sequence[PretrainingRun]) -> Section:
    """The last picture of each run, and the first one of the first run, to see what training changed."""
    photographs = []
    pictured = [run for run in runs if run.pictures]
    for run in pictured[:_PICTURED_RUNS]:
        last, rows = run.pictures[-1], _ROWS + _channel(run)
        step = int(last.stem.removeprefix("step_"))
        if run is pictured[0] and len(run.pictures) > 1:
            first = run.pictures[0]
            early = int(first.stem.removeprefix("step_"))
            caption = f"{run.name}, early: step {early}. {rows}"
            photographs.append(Photograph(first, _alt(run, early), caption, drawn=False))
        photographs.append(Photograph(last, _alt(run, step), f"{run.name}, step {step}. {rows}", drawn=False))
    intro = "Validation images of all classes that pretraining has not seen."
    return Section("Reconstructions", intro, photographs=photographs)


def training_section(runs: Sequence[PretrainingRun]) -> Section:
    """Loss beside its baseline, and the collapse monitors, of all runs together."""
    logged = [run for run in runs if len(training_loss(run.metrics).steps)]
    rows = {run.name: run.metrics for run in logged}
    if not rows:
        return Section("Pretraining")
    ends = "; ".join(f"{run.name}: {pretraining_headline(run)}" for run in logged)
    plates = [Plate(pretraining_loss(rows), f"Reconstruction loss over steps. {ends}", loss_caption(logged))]
    for title, value in (
        ("effective rank of the features", lambda row: row.effective_rank),
        ("spread of the features", lambda row: row.feature_std),
    ):
        curves = {name: series(rows_of(ValidationRow, found), value) for name, found in rows.items()}
        shown = {name: curve for name, curve in curves.items() if len(curve.steps)}
        if shown:
            last = ", ".join(f"{name} ends at {number(curve.values[-1])}" for name, curve in shown.items())
            caption = f"{capital(title)}: a drop toward zero would mean collapse"
            plates.append(Plate(monitor(shown, title), f"{title} over steps: {last}", caption))
    legend = [Swatch(name, color) for name, color in colors_of(list(rows)).items()]
    return Section("Pretraining", "", legend if len(rows) > 1 else [], plates)


def _channel(run: PretrainingRun) -> str:
    """The channel that pictures show, if images are neither gray nor in color."""
    facts = run.environment.data if run.environment is not None else None
    channels = facts.channels if facts is not None else None
    return "" if channels in (None, 1, 3) else f" The first of {channels} channels is shown, in gray."


def _alt(run: PretrainingRun, step: int) -> str:
    after = f"by {run.name} after {plural(step, 'step')}"
    return f"Images, their visible cells and their reconstructions {after}, one column per image"
