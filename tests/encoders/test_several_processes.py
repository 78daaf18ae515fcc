"""BatchNorm statistics of masked execution are those of all processes' visible positions together."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from unmask.config import EncoderConfig, MaskConfig
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.masking import draw_masks

WORKER = """
import importlib.util, sys
import torch
spec = importlib.util.spec_from_file_location("several", sys.argv[1])
several = importlib.util.module_from_spec(spec)
spec.loader.exec_module(several)
rank, folder = int(sys.argv[2]), sys.argv[3]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
for execution in ("dense", "packed"):
    features, gradients, buffers = several.encode(execution, [2 * rank, 2 * rank + 1])
    torch.distributed.all_reduce(gradients)
    torch.save((features, gradients, buffers), f"{folder}/{execution}-{rank}.pt")
torch.distributed.destroy_process_group()
"""


def encode(execution: str, ids: list[int]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Features, gradients and buffers after one training pass over some of four images."""
    model = build_model(EncoderConfig(encoder="test_resnet"), channels=1, image_size=(64, 64)).double().train()
    encoder = masked_encoder(model, image_size=(64, 64), execution=execution)
    config = MaskConfig(mask_ratio=0.25, mask_ratio_max=0.75)
    hidden = draw_masks(config, encoder.grid, seed=0, epoch=0, ids=ids)
    images = torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(0)).double()[ids]
    features = encoder(images, hidden).maps[-1]
    features.square().sum().backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return features.detach(), gradients, list(model.buffers())


def test_two_processes_equal_one(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER, __file__]
    workers = [subprocess.Popen([*command, str(rank), str(tmp_path)], env=environment) for rank in range(2)]
    assert [worker.wait(timeout=500) for worker in workers] == [0, 0]
    for execution in ("dense", "packed"):
        features, gradients, buffers = encode(execution, [0, 1, 2, 3])
        parts = [torch.load(tmp_path / f"{execution}-{rank}.pt") for rank in range(2)]
        torch.testing.assert_close(torch.cat([part[0] for part in parts]), features, rtol=0, atol=1e-10)
        for part in parts:
            assert (part[1] - gradients).abs().max() < 1e-10 * gradients.abs().max()
            for one, two in zip(part[2], buffers, strict=True):
                torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
