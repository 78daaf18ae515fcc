"""Measure how long training steps take on this machine: a few real ones on their data, without side effects.

Weights, batches and noise are drawn from seeds, and every random state is left unchanged: no number of a run depends
on whether it was measured before. Nothing is written.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

from unmask.config import ClassifyConfig, PretrainConfig, PretrainRecipe
from unmask.config.budget import without_encoder
from unmask.config.metric import label_form
from unmask.config.schedule import parts
from unmask.data.load import Dataset
from unmask.data.pixels import CachedPixels
from unmask.evaluate.probe import Labeled
from unmask.forward import Outputs, map_images, pooled_features
from unmask.freed_memory import return_freed_memory
from unmask.profiling.memory import Peak, held_mib, own_mib
from unmask.segmenters import Segmenter
from unmask.stages.classifier import build_classifier, labeled_subset, require_task
from unmask.stages.dense_probe import fit_dense_probe
from unmask.stages.pretrain import Pretraining
from unmask.stages.supervised import Supervised
from unmask.training.plan import plan_steps
from unmask.training.stage import Setup
from unmask.training.step import Step

T = TypeVar("T", PretrainConfig, ClassifyConfig)
Clock = Callable[[], float]

FEW, STEPS = 8, 3
"""Images of the first steps, which decide how large the next may be; and how many of those are timed."""
PATIENCE = 3.0
"""Approximate seconds for the timed steps of one kind; larger batches are timed by a part of them."""
FITTED = 64
"""Images on which a probe is timed."""
_COPIES = 4
"""float32 numbers per trained weight: itself, its gradient and two moments."""
ENDLESS = 10**9
"""Steps of a schedule that is stopped long before its end, so that nothing is evaluated, logged or saved."""


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """Seconds on this machine, and the MiB a training needs beyond the program and its images.

    Parts that are not done take 0.
    """

    pretraining: float = 0.0
    """Per image of a pretraining step."""
    training: float = 0.0
    """Per image of a step that trains all weights on labels."""
    head: float = 0.0
    """Per image of a step that trains only the head."""
    inference: float = 0.0
    """Per image in evaluation."""
    audited: float = 0.0
    """The same with all threads, as an audit has them."""
    probe: float = 0.0
    """Per labeled image in fitting a probe, all its strengths together."""
    pretraining_mib: float = 0.0
    training_mib: float = 0.0
    held_mib: float = 0.0
    """Held by this process before the first step."""
    worker_mib: float = 0.0
    """Held by a worker before it trains: it shares images and libraries with this process."""
    on: str = ""
    """Host and device, if they are not this process's."""


