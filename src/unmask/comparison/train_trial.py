"""One trial of the table: train, evaluate, write its file. Runs in a worker process."""

import time
from dataclasses import replace
from pathlib import Path

import torch

from unmask.batchnorm import reestimate_batchnorm
from unmask.comparison.kept_networks import NetworkFile, drop_outranked
from unmask.comparison.plan import TrialKey, TuningKey
from unmask.config import ARMS, ClassifyConfig
from unmask.config.metric import label_form
from unmask.data.load import Dataset
from unmask.encoders.heads import set_head
from unmask.evaluate.probe import Labeled, Probe
from unmask.forward import pooled_features
from unmask.runs.files import write_json
from unmask.runs.layout import JUDGED, OUTPUTS, TRIALS, TUNING, TUNING_OUTPUTS
from unmask.runs.scores import value_of
from unmask.runs.trial_records import TrialResult, TuningResult
from unmask.runs.work import write_work
from unmask.stages.classifier import build_classifier, labeled_subset, require_task
from unmask.stages.dense_probe import fit_dense_probe
from unmask.stages.supervised import Outcome, fit
from unmask.training.checkpoint import save_tensors
from unmask.training.engine import build_engine
from unmask.weights.card import Card, save_weights
from unmask.weights.start import initialize


def run_trial(config: ClassifyConfig, key: TrialKey, out: Path, network: NetworkFile | None, data: Dataset) -> None:
    """Train one trial; write its outputs, then its scores: the JSON file comes last and means "finished".

    The trained network is written where `network` says, a probe as its encoder with the probe as its head.
    """
    started = time.monotonic()
    strength = None
    if ARMS[key.arm].frozen:
        outcome, probe = _probe(config, data)
        strength = probe.strength
        if network is not None and label_form(outcome.task.name) != "mask":
            set_head(outcome.model, probe.weight, probe.bias)
    else:
        outcome = fit(config, data)
    if network is not None:
        save_weights(network.path, outcome.model.state_dict(), Card(config.encoder, outcome.format, outcome.task))
    task, shown = outcome.task, {name: values for name, values in outcome.outputs.items() if name != "val"}
    outputs = {name: task.kept(values) for name, values in shown.items()}
    judged = {f"{name}{JUDGED}": task.judged(values, data.tests[name].labels) for name, values in shown.items()}
    save_tensors(OUTPUTS.path(out, key.name), outputs | judged, {})
    result = TrialResult(
        arm=key.arm,
        budget=key.budget,
        draw=key.draw,
        pretraining=key.pretraining,
        repeat=key.repeat,
        metrics=outcome.metrics,
        labeled_images=outcome.labeled,
        recipe=None if ARMS[key.arm].frozen else config.recipe,
        seconds=time.monotonic() - started,
        history=tuple(outcome.history),
        probe_strength=strength,
    )
    write_work(out, "trial", key.name, started)
    write_json(TRIALS.path(out, key.name), result)
    if network is not None:
        drop_outranked(out, network)


def run_tuning_trial(config: ClassifyConfig, key: TuningKey, out: Path, data: Dataset) -> None:
    """One tuning trial: train, and write its predictions for the validation images; the JSON file comes last."""
    started = time.monotonic()
    if ARMS[key.arm].frozen:
        outcome, _ = _probe(config, replace(data, tests={}))
    else:
        outcome = fit(config, data, splits=())
    assert data.val is not None
    judged = outcome.task.judged(outcome.outputs["val"], data.val.labels)
    save_tensors(TUNING_OUTPUTS.path(out, key.name), {"val": judged}, {})
    result = TuningResult(
        arm=key.arm,
        budget=key.budget,
        draw=key.draw,
        candidate=key.candidate,
        val_score=value_of(outcome.metrics["val"], config.metric),
        seconds=time.monotonic() - started,
    )
    write_work(out, "tuning", key.name, started)
    write_json(TUNING.path(out, key.name), result)


def _probe(config: ClassifyConfig, data: Dataset) -> tuple[Outcome, Probe]:
    """The task's linear model on the frozen encoder's pooled features; its strength is chosen on validation data.

    Scores of nearest neighbors on the same features are added: they have nothing to choose. Public weights keep
    their BatchNorm statistics; those of other weights are re-estimated.
    """
    if label_form(require_task(config, data).name) == "mask":
        return fit_dense_probe(config, data)
    model = build_classifier(config, data)
    start = initialize(model, config.init, config.encoder, data.format, normalization=config.normalization)
    data = data.normalized_as(start.format)
    model.to(build_engine("no").device)
    if not start.keeps_statistics:
        reestimate_batchnorm(model, data.pretrain)
    train = labeled_subset(config, data)
    task = require_task(config, data).fitted(train.labels)
    assert data.val is not None
    wanted = {"val": data.val, **data.tests}
    features = {name: pooled_features(model, images) for name, images in wanted.items()}
    known = pooled_features(model, train)
    probe = task.probe(
        Labeled(known.values, known.images.labels),
        torch.cat([outputs.values for outputs in features.values()]),
        val=Labeled(features["val"].values, features["val"].images.labels),
        metric=config.metric,
        balanced=config.recipe.class_weights == "balanced",
    )
    pieces = probe.outputs.split([len(outputs.rows) for outputs in features.values()])
    metrics, found = {}, {}
    for (name, outputs), raw in zip(features.items(), pieces, strict=True):
        labels, values = outputs.images.labels, task.readout(raw)
        nearest = task.neighbor_scores(known.values, known.images.labels, outputs.values, labels)
        metrics[name] = replace(task.scores(values, labels), **nearest)
        found[name] = replace(outputs, values=values).padded(len(wanted[name]))
    return Outcome(model, task, data.format, metrics, found, labeled=len(train)), probe
