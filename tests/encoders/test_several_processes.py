"""BatchNorm statistics of masked execution are those of all processes' visible positions together."""

import os
from pathlib import Path

import torch
from torch import Tensor

from forks import Forks
from unmask.config import EncoderConfig, MaskConfig
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.encoders.whole_images import whole_maps
from unmask.masking import draw_masks


def encode(execution: str, ids: list[int]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Features, gradients and buffers after one training pass over some of four images; cells are finer than the last
    stages."""
    model = build_model(EncoderConfig(encoder="test_resnet"), in_chans=1, image_size=(64, 64)).double().train()
    encoder = masked_encoder(model, image_size=(64, 64), cell=16, execution=execution)
    config = MaskConfig(mask_ratio=0.25, mask_ratio_max=0.75)
    hidden = draw_masks(config, encoder.grid, seed=0, epoch=0, ids=ids)
    images = torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(0)).double()[ids]
    features = encoder(images, hidden).maps[-1]
    features.square().sum().backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return features.detach(), gradients, list(model.buffers())


def whole(ids: list[int]) -> tuple[Tensor, list[Tensor]]:
    """Features of whole images in training, and buffers."""
    model = build_model(EncoderConfig(encoder="test_resnet"), in_chans=1, image_size=(64, 64)).double().train()
    images = torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(0)).double()[ids]
    return whole_maps(masked_encoder(model, image_size=(64, 64)), images)[-1].detach(), list(model.buffers())


def encode_share(folder: str) -> None:
    """Two of the four images in this process; what came out is written."""
    rank = int(os.environ["RANK"])
    torch.distributed.init_process_group("gloo")
    for execution in ("dense", "packed"):
        features, gradients, buffers = encode(execution, [2 * rank, 2 * rank + 1])
        torch.distributed.all_reduce(gradients)
        torch.save((features, gradients, buffers), f"{folder}/{execution}-{rank}.pt")
    torch.save(whole([2 * rank, 2 * rank + 1]), f"{folder}/whole-{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one(forks: Forks, tmp_path: Path) -> None:
    """Features, gradients and statistics, dense and packed, and of whole images."""
    ended = forks.run(Path(__file__), "encode_share", str(tmp_path))
    assert ended.codes == [0, 0], ended.said
    for execution in ("dense", "packed"):
        features, gradients, buffers = encode(execution, [0, 1, 2, 3])
        parts = [torch.load(tmp_path / f"{execution}-{rank}.pt") for rank in range(2)]
        torch.testing.assert_close(torch.cat([part[0] for part in parts]), features, rtol=0, atol=1e-10)
        for part in parts:
            assert (part[1] - gradients).abs().max() < 1e-10 * gradients.abs().max()
            for one, two in zip(part[2], buffers, strict=True):
                torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
    features, buffers = whole([0, 1, 2, 3])
    parts = [torch.load(tmp_path / f"whole-{rank}.pt") for rank in range(2)]
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), features, rtol=0, atol=1e-10)
    for one, two in zip(parts[0][1], buffers, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
