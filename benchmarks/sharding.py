"""Measured: does the network of pretraining train under FSDP2 (`fully_shard`) what one process trains?

Four steps of AdamW on twelve images of 16 x 16, by one process, and by two over gloo, the parameters sharded between
them. Prints, for each encoder, the largest difference of a weight or statistic, or the error.

    OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node 2 benchmarks/sharding.py
"""

import copy
import platform
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from unmask.config import DataConfig, EncoderConfig, MaskConfig, PretrainConfig, PretrainRecipe, TargetConfig
from unmask.data.imageset import batches
from unmask.data.load import Dataset, load_data
from unmask.encoders.dense import norms
from unmask.masking import draw_masks
from unmask.stages.reconstructor import Reconstructor, build_reconstructor
from unmask.targets.pixels import hidden_loss
from unmask.training.engine import fast_layout

DATA = DataConfig(
    data="multiview",
    options={"images": 41, "val_images": 15, "test_images": 30, "classes": 3, "size": 16, "part_size": 4},
)
VIT = EncoderConfig(
    encoder="vit_tiny_patch16_224", encoder_options={"patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}
)
CNN = EncoderConfig(
    encoder="resnet10t", encoder_options={"channels": (8, 8, 8, 8), "stem_width": 4, "stem_type": "deep"}, unstrided=2
)
SWIN = EncoderConfig(
    encoder="swin_tiny_patch4_window7_224",
    encoder_options={"embed_dim": 12, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4, "patch_size": 2},
)


def train(encoder: EncoderConfig, data: Dataset, *, shard: bool, blocks: bool, layout: bool) -> Reconstructor:
    """Four steps of 12 images; sharded over the processes or by this one alone, in units of blocks or as a whole."""
    recipe = PretrainRecipe(mask=MaskConfig(cell=4, mask_ratio=0.5), target=TargetConfig(decoder_width=8))
    config = PretrainConfig(data=DATA, encoder=encoder, recipe=recipe)
    network, target = build_reconstructor(config, channels=data.channels, image_size=data.image_size)
    network.train()
    if layout:
        fast_layout(network)
    rank, world = (dist.get_rank(), dist.get_world_size()) if shard else (0, 1)
    if shard:
        mesh = init_device_mesh("cpu", (world,))
        for block in network.model.blocks if blocks else ():
            fully_shard(block, mesh=mesh)
        fully_shard(network, mesh=mesh)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for step in range(4):
        order = torch.arange(step, 12 + step)
        batch = next(iter(batches(data.pretrain, order, 12, mean=data.mean, std=data.std)))
        hidden = draw_masks(recipe.mask, network.encoder.grid, seed=0, epoch=step, ids=batch.ids.numpy())
        images, hidden = batch.images[rank::world], hidden[rank::world]
        prediction, wanted = network(images, hidden), target(images)
        loss = hidden_loss(prediction, wanted, target.flat(wanted), hidden, kind=recipe.target.loss)
        number = loss.number.detach().clone()
        if shard:
            dist.all_reduce(number)
        (loss.total * world / number).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return network


def whole(network: Reconstructor) -> dict[str, Tensor]:
    """Every parameter and buffer, put together from its shards."""
    state: dict[str, Any] = network.state_dict()
    return {name: t.full_tensor() if hasattr(t, "full_tensor") else t for name, t in state.items()}


def compare(encoder: EncoderConfig, data: Dataset, *, blocks: bool = False, layout: bool = False) -> str:
    """The largest difference between two sharded processes and one."""
    several, norms.several_processes = norms.several_processes, lambda: False
    alone = whole(train(encoder, data, shard=False, blocks=blocks, layout=layout))
    norms.several_processes = several
    try:
        network = train(encoder, data, shard=True, blocks=blocks, layout=layout)
    except NotImplementedError as error:
        return f"refused: {error}"
    sharded = whole(network)
    gaps = {name: float((t.float() - sharded[name].float()).abs().max()) for name, t in alone.items() if t.numel()}
    worst = max(gaps, key=lambda name: gaps[name])
    try:
        copy.deepcopy(network)
        copied = "can be copied"
    except AssertionError as error:
        copied = f"no copy: {error}"
    return f"largest difference {gaps[worst]:.1e} ({worst}); {copied}"


def main() -> None:
    """Print a line an encoder."""
    torch.set_num_threads(1)
    data = load_data(DATA, labels=True, progress=False)
    dist.init_process_group("gloo")
    for name, encoder, options in (
        ("ViT, as a whole", VIT, {}),
        ("ViT, block by block", VIT, {"blocks": True}),
        ("ViT, channels-last kernels", VIT, {"layout": True}),
        ("CNN with BatchNorm, as a whole", CNN, {}),
        ("Swin with a learnt token, as a whole", SWIN, {}),
    ):
        line = compare(encoder, data, **options)
        if dist.get_rank() == 0:
            print(f"{name}: {line}", flush=True)
    if dist.get_rank() == 0:
        print(f"torch {torch.__version__}, {platform.platform()}, 2 processes, gloo")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
