"""One trial of the table: train, evaluate, write its file. Runs in a worker process."""

import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from unmask.batchnorm import reestimate_batchnorm
from unmask.comparison.kept_networks import NetworkFile, drop_outranked
from unmask.comparison.plan import TrialKey, TuningKey
from unmask.config import ARMS, ClassifyConfig
from unmask.data.load import Dataset
from unmask.evaluate.knn import knn_predict
from unmask.evaluate.metrics import classification_metrics
from unmask.evaluate.probe import Probe, linear_probe
from unmask.forward import pooled_features
from unmask.runs.comparison_records import TrialResult, TuningResult
from unmask.runs.files import write_json
from unmask.runs.layout import LOGITS, PREDICTED, TRIALS, TUNING, TUNING_PREDICTIONS
from unmask.stages.classifier import build_classifier, labeled_subset, set_head
from unmask.stages.supervised import Outcome, fit
from unmask.training.checkpoint import save_tensors
from unmask.training.engine import build_engine
from unmask.weights.card import Card, save_weights
from unmask.weights.start import initialize


def run_trial(config: ClassifyConfig, key: TrialKey, out: Path, network: NetworkFile | None, data: Dataset) -> None:
    """Train one trial; write its logits, then its scores: the JSON file comes last and means "finished".

    The trained network is written where `network` says, a probe as its encoder with the probe as its head.
    """
    started = time.monotonic()
    strength = None
    if ARMS[key.arm].frozen:
        outcome, probe = _probe(config, data)
        strength = probe.strength
        if network is not None:
            set_head(outcome.model, probe.weight, probe.bias)
    else:
        outcome = fit(config, data)
    if network is not None:
        save_weights(network.path, outcome.model.state_dict(), Card(config.encoder, outcome.format, data.classes))
    shown = {name: values for name, values in outcome.logits.items() if name != "val"}
    scores = {name: values.half() for name, values in shown.items()}
    classes = {f"{name}{PREDICTED}": _predicted(values) for name, values in shown.items()}
    save_tensors(LOGITS.path(out, key.name), scores | classes, {})
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
    write_json(TRIALS.path(out, key.name), result)
    if network is not None:
        drop_outranked(out, network)


def run_tuning_trial(config: ClassifyConfig, key: TuningKey, out: Path, data: Dataset) -> None:
    """One tuning trial: train, and write what it says of the validation images; the JSON file comes last."""
    started = time.monotonic()
    if ARMS[key.arm].frozen:
        outcome, _ = _probe(config, replace(data, tests={}))
    else:
        outcome = fit(config, data, splits=())
    save_tensors(TUNING_PREDICTIONS.path(out, key.name), {"val": _predicted(outcome.logits["val"])}, {})
    result = TuningResult(
        arm=key.arm,
        budget=key.budget,
        draw=key.draw,
        candidate=key.candidate,
        val_score=getattr(outcome.metrics["val"], config.metric),
        seconds=time.monotonic() - started,
    )
    write_json(TUNING.path(out, key.name), result)


def _predicted(logits: Tensor) -> Tensor:
    """The class of each image, -1 where it could not be read, int32 (N,): halved logits may tie."""
    return torch.where(logits.isnan().any(1), -1, logits.argmax(1)).int()


def _probe(config: ClassifyConfig, data: Dataset) -> tuple[Outcome, Probe]:
    """Logistic regression on the frozen encoder's pooled features; its strength is chosen on validation data.

    The accuracy of nearest neighbors on the same features stands beside it: it has nothing to choose. Public weights
    keep their BatchNorm statistics; those of others are re-estimated.
    """
    model = build_classifier(config, data)
    start = initialize(model, config.init, config.encoder, data.format, normalization=config.normalization)
    data = data.normalized_as(start.format)
    model.to(build_engine("no").device)
    if not start.keeps_statistics:
        reestimate_batchnorm(model, data.pretrain)
    train = labeled_subset(config, data)
    assert data.val is not None
    wanted = {"val": data.val, **data.tests}
    features = {name: pooled_features(model, images) for name, images in wanted.items()}
    known = pooled_features(model, train)
    probe = linear_probe(
        known.values,
        known.images.labels,
        torch.cat([outputs.values for outputs in features.values()]),
        classes=len(data.classes),
        val_features=features["val"].values,
        val_labels=features["val"].images.labels,
        metric=config.metric,
        balanced=config.recipe.class_weights == "balanced",
    )
    pieces = probe.logits.split([len(outputs.rows) for outputs in features.values()])
    metrics, logits = {}, {}
    for (name, outputs), scores in zip(features.items(), pieces, strict=True):
        labels = outputs.images.labels
        shares = knn_predict(known.values, known.images.labels, outputs.values, classes=len(data.classes))
        nearest = float((shares.argmax(1) == labels).float().mean())
        metrics[name] = replace(classification_metrics(scores, labels, data.classes), knn_accuracy=nearest)
        logits[name] = replace(outputs, values=scores).padded(len(wanted[name]))
    return Outcome(model, data.format, metrics, logits, labeled=len(train)), probe
