"""Several masks of an image in one step: what they share, and the gradient that they have together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny
from unmask.config import EncoderConfig, MaskConfig, PretrainConfig, TargetConfig
from unmask.data.imageset import Batch
from unmask.data.load import Dataset
from unmask.masking import draw_masks, mask_seed
from unmask.stages.pretrain import Pretraining
from unmask.training.stage import Moment, Setup
from unmask.training.step import accumulate_gradients

AT = Moment(step=2, epoch=1, seed=5)


def _stage(data: Dataset, encoder: EncoderConfig, masks: int, **target: Any) -> Pretraining:
    """In double precision."""
    recipe = tiny.pretrain_recipe(
        mask=MaskConfig(cell=4, mask_ratio=0.5, masks=masks),
        target=TargetConfig(decoder_width=8, **target),
        epochs=1,
        batch_size=12,
    )
    stage = Pretraining(PretrainConfig(data=tiny.DATA, encoder=encoder, recipe=recipe), Path(), data, Setup.alone("no"))
    for network in (stage.run.network, *stage.target.modules().values()):
        network.double()
    return stage


def _batch(data: Dataset) -> Batch:
    batch = next(iter(data.pretrain.batches(torch.arange(12), 12)))
    return replace(batch, images=batch.images.double())


def _gradient(stage: Pretraining, batch: Batch, at: Moment) -> list[Tensor]:
    network = stage.run.network
    network.zero_grad(set_to_none=True)
    accumulate_gradients(stage.run.engine, network, batch, 1, lambda piece: stage.losses(network, piece, at))
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]


@pytest.mark.parametrize(
    ("encoder", "target"),
    [(tiny.RESNET, {"target": "ema_teacher"}), (tiny.VIT, {"predict": 0.5}), (tiny.RESNET, {"predict": 0.5})],
)
def test_the_gradient_is_the_mean_of_those_of_single_masks(
    data: Dataset, encoder: EncoderConfig, target: dict[str, Any]
) -> None:
    """On the same keys, in float64: BatchNorm sees one mask at a time. A quarter is exact in float32, as counts are."""
    batch = _batch(data)
    together = _gradient(_stage(data, encoder, 4, **target), batch, AT)
    alone = [
        _gradient(_stage(data, encoder, 1, **target), batch, AT._replace(seed=mask_seed(AT.seed, index)))
        for index in range(4)
    ]
    assert len(together) == len(alone[0])
    for found, *single in zip(together, *alone, strict=True):
        torch.testing.assert_close(found, sum(single) / 4, rtol=1e-9, atol=1e-12)
    assert any(not torch.equal(one, two) for one, two in zip(alone[0], alone[1], strict=True))


def test_the_masks_differ_and_the_first_is_that_of_a_single_one(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """All see the same images; a teacher looks at these once; no mask lets through what it hides."""
    stage, batch, looked, seen = _stage(data, tiny.RESNET, 3, target="ema_teacher"), _batch(data), [], []
    of_target = type(stage.target).__call__
    monkeypatch.setattr(
        type(stage.target), "__call__", lambda self, images, *valid: looked.append(1) or of_target(self, images, *valid)
    )

    def network(images: Tensor, hidden: Tensor, wanted: Tensor | None) -> Tensor:
        seen.append((images, hidden))
        return stage.run.network(images, hidden, wanted)

    losses = stage.losses(network, batch, AT)
    assert len([loss() for loss in losses]) == 3
    assert len(looked) == 1
    assert all(images is batch.images for images, _ in seen)
    single = draw_masks(stage.config.recipe.mask, (4, 4), seed=AT.seed, epoch=AT.epoch, ids=batch.ids.numpy())
    assert torch.equal(seen[0][1], single)
    masks = [hidden for _, hidden in seen]
    assert not any(torch.equal(masks[one], masks[other]) for one, other in ((0, 1), (0, 2), (1, 2)))
