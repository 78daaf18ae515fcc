"""Steps that are timed, and the memory that they take."""

from dataclasses import replace
from mmap import mmap

import pytest

import tiny
from unmask.config import ClassifyConfig, ClassifyRecipe, OptimizerConfig, PretrainConfig
from unmask.data.load import Dataset, load_data
from unmask.profiling import step_times
from unmask.profiling.memory import Peak, held_mib, peak_mib
from unmask.profiling.step_times import StepTimes, measure_steps, phases

PRETRAINING = PretrainConfig(
    data=tiny.DATA,
    encoder=tiny.OVERLAPPING_PATCHNET,
    recipe=tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=10, batch_size=20),
)
TRAINING = ClassifyConfig(
    data=tiny.DATA,
    encoder=tiny.OVERLAPPING_PATCHNET,
    recipe=ClassifyRecipe(optimizer=OptimizerConfig(steps=6, batch_size=8, lr=3e-3), head_steps=2),
    budget=3,
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """60 training images, 30 of validation, 30 of the test set."""
    return load_data(tiny.DATA, labels=True, progress=False)


class _Ticks:
    """A clock that goes on a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_steps_are_timed_per_image(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick a step: the whole batch where patience lasts, else as many images as it lasts for."""
    parts = {"pretraining": PRETRAINING, "training": TRAINING, "probe": TRAINING, "threads": 1, "audit": True}
    monkeypatch.setattr(step_times, "PATIENCE", 1e9)
    times = measure_steps(data, **parts, clock=_Ticks())
    assert (times.pretraining, times.training, times.head) == (1 / 20, 1 / 5, 1 / 5)
    assert times.inference > 0
    assert times.probe > 0
    assert times.audited > 0
    monkeypatch.setattr(step_times, "PATIENCE", 0.0)
    assert measure_steps(data, **parts, clock=_Ticks()).pretraining == 1 / 8  # 60 images in batches of eight
    nothing = {"pretraining": None, "training": None, "probe": None, "threads": 1}
    idle = measure_steps(data, **nothing)
    assert idle == StepTimes(held_mib=idle.held_mib, worker_mib=idle.worker_mib)
    assert 0 < idle.worker_mib < idle.held_mib


def test_a_schedule_is_timed_in_all_its_parts(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at its size and ratio, and weighted by its share of the steps."""
    mask = replace(PRETRAINING.recipe.mask, mask_ratio=0.75, mask_ratio_schedule="0.5:0.6,0.75:0.4")
    recipe = replace(PRETRAINING.recipe, size_schedule="8:0.75,16:0.25", mask=mask)
    small = "8x8:0.5,16x16:0.5"
    parts = [(part.mask.mask_ratio, part.size_schedule) for _, part in phases(recipe, data.format.size)]
    assert parts == [(0.5, small), (0.75, small), (0.75, None)]
    monkeypatch.setattr(step_times, "PATIENCE", 0.0)  # one step of eight images is timed of each
    clock = iter([0.0, 8.0, 10.0, 26.0, 30.0, 54.0]).__next__
    config = replace(PRETRAINING, recipe=recipe)
    times = measure_steps(data, pretraining=config, training=None, probe=None, threads=1, clock=clock)
    assert times.pretraining == pytest.approx(0.6 * 1 + 0.15 * 2 + 0.25 * 3)
    assert times.pretraining_mib > 0


def test_memory_grows_by_what_is_held() -> None:
    """As the system counts it, also where more was held before."""
    with mmap(-1, 2**26) as before:  # 64 MiB that no allocator keeps
        before.write(bytes(2**26))
    peak = Peak()
    held = mmap(-1, 2**26)
    held.write(bytes(2**26))
    assert 50 < peak.grown_mib() < 200
    assert held_mib() <= peak_mib() + 1
    held.close()
