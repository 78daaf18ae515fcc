"""Freed memory goes back to the system."""

from pathlib import Path

import pytest
import torch

import tiny
from unmask import freed_memory
from unmask.config import PretrainConfig
from unmask.freed_memory import return_freed_memory
from unmask.profiling.memory import own_mib
from unmask.stages.pretrain import pretrain
from unmask.training import run
from unmask.training.stage import LOG_EVERY


@pytest.mark.skipif(freed_memory.malloc_trim() is None, reason="the C library has no malloc_trim")
def test_freed_blocks_between_small_ones_that_stay_are_given_back() -> None:
    """100 MiB in blocks of 64 KiB, each beside a block that stays, so that the heap cannot shrink by itself."""
    before = own_mib()
    pairs = [(torch.ones(2**14), torch.ones(2**6)) for _ in range(1600)]
    kept = [small for _, small in pairs]
    grown = own_mib() - before
    del pairs
    return_freed_memory()
    assert own_mib() - before < grown / 4
    assert grown > 80
    assert sum(float(small.sum()) for small in kept) == 1600 * 2**6


def test_where_the_library_has_no_such_call_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freed_memory, "malloc_trim", lambda: None)
    return_freed_memory()
    monkeypatch.undo()
    freed_memory.malloc_trim.cache_clear()
    monkeypatch.setattr(freed_memory.sys, "platform", "win32")
    assert freed_memory.malloc_trim() is None
    freed_memory.malloc_trim.cache_clear()


def test_a_training_gives_memory_back_while_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever numbers are read from the device, at the latest after `LOG_EVERY` steps."""
    calls: list[None] = []
    monkeypatch.setattr(run, "return_freed_memory", lambda: calls.append(None))
    recipe = tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=2 * LOG_EVERY, batch_size=4)
    config = PretrainConfig(data=tiny.DATA, encoder=tiny.PATCHNET, recipe=recipe)
    pretrain(config, tmp_path / "run", progress=False)
    assert len(calls) >= 2
