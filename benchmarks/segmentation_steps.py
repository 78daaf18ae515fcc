"""CPU time of a segmentation step with our U-Net, and with one as wide as the encoder up to the image's own size.

The encoder of small-cnn on 64-pixel images of five classes: forward, loss and backward, in float32 and in bf16. The
heads alternate in one process on one thread; medians over n. The last row is the encoder alone.

Run: OMP_NUM_THREADS=1 python benchmarks/segmentation_steps.py [--n 9] [--batch 16] [--size 64]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

import unmask
from unmask.encoders.build import build_model
from unmask.encoders.maps import feature_maps, map_shapes, maps_read
from unmask.segmenters import Segmenter, build_segmenter, upsampled
from unmask.tasks.mask_loss import mask_loss, mask_targets
from unmask.training.engine import fast_layout

CLASSES = 5


class WideHead(nn.Module):
    """A U-Net on every map, with as many channels as they have, at least 16, up to the image's own size."""

    def __init__(self, channels: list[int], *, enlarges: bool) -> None:
        super().__init__()
        widths = [max(16, n) for n in [*reversed(channels[:-1]), *[channels[0] // 2] * enlarges]]
        self.decoder = UnetDecoder((3, *channels), tuple(widths), n_blocks=len(widths))
        self.classify = nn.Conv2d(widths[-1], CLASSES, 3, padding=1)

    def forward(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """[B, K, H, W]."""
        return upsampled(self.classify(self.decoder([images, *maps])), images)


def steps(batch: int, size: int) -> dict[str, Callable[[], None]]:
    """Timed steps, by name."""
    shape = (size, size)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, *shape, generator=generator).contiguous(memory_format=torch.channels_last)
    target = mask_targets(torch.randint(0, CLASSES, (batch, *shape), generator=generator), CLASSES)
    encoder = build_model(unmask.recipe("small-cnn").encoder, in_chans=3, image_size=shape, seed=0)
    read = maps_read(encoder, shape)
    channels = [one[0] for one in map_shapes(encoder, read, shape)]
    enlarges = map_shapes(encoder, read, shape)[0][1:] != shape
    ours = fast_layout(build_segmenter(encoder, classes=CLASSES, in_chans=3, image_size=shape, seed=0))
    wide = fast_layout(Segmenter(encoder, WideHead(channels, enlarges=enlarges), read))

    def of(network: nn.Module) -> Callable[[], None]:
        return lambda: mask_loss(network(images), target).backward()

    def alone() -> None:
        torch.stack([one.float().sum() for one in feature_maps(encoder, images, read)]).sum().backward()

    return {"as wide as the encoder": of(wide), "ours": of(ours), "no head": alone}


def main() -> None:
    """Time each step n times, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=9)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=64)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    timed = steps(wanted.batch, wanted.size)
    print("| head | float32, ms per image | bf16, ms per image |\n|---|---|---|")
    found: dict[str, list[str]] = {name: [] for name in timed}
    for bf16 in (False, True):
        taken: dict[str, list[float]] = {name: [] for name in timed}
        for turn in range(wanted.n + 1):
            for name, step in timed.items():
                started = time.process_time()
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    step()
                if turn:
                    taken[name].append(1000 * (time.process_time() - started) / wanted.batch)
        for name, values in taken.items():
            found[name].append(f"{statistics.median(values):.2f}")
    for name, cells in found.items():
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
