"""README.md beside an export: what it is, what it was trained on, its scores, its input and how to load it."""

import json
from typing import Any

from unmask.config.metric import SCORES
from unmask.deploy.export_check import UNIT, takes_any_size
from unmask.deploy.formats import Format
from unmask.deploy.graphs import INPUT, ONNX, PT2, output_name
from unmask.deploy.trained import Trained, bare_name
from unmask.deploy.with_timm import WEIGHTS, call_of_timm
from unmask.inference.verdict import describe_split, titled
from unmask.runs.contents import PretrainingRun
from unmask.runs.metrics import ValidationRow, rows_of
from unmask.runs.scores import values_of
from unmask.wording import plural

README = "README.md"


def model_card(trained: Trained, to: Format, *, normalized: bool, license: str | None, difference: float) -> str:
    """The page as Markdown, with the header that the Hugging Face hub reads."""
    kind = "Image encoder (pooled features)" if trained.card.task is None else trained.card.task.title
    recipe = {name: _without_folders(value) for name, value in trained.settings.items()}
    parts = [
        _header(trained, to, license),
        f"# {trained.folder.resolve().name}: {trained.card.encoder.encoder}",
        f"{kind}, {trained.origin}, trained with unmask {_version(trained)}. Exported as {to}; on real images its "
        f"output was within {difference:.1g} of the run's.",
        "## Data\n\n" + _data(trained),
        "## Measured\n\n" + _measured(trained),
        "## Input\n\n" + _input(trained, to, normalized),
        f"## Load\n\nIn this folder:\n\n```python\n{loading(trained, to, normalized=normalized)}```",
        "## Recipe\n\n```json\n" + json.dumps(recipe, indent=1) + "\n```",
        "## License\n\n" + (license or "None is stated yet: whoever publishes these weights must choose one."),
    ]
    return "\n\n".join(parts) + "\n"


def loading(trained: Trained, to: Format, *, normalized: bool) -> str:
    """Python code that loads the export, to be run in its folder."""
    card = trained.card
    shape = (1, *card.format.shape)
    images = "what the encoder sees, see Input" if normalized else "pixel values as stored"
    output = output_name(card)
    if to == "timm":
        return (
            f"import timm\n\nmodel = {call_of_timm(card, WEIGHTS)}.eval()\n"
            "# the same, with its input settings:\n"
            'model = timm.create_model("local-dir:.", pretrained=True).eval()\n'
            "settings = timm.data.resolve_model_data_config(model)\n"
        )
    if to == "safetensors":
        return (
            f'import torch\n\nimport unmask\n\nmodel = unmask.load_model("{WEIGHTS}")\n'
            f"images = torch.zeros{shape}  # pixel values as stored\n"
            f"{output} = model.module(model.card.format.prepare(images))\n"
        )
    if to == "onnx":
        return (
            f'import numpy\nimport onnxruntime\n\nsession = onnxruntime.InferenceSession("{ONNX}")\n'
            f"images = numpy.zeros({shape}, numpy.float32)  # {images}\n"
            f'({output},) = session.run(None, {{"{INPUT}": images}})\n'
        )
    return (
        f'import torch\n\nmodel = torch.export.load("{PT2}").module()\n'
        f"{output} = model(torch.zeros{shape})  # {images}\n"
    )


def _header(trained: Trained, to: Format, license: str | None) -> str:
    tag = None if trained.card.task is None else trained.card.task.hub_tag
    lines = [f"license: {license or 'other'}", f"pipeline_tag: {tag or 'image-feature-extraction'}"]
    if to == "timm":
        lines.append("library_name: timm")
    return "---\n" + "\n".join([*lines, "tags:", "- unmask"]) + "\n---"


def _data(trained: Trained) -> str:
    environment, labeled = trained.environment, trained.labeled_images
    facts = environment.data if environment is not None else None
    fingerprint = facts.fingerprint if facts is not None else "not recorded"
    lines = [f"- data set: {bare_name(trained.data.data)} (fingerprint {fingerprint})"]
    lines += [f"- pretrained on {facts.images} images without labels"] if facts is not None and facts.images else []
    lines += [f"- {labeled} labeled training images"] if labeled is not None else []
    if trained.card.task is not None:
        lines += [f"- {line}" for line in trained.card.task.about_outputs()]
    return "\n".join(lines)


def _measured(trained: Trained) -> str:
    if not trained.scores:
        return _pretraining(trained.pretraining)
    names = list(values_of(next(iter(trained.scores.values()))))
    titles = " | ".join(map(titled, names))
    rows = [f"| images | n | {titles} |", "|---" * (len(names) + 2) + "|"]
    for split, scores in trained.scores.items():
        cells = " | ".join(_cell(name, value) for name, value in values_of(scores).items())
        rows.append(f"| {_images(trained, split)} | {getattr(scores, 'images', '–')} | {cells} |")
    unused = "The test set was not used. " if trained.halved_validation else ""
    shares = "In %, from" if all(SCORES[name].share for name in names) else "From"
    return "\n".join(
        [*rows, "", f"{unused}{shares} a single training run; `unmask compare` estimates the run-to-run variation."]
    )


def _images(trained: Trained, split: str) -> str:
    """Which images a score is of, in words."""
    half = {"test": "half of the validation images", "val": "the other half of the validation images"}
    return half.get(split, split) if trained.halved_validation else describe_split(split)


def _pretraining(run: PretrainingRun | None) -> str:
    looks = rows_of(ValidationRow, run.metrics) if run is not None else []
    if run is None or not looks:
        return "Nothing was recorded."
    last, baseline = looks[-1], run.config.recipe.target.baseline_name
    return (
        f"Reconstruction loss on hidden cells {last.val_loss:.4f} after {last.step} steps (predicting {baseline}: "
        f"{last.baseline:.4f}); effective rank of the features {last.effective_rank:.1f}."
    )


def _input(trained: Trained, to: Format, normalized: bool) -> str:
    wanted = trained.card.format
    channels, height, width = wanted.shape
    ranges = ", ".join(f"{low:g} to {high:g}" for low, high in wanted.channel_ranges or (wanted.value_range,))
    ranges += ", channel by channel," if wanted.channel_ranges else ""
    lines = [
        f"- {plural(channels, 'channel')}, {height} x {width} pixels (height x width); other "
        "sizes are stretched to it, bilinear with antialiasing",
        f"- stored pixel values ({wanted.kind}) from {ranges} count as 0 to 1"
        + (", those beyond are clipped" if wanted.clipped else ""),
        f"- then (x - mean) / std with mean {list(wanted.mean)} and std {list(wanted.std)}",
        "- values that are missing (NaN in the file, or what its no-data tag or mask leaves out) are then 0, the "
        "channel's mean",
    ]
    if to in ("onnx", "torch-export"):
        inside = "the caller does all of this" if normalized else "the graph does the last three steps itself"
        lines.append(f"- {inside}: it takes float32 [batch, {channels}, {height}, {width}], any batch size")
        if takes_any_size(trained):
            lines.append(f"- and other image sizes from {2 * UNIT} pixels, with sides divisible by {UNIT}")
    return "\n".join(lines)


def _without_folders(value: Any) -> Any:
    """Plain values with every path cut to its last part, such as that of a teacher."""
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return bare_name(value) if isinstance(value, str) else value


def _cell(metric: str, value: float | None) -> str:
    return "–" if value is None else SCORES[metric].number(value)


def _version(trained: Trained) -> str:
    environment = trained.environment
    return "" if environment is None else environment.packages.get("unmask") or ""
