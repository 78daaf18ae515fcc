"""The audit as a run: read networks and data, measure, write audit.json, the pictures and the page."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from unmask.audit.networks import Weights, build_networks, load_networks, read_weights
from unmask.audit.protocol import AuditData, Audited, Finding, Measure
from unmask.audit.sections.all_measures import MEASURES
from unmask.audit.sections.draws import audit_arms
from unmask.config import AuditConfig, AuditRun, DataConfig, to_json
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset, load_data
from unmask.data.sources.read import absolute_name
from unmask.encoders.stages import evaluating
from unmask.errors import UserError
from unmask.randomness import permutation
from unmask.report.audit_story import AuditReport, write_audit_page
from unmask.report.blocks import Photograph, Plate, Section, Table
from unmask.report.png import to_png
from unmask.report.svg import to_svg
from unmask.report.words import percent
from unmask.runs.environment import describe_environment
from unmask.runs.files import write_json, write_whole
from unmask.runs.folder import check_folder, claim_folder
from unmask.runs.layout import AUDIT_FILE, AUDIT_PICTURES, ENVIRONMENT_FILE
from unmask.runs.records import DataFacts

Elsewhere = Callable[[Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], Dataset], Iterator[tuple[int, Any]]]
"""Runs each piece as function(*arguments, data), with one thread; yields index and result of each as it ends."""


def audit_runs(
    paths: Sequence[Path],
    data: DataConfig,
    out: Path,
    config: AuditConfig | None = None,
    *,
    overwrite: bool = False,
    progress: bool = True,
    elsewhere: Elsewhere | None = None,
) -> Path:
    """Audit finished networks side by side on the same images; returns the folder with audit.json and audit.html.

    Args:
        paths: folders of fine-tunings and trainings from scratch, or their .safetensors files.
        data: source of the images; size and channels are those of the networks.
        elsewhere: runs every measure on a worker, which reads the networks from the same paths. Default: they run here
            one after another.

    Raises:
        UserError: bad input, before anything is measured; or a measure fails on the workers.
    """
    config = config if config is not None else AuditConfig()
    here = tuple(path.absolute() for path in paths)
    asked = AuditRun(networks=here, data=replace(data, data=absolute_name(data.data)), audit=config)
    check_folder(out, asked, overwrite=overwrite)
    weights = read_weights(paths)
    card = weights[0].card
    wanted = replace(data, image_size=card.format.size, channels=card.format.channels)
    dataset = load_data(wanted, labels=True, progress=progress)
    networks = build_networks(weights, dataset, config.seed)
    chosen = choose_images(dataset, config)
    findings = [describe_networks(networks, weights, chosen, config.split)]
    work: Iterator[tuple[int, Finding[Any] | None]]
    if elsewhere is None:
        work = enumerate(measure(networks, chosen, config) for measure in MEASURES)
    else:
        work = elsewhere([(_measure_piece, (measure, here, config)) for measure in MEASURES], dataset)
    found = dict(tqdm(work, total=len(MEASURES), desc="audit", disable=not progress))
    findings += [finding for _, finding in sorted(found.items()) if finding is not None]
    return write_audit(out, asked, findings, fingerprint=dataset.fingerprint, overwrite=overwrite)


def _measure_piece(measure: Measure, paths: Sequence[Path], config: AuditConfig, data: Dataset) -> Finding[Any] | None:
    """One measure of an audit whose networks are not yet in memory."""
    networks = build_networks(read_weights(paths), data, config.seed)
    return measure(networks, choose_images(data, config), config)


def audit_draws(
    draws: Sequence[Mapping[str, Path]],
    dataset: Dataset,
    data: DataConfig,
    out: Path,
    config: AuditConfig,
    tell: Callable[[float], None] | None = None,
    shown: str = "test",
) -> Path:
    """Audit the networks of a comparison: the arms over the label draws, and those of the first draw side by side.

    Args:
        draws: for every label draw the weights file of each arm; the same arms in the same order.
        dataset: the data that the networks were trained and evaluated on.
        data: its configuration.
        out: folder to write; an existing audit is replaced.
        tell: called with the finished share, 0 to 1.
        shown: the name of the audited split for readers (`shown_split`).
    """
    weights = [
        [replace(one, name=arm) for arm, one in zip(draw, read_weights(list(draw.values())), strict=True)]
        for draw in draws
    ]
    chosen = choose_images(dataset, config)
    first = build_networks(weights[0], dataset, config.seed)
    networks = [first[: len(weights[0])], *(load_networks(one, dataset) for one in weights[1:])]
    found = audit_arms(networks, first[len(weights[0]) :], chosen, config, tell)
    asked = AuditRun(networks=tuple(draws[0].values()), data=data, audit=config)
    described = describe_networks(first, weights[0], chosen, shown)
    return write_audit(out, asked, [described, *found], fingerprint=dataset.fingerprint, overwrite=True)


def choose_images(dataset: Dataset, config: AuditConfig) -> AuditData:
    """Images of the wanted split, the same number per class as far as available, drawn with the seed.

    Raises:
        UserError: there is no such split.
    """
    sets = {"train": dataset.train, "val": dataset.val, **dataset.tests}
    images = sets.get(config.split)
    if images is None:
        there = ", ".join(name for name, found in sets.items() if found is not None)
        raise UserError(f"split = {config.split!r}: the data have {there}")
    picked = images.select(_balanced(images, config.images, config.seed))
    return AuditData(
        pixels=picked.raw(torch.arange(len(picked))),
        labels=picked.labels,
        ids=picked.ids,
        names=tuple(picked.names),
        classes=dataset.classes,
        dataset=dataset,
    )


def _balanced(images: ImageSet, count: int, seed: int) -> list[int]:
    """Up to `count` indices: a random one of each class in turn; an exhausted class is skipped."""
    shuffled = permutation(seed, "audit images", 0, len(images))
    labels = images.labels.numpy()[shuffled]
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        turn[labels == label] = np.arange((labels == label).sum())
    return [int(i) for i in shuffled[np.lexsort((labels, turn))][:count]]


@dataclass(frozen=True, kw_only=True)
class NetworkNumbers:
    """A network and its accuracy on the audited images."""

    path: str
    """Its file; empty for a control."""
    control: bool
    encoder: str
    parameters: int
    accuracy: float


def describe_networks(
    networks: Sequence[Audited], weights: Sequence[Weights], data: AuditData, split: str
) -> Finding[NetworkNumbers]:
    """The networks and their accuracy on the audited images."""
    cards = {one.name: one.card for one in weights}
    numbers = {}
    for network in networks:
        with torch.no_grad(), evaluating(network.model):
            parts = [network.model(chunk).argmax(1) for chunk in network.prepare(data.pixels).split(256)]
        right = torch.cat(parts) == data.labels
        card = cards.get(network.name)
        numbers[network.name] = NetworkNumbers(
            path=network.path,
            control=network.control,
            encoder=card.encoder.encoder if card is not None else type(network.model).__name__,
            parameters=sum(p.numel() for p in network.model.parameters()),
            accuracy=float(right.double().mean()),
        )
    rows = [
        (name, one.encoder, f"{one.parameters:,}", percent(one.accuracy), one.path or "control")
        for name, one in numbers.items()
    ]
    columns = ("network", "encoder", "parameters", "right, %", "from")
    section = Section(
        title="The networks",
        intro=f"All measures use the same {len(data.labels)} images of the split {split}.",
        tables=[Table(f"Accuracy on these {len(data.labels)} images", columns, rows)],
        notes=_notes(weights, data, split),
    )
    return Finding(
        key="network",
        section=section,
        models=numbers,
        setting={"split": split, "images": len(data.labels), "classes": list(data.classes)},
    )


def _notes(weights: Sequence[Weights], data: AuditData, split: str) -> list[str]:
    notes = list(data.dataset.notes)
    if split == "train":
        notes.append("The networks were trained on these images: the findings need not hold for others.")
    for one in weights:
        if one.fingerprint is not None and one.fingerprint != data.dataset.fingerprint:
            notes.append(
                f"{one.name}: was trained on other data or another split of them (fingerprint {one.fingerprint}, here "
                f"{data.dataset.fingerprint}); it may have seen these images in training."
            )
    return notes


def write_audit(
    out: Path, asked: AuditRun, findings: Sequence[Finding[Any]], *, fingerprint: str, overwrite: bool = False
) -> Path:
    """Write the folder of an audit, with audit.json, the pictures and audit.html; returns it.

    Raises:
        UserError: two findings have one name; the folder is in use, see `claim_folder`.
    """
    keys = [finding.key for finding in findings]
    if len(set(keys)) < len(keys):
        raise UserError(f"audit: two measures are called {max(keys, key=keys.count)}")
    claim_folder(out, asked, overwrite=overwrite)
    write_json(out / ENVIRONMENT_FILE, describe_environment(data=DataFacts(fingerprint=fingerprint)))
    names = list(dict.fromkeys(name for finding in findings for name in finding.models))
    report = AuditReport(
        models={
            name: {finding.key: finding.models[name] for finding in findings if name in finding.models}
            for name in names
        },
        differences=tuple(replace(row, measure=f.key) for f in findings for row in f.differences),
        setting={finding.key: dict(finding.setting) for finding in findings if finding.setting},
        page=tuple(_stored(finding, out / AUDIT_PICTURES) for finding in findings),
    )
    json.dumps(to_json(report), allow_nan=False)  # measures return None, never NaN
    write_json(out / AUDIT_FILE, report)
    write_audit_page(out)
    return out


def _stored(finding: Finding[Any], folder: Path) -> Section:
    """The page's part of a finding, with its pictures written to files."""
    section = finding.section
    return replace(
        section,
        plates=[replace(one, figure=_write_picture(one, finding.key, folder)) for one in section.plates],
        photographs=[replace(one, figure=_write_picture(one, finding.key, folder)) for one in section.photographs],
    )


def _write_picture(picture: Plate | Photograph, key: str, folder: Path) -> Path:
    """Write a figure as SVG or PNG; returns the file's bare name."""
    figure = picture.figure
    assert isinstance(figure, Figure)  # measures return figures, not files
    path = folder / f"{key}_{picture.name}.{'svg' if isinstance(picture, Plate) else 'png'}"
    write_whole(path, to_svg(figure) if isinstance(picture, Plate) else to_png(figure))
    return Path(path.name)
