"""How a batch is shared: every image once an epoch, whatever the number of processes."""

import pytest
import torch
from hypothesis import given, reject
from hypothesis import strategies as st

from unmask.config import OptimizerConfig
from unmask.errors import UserError
from unmask.training.plan import effective_lr, plan_steps
from unmask.training.training_batches import shares


@pytest.mark.case("uneven batches hung")
@given(st.integers(2, 300), st.integers(1, 64), st.integers(1, 8), st.integers(1, 4))
def test_every_image_is_in_one_share_of_one_batch(images: int, batch: int, world: int, accumulate: int) -> None:
    """And the batches hold the same images as those of one process; no share lacks an image for a micro-batch."""
    config = OptimizerConfig(batch_size=batch * accumulate, accumulate=accumulate)
    try:
        total, per_epoch, size = plan_steps(config, images, world)
    except UserError:
        assert world > 1
        reject()
    assert total >= per_epoch >= 1
    order = torch.randperm(images, generator=torch.Generator().manual_seed(images))
    whole = order.split(size)
    assert len(whole) == per_epoch
    parts = [local.split(length) for local, length in (shares(order, size, rank, world) for rank in range(world))]
    assert {len(part) for part in parts} == {per_epoch}
    for step, wanted in enumerate(whole):
        pieces = [part[step] for part in parts]
        assert sorted(torch.cat(pieces).tolist()) == sorted(wanted.tolist())
        sizes = [len(piece) for piece in pieces]
        assert max(sizes) - min(sizes) <= 1
        assert world == 1 or min(sizes) >= accumulate


def test_the_plan_of_one_and_two_processes_is_one() -> None:
    """So that a run may go on with the other number of processes; more processes may need other batches."""
    for images in range(4, 200):
        config = OptimizerConfig(batch_size=16)
        assert plan_steps(config, images, 2) == plan_steps(config, images)
    with pytest.raises(UserError, match="cannot be shared by 8 processes"):
        plan_steps(OptimizerConfig(batch_size=4), 100, 8)


@pytest.mark.case("nobody knew the effective learning rate")
def test_effective_learning_rate_of_several_processes() -> None:
    """8 per device, 2 micro-batches, 2 processes, base rate 1e-3 per 256."""
    config = OptimizerConfig(lr=1.25e-4, batch_size=32, accumulate=2)
    assert effective_lr(config, processes=2) == (
        "lr 0.000125 at batch 32 = 8 per micro-batch x 2 micro-batches x 2 processes (base lr 0.001 per 256 images)"
    )
