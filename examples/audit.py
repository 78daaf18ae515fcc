"""Audit two networks with a custom measure beside a built-in one: how sure is each network of what it says?

    python examples/audit.py                    (seconds on one core)

A measure is a function from networks and images to a `Finding`: numbers for audit.json and a section of the page. To
contribute one, add it to `MEASURES` in `unmask.audit.sections.order`. The networks are trained on 2 and on 20
labels per class of the built-in images with known parts; they and the images are few, so the numbers say little.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import unmask
from unmask.audit.audit_runs import choose_images, write_audit
from unmask.audit.networks import build_networks, read_weights
from unmask.audit.protocol import AuditData, Audited, Finding
from unmask.audit.sections.parts import measure_parts
from unmask.config import (
    AuditConfig,
    AuditRun,
    ClassifyConfig,
    ClassifyRecipe,
    DataConfig,
    EncoderConfig,
    OptimizerConfig,
)
from unmask.report.blocks import Section, Table
from unmask.runs.files import read_json

DATA = DataConfig(
    data="multiview",
    options={"images": 300, "val_images": 60, "test_images": 90, "classes": 3, "size": 16, "part_size": 4, "step": 4},
)
ENCODER = EncoderConfig(encoder="patchnet", encoder_options={"width": 32, "patch": 4, "stride": 4})


def measure_confidence(networks: Sequence[Audited], data: AuditData, config: AuditConfig) -> Finding[Any]:
    """Mean probability of the class a network names, beside the share of images it gets right."""
    found = {}
    for network in networks:
        with torch.no_grad():
            chances = network.model(network.prepare(data.pixels)).softmax(1)
        right = (chances.argmax(1) == data.labels).double()
        found[network.name] = {"confidence": float(chances.amax(1).mean()), "accuracy": float(right.mean())}
    rows = [(name, f"{n['confidence']:.0%}", f"{n['accuracy']:.0%}") for name, n in found.items()]
    section = Section(
        title="How sure the networks are",
        intro="The mean probability of the class a network names. Far above its accuracy: it is too sure.",
        tables=[Table(f"On {len(data.labels)} images", ("network", "probability", "right"), rows)],
    )
    return Finding(key="confidence", section=section, models=found)


def main(folder: Path) -> None:
    """Train, measure, write the page."""
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=60, batch_size=20, lr=5e-3))
    folders = [
        unmask.scratch(
            ClassifyConfig(data=DATA, encoder=ENCODER, recipe=recipe, budget=budget),
            folder / f"{budget} labels per class",
            progress=False,
        ).folder
        for budget in (2, 20)
    ]
    config = AuditConfig(images=90, split="multi", pictures=4)
    dataset = unmask.load_data(DATA, labels=True, progress=False)
    networks = build_networks(read_weights(folders), dataset, config.seed)
    images = choose_images(dataset, config)
    findings = [measure(networks, images, config) for measure in (measure_confidence, measure_parts)]
    asked = AuditRun(networks=tuple(folders), data=DATA, audit=config)
    written = write_audit(
        folder / "audit", asked, [found for found in findings if found], fingerprint=dataset.fingerprint
    )
    models = read_json(written / "audit.json")["models"]
    for name, measures in models.items():
        sure, right = measures["confidence"]["confidence"], measures["confidence"]["accuracy"]
        print(f"{name}: says its class with probability {sure:.2f}, is right on {right:.0%}")
    print(f"{written.name}/audit.html: {(written / 'audit.html').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