def measure_steps(
    data: Dataset,
    *,
    pretraining: PretrainConfig | None,
    training: ClassifyConfig | None,
    probe: ClassifyConfig | None,
    threads: int,
    threads_on_labels: int = 1,
    audit: bool = False,
    clock: Clock = time.perf_counter,
) -> StepTimes:
    """Time a few steps of each kind.

    Args:
        pretraining: a pretraining; None if there is none.
        training: a training of all weights on labels, likewise.
        probe: any training on labels, for the time of evaluation and of fitting a probe.
        threads: for a pretraining without a GPU.
        threads_on_labels: for a training on labels; the trainings of a comparison have one each.
        audit: whether evaluation is also timed with all threads.
        clock: returns seconds.
    """
    pixels = data.readable.pixels
    images = pixels.values.nbytes / 2**20 if isinstance(pixels, CachedPixels) else 0.0
    times = StepTimes(held_mib=held_mib(), worker_mib=max(0.0, own_mib() - images))
    if pretraining is not None:
        with _threads(threads):
            taken = _take_pretraining(pretraining, data, clock)
        times = replace(times, pretraining=taken.seconds, pretraining_mib=taken.mib)
    with _threads(threads_on_labels):
        if training is not None:
            taken = _take_training(training, data, 0, clock)
            head = _take_training(training, data, ENDLESS, clock).seconds if training.recipe.head_steps else 0.0
            times = replace(times, training=taken.seconds, head=head, training_mib=taken.mib)
        if probe is not None:
            inference, fitting = _time_probe(probe, data, clock)
            times = replace(times, inference=inference, probe=fitting)
    if audit and probe is not None:
        times = replace(times, audited=_Evaluation(probe, data, clock).seconds)
    return_freed_memory()
    return times


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Use as many threads in the body as trainings get."""
    before = torch.get_num_threads()
    if not torch.cuda.is_available():
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Taken(NamedTuple):
    """Seconds of a step per image of its batch, and MiB for a step of the whole batch."""

    seconds: float
    mib: float


def _take_pretraining(config: PretrainConfig, data: Dataset, clock: Clock) -> _Taken:
    def take(config: PretrainConfig, setup: Setup) -> None:
        stage = Pretraining(config, Path(), data, setup)
        stage.run.fit(data.pretrain, stage.phase(), stage)

    unseen = replace(config, init=None, picture_every=ENDLESS)
    taken = [
        (share, _take(replace(unseen, recipe=recipe), len(data.pretrain), take, clock))
        for share, recipe in phases(config.recipe, data.format.size)
    ]
    return _Taken(sum(share * one.seconds for share, one in taken), max(one.mib for _, one in taken))


def phases(recipe: PretrainRecipe, last: tuple[int, int]) -> Iterator[tuple[float, PretrainRecipe]]:
    """The parts of a pretraining with constant size and ratio, as shares of its steps; each as a recipe that starts so
    and is stopped before it changes."""
    sizes, ratios = recipe.sizes(last), recipe.mask.ratios
    for begin, length in parts(sizes, ratios):
        height, width = sizes.during(begin)
        text = None if (height, width) == tuple(last) else f"{height}x{width}:0.5,{last[0]}x{last[1]}:0.5"
        yield length, replace(recipe, size_schedule=text, mask=recipe.mask.at_ratio(ratios.during(begin)))


def _take_training(config: ClassifyConfig, data: Dataset, head_steps: int, clock: Clock) -> _Taken:
    def take(config: ClassifyConfig, setup: Setup) -> None:
        Supervised(config, data, setup).train()

    recipe = replace(config.recipe, head_steps=head_steps, evaluations=1, patience=0)
    unseen = replace(config, init=None, recipe=recipe, budget=without_encoder(config.budget))
    return _take(unseen, len(labeled_subset(unseen, data)), take, clock)


def _take(config: T, images: int, run: Callable[[T, Setup], None], clock: Clock) -> _Taken:
    """Steps with the configured batch, or with a part of it if patience is too short for all."""
    optimizer, peak = config.recipe.optimizer, Peak()
    whole = optimizer.batch_size // optimizer.accumulate
    weights = 0

    def timed(size: int, steps: int) -> tuple[float, int]:
        """Median seconds of a step per image over so many steps, and the batch that was taken."""
        ends: list[float] = []

        def note(step: Step) -> None:
            nonlocal weights
            step.values()  # waits for the device
            ends.append(clock())
            weights = sum(parameter.numel() for parameter in step.network.parameters())
            if len(ends) > steps:
                raise _EnoughStepsError

        endless = replace(optimizer.for_steps(ENDLESS), batch_size=size, accumulate=1)
        setup = replace(Setup.alone(optimizer.precision), on_step=note)
        with suppress(_EnoughStepsError):
            run(replace(config, recipe=replace(config.recipe, optimizer=endless)), setup)
        taken = plan_steps(endless, images).batch_size
        return statistics.median(after - before for before, after in itertools.pairwise(ends)) / taken, taken

    seconds, taken = timed(min(FEW, whole), 1)
    if (size := min(whole, int(PATIENCE / STEPS / max(seconds, 1e-9)))) > FEW:
        seconds, taken = timed(size, STEPS)
    held = _COPIES * 4 * weights / 2**20
    return _Taken(seconds, held + max(0.0, peak.grown_mib() - held) * min(whole, images) / taken)


class _EnoughStepsError(Exception):
    """Ends a training that is only timed."""


class _Evaluation:
    """Evaluation of some training images by a classifier, timed."""

    def __init__(self, config: ClassifyConfig, data: Dataset, clock: Clock) -> None:
        device = Setup.alone(config.recipe.optimizer.precision).engine.device
        self.model, self.clock = build_classifier(config, data).to(device), clock
        self.images = labeled_subset(replace(config, budget=without_encoder(config.budget)), data)
        self._evaluate(FEW)
        few, _ = self._evaluate(FEW)
        count = int(min(FITTED, max(FEW, PATIENCE / 2 / max(few, 1e-9))))
        self.seconds, self.features = self._evaluate(count)
        """Per image."""

    def _evaluate(self, count: int) -> tuple[float, Outputs]:
        started = self.clock()
        images = self.images.select(self.images.evenly(count))
        whole = isinstance(self.model, Segmenter)  # which has no pooled features
        features = map_images(self.model, images) if whole else pooled_features(self.model, images)
        return (self.clock() - started) / min(count, len(self.images)), features


def fitted_images(labeled: int, data: Dataset) -> int:
    """To how many labeled images the time of fitting a probe is proportional: that of masks takes a number of pixels
    that few images reach."""
    return min(labeled, FEW) if data.task is not None and label_form(data.task.name) == "mask" else labeled


def _time_dense_fit(config: ClassifyConfig, data: Dataset, clock: Clock) -> float:
    """Seconds per image of a dense probe of a few."""
    assert data.train is not None
    assert data.val is not None
    few, held_out = (images.select(images.evenly(FEW)) for images in (data.train, data.val))
    started = clock()
    fit_dense_probe(
        replace(config, init=None, budget=None, nested_budgets=()),  # of weights that there may not be yet
        replace(data, train=few, val=held_out, tests={}, pretrain=few),
    )
    return (clock() - started) / len(few)


def _time_probe(config: ClassifyConfig, data: Dataset, clock: Clock) -> tuple[float, float]:
    """Seconds per image of evaluation, and per labeled image of fitting a probe."""
    found, task = _Evaluation(config, data, clock), require_task(config, data)
    if label_form(task.name) == "mask":
        return found.seconds, _time_dense_fit(config, data, clock)
    known, labels, started = found.features.values, found.features.images.labels, clock()
    if len(labels.unique()) < 2:
        return found.seconds, 0.0
    task.probe(Labeled(known, labels), known, val=Labeled(known, labels), metric=config.metric)
    return found.seconds, (clock() - started) / len(labels)
