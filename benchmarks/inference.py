"""`predict`, `embed` and the audit process images at the rate of the plain model's forward pass on the same cores.

Claim (aim): each takes at most 1 / 0.9 of the CPU seconds that the plain model's forward pass takes on batches that are
ready in memory. Images are decoded and cached; reading them from the cache, normalizing and collecting the outputs
are included; for the audit, one evaluation of each image with half of its cells filled. CPU seconds of this process,
one thread, all variants in turn, each repetition over all images. The plain pass is the model in evaluation mode
without gradients, channels-last, on batches of the same number of images. Exits 1 if the aim is missed.

    OMP_NUM_THREADS=1 python benchmarks/inference.py --n 10
"""

import argparse
import statistics
import sys
from collections.abc import Callable

import numpy as np
import timm
import torch
from cpu_time import interleaved

from unmask.audit.measures.occlusion import asking, choose_grid
from unmask.config import DataConfig
from unmask.data.imageset import ImageSet
from unmask.data.load import load_data
from unmask.encoders.build import build_model
from unmask.forward import map_images, pooled_features
from unmask.recipes.named import RECIPES
from unmask.training.engine import build_engine, fast_layout

AIM = 0.9


def ways_of(recipe: str, images: ImageSet) -> dict[str, Callable[[], object]]:
    """One pass over all images in each variant, with one network."""
    channels, size = images.format.channels, images.format.size
    model = build_model(RECIPES[recipe]().encoder, in_chans=channels, image_size=size, num_classes=10).eval()
    model, engine = fast_layout(model), build_engine("no")
    order = torch.arange(len(images))
    ready = [batch.images.to(memory_format=torch.channels_last) for batch in images.batches(order, images.at_once)]

    @torch.no_grad()
    def plain() -> None:
        for batch in ready:
            model(batch)

    def shown(count: int, cells: int) -> np.ndarray:
        return np.random.default_rng(0).random((count, cells)) < 0.5

    whole, grid = torch.cat([batch.contiguous() for batch in ready]), choose_grid(size)
    labels, rows = torch.zeros(len(whole), dtype=torch.int64), np.arange(len(whole))
    ask = asking(model, whole, torch.zeros_like(whole), labels, grid)
    return {
        "plain": plain,
        "predict": lambda: map_images(model, images, engine),
        "embed": lambda: pooled_features(model, images),
        "audit": lambda: ask(rows, shown(len(whole), grid.cells)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=["small-cnn", "photo-cnn", "mae-vit-small"])
    parser.add_argument("--images", type=int, nargs="+", default=[1024, 256, 16])
    parser.add_argument("--n", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, timm {timm.__version__}, {options}")
    reached = True
    for recipe, count in zip(options.recipes, options.images, strict=True):
        size = (RECIPES[recipe]().data.image_size or (32, 32))[0]
        made = {"images": count, "val_images": 4, "test_images": 4, "classes": 4, "size": size, "part_size": size // 4}
        images = load_data(DataConfig(data="multiview", options=made), labels=False, progress=False).pretrain
        taken = interleaved(ways_of(recipe, images), options.n)
        for way in ("predict", "embed", "audit"):
            rates = [one / other for one, other in zip(taken["plain"], taken[way], strict=True)]
            low, middle, high = statistics.quantiles(rates, n=4)
            each = 1000 * statistics.median(taken["plain"]) / len(images)
            print(f"{recipe} {size} px, {way}: {middle:.2f} of plain's rate (quartiles {low:.2f} to {high:.2f}); plain "
                  f"{each:.3f} ms per image", flush=True)  # fmt: skip
            reached = reached and middle >= AIM
    print("reached" if reached else "short", f"(aim {AIM})")
    sys.exit(not reached)


if __name__ == "__main__":
    main()
