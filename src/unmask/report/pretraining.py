"""The story of a pretraining, and its parts that a comparison shows too."""

from collections.abc import Sequence

from unmask.config import TargetConfig, from_json
from unmask.report.blocks import Photograph, Plate, Section, Story, Swatch
from unmask.report.curves import colours_of, monitor, pretraining_loss, series
from unmask.report.folders import RunFolder
from unmask.report.setting import describe_data, notes_section, settings_section
from unmask.report.words import number

_PICTURED_RUNS = 3
_ROWS = "Rows: the image, what the encoder saw, its reconstruction."


def pretraining_story(run: RunFolder) -> Story:
    """All about one pretraining."""
    sections = [
        reconstruction_section([run]),
        training_section([run]),
        notes_section(run.environment.get("notes", []), run.environment.get("bad_files", [])),
        settings_section(run),
    ]
    headline = pretraining_headline(run)
    return Story(run.name, "pretraining", describe_data(run.config), headline, [s for s in sections if s])


def pretraining_headline(run: RunFolder) -> str:
    """The final loss beside that of the target's baseline, in one sentence."""
    kind = "val_loss" if len(series(run.metrics, "val_loss")[0]) else "loss"
    row = next((row for row in reversed(run.metrics) if row.get(kind) is not None), None)
    if row is None:
        return "No step is logged yet."
    where = "on validation images" if kind == "val_loss" else "in training"
    sentence = f"After {row['step']} steps the reconstruction loss {where} is {number(row[kind])}"
    if not row.get("baseline"):
        return sentence + "."
    share = 1 - row[kind] / row["baseline"]
    better = f"{share:.0%} below that of" if share > 0 else "no better than"
    return f"{sentence}, {better} predicting {baseline_name(run)} ({number(row['baseline'])})."


def baseline_name(run: RunFolder) -> str:
    """What the baseline of a pretraining's target predicts, in words."""
    return from_json(TargetConfig, run.config["recipe"]["target"], f"{run.path / 'config.json'}: target").baseline_name


def loss_caption(runs: Sequence[RunFolder]) -> str:
    """What the lines of `pretraining_loss` are; runs may have different targets."""
    baselines = " or ".join(dict.fromkeys(baseline_name(run) for run in runs))
    return f"Reconstruction loss (solid), of predicting {baselines} (dashed), on validation (dotted)"


def reconstruction_section(runs: Sequence[RunFolder]) -> Section:
    """The last picture of each run, and the first one of the first run, to see what training changed."""
    photographs = []
    pictured = [run for run in runs if run.pictures]
    for run in pictured[:_PICTURED_RUNS]:
        last = run.pictures[-1]
        step = int(last.stem.removeprefix("step_"))
        if run is pictured[0] and len(run.pictures) > 1:
            first = run.pictures[0]
            early = int(first.stem.removeprefix("step_"))
            caption = f"{run.name}, early: step {early}. {_ROWS}"
            photographs.append(Photograph(first, _alt(run, early), caption, drawn=False))
        photographs.append(Photograph(last, _alt(run, step), f"{run.name}, step {step}. {_ROWS}", drawn=False))
    return Section("Reconstructions", "Validation images that pretraining has not seen.", photographs=photographs)


def training_section(runs: Sequence[RunFolder]) -> Section:
    """Loss beside its baseline, and the monitors of collapse, of all runs together."""
    logged = [run for run in runs if len(series(run.metrics, "loss")[0])]
    rows = {run.name: run.metrics for run in logged}
    if not rows:
        return Section("Pretraining")
    ends = "; ".join(f"{run.name}: {pretraining_headline(run)}" for run in logged)
    plates = [Plate(pretraining_loss(rows), f"Reconstruction loss over steps. {ends}", loss_caption(logged))]
    monitors = (("effective_rank", "effective rank of the features"), ("feature_std", "spread of the features"))
    for field, title in monitors:
        found = {name: values for name, values in rows.items() if len(series(values, field)[0])}
        if found:
            last = ", ".join(f"{name} ends at {number(series(values, field)[1][-1])}" for name, values in found.items())
            caption = f"{title[0].upper()}{title[1:]}: a fall towards zero would mean collapse"
            plates.append(Plate(monitor(found, field, title), f"{title} over steps: {last}", caption))
    legend = [Swatch(name, colour) for name, colour in colours_of(list(rows)).items()]
    return Section("Pretraining", "", legend if len(rows) > 1 else [], plates)


def seconds_of_run(run: RunFolder) -> float | None:
    """Seconds a pretraining took, as its last metrics line or its environment says; None where neither does."""
    logged = [row["seconds"] for row in run.metrics if row.get("seconds") is not None]
    found = logged[-1] if logged else run.environment.get("seconds")
    return None if found is None else float(found)


def _alt(run: RunFolder, step: int) -> str:
    return (
        f"Images, their visible cells and their reconstructions by {run.name} after {step} steps, one column an image"
    )
