"""Claims: an audit of two ResNet-18 on 256 images of 64 pixels, with all measures, takes at most 5 minutes on two
cores; the search for sufficient views in large batches is at least 5 times as fast as one evaluation at a time;
Eigen-CAM and Grad-CAM together are at least as fast as by the package grad-cam on the same images.

The networks have random encoders and a head fitted to the audited images, by ridge regression: they recognize these
images, so that the searches are as long as those of trained networks. Times of one comparison alternate within one
process; the median of the ratios over --rounds counts.

Run: python benchmarks/audit_speed.py [--out FOLDER] [--rounds 5] [--threads 2]
"""

import argparse
import json
import platform
import shutil
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unmask.audit.audit_runs import audit_runs, choose_images
from unmask.audit.measures.cam import class_maps
from unmask.audit.measures.cam_layer import choose_layer
from unmask.audit.measures.occlusion import asking, choose_grid, fill_images
from unmask.audit.measures.sufficient_views import sufficient_views
from unmask.audit.networks import load_networks, read_weights
from unmask.audit.protocol import AuditData, Audited
from unmask.batchnorm import reestimate_batchnorm
from unmask.config import AuditConfig, DataConfig, EncoderConfig
from unmask.data.load import Dataset, load_data
from unmask.encoders.build import build_model
from unmask.encoders.stages import evaluating
from unmask.weights.card import Card, save_weights

DATA = DataConfig(data="multiview", options={"images": 1500, "test_images": 600, "size": 64, "part_size": 12})
ENCODER = EncoderConfig(encoder="resnet18")


def networks(out: Path, dataset: Dataset, data: AuditData) -> list[Path]:
    """Weights files of two networks that recognize the audited images."""
    files = [out / f"resnet18_{seed}.safetensors" for seed in (0, 1)]
    for seed, file in enumerate(files):
        model = build_model(ENCODER, in_chans=1, image_size=(64, 64), num_classes=len(dataset.classes), seed=seed)
        reestimate_batchnorm(model, dataset.pretrain)
        fit_head(
            model.eval(),
            dataset.format.normalize(data.pixels),
            data.labels,
            len(dataset.classes),
        )
        save_weights(file, model.state_dict(), Card(ENCODER, dataset.format, dataset.task))
    return files


@torch.no_grad()
def fit_head(model: nn.Module, images: Tensor, labels: Tensor, classes: int) -> None:
    """Ridge regression of 10 times the one-hot labels on the pooled features."""
    features = torch.cat([model.forward_head(model.forward_features(x), pre_logits=True) for x in images.split(64)])  # type: ignore[operator]
    center = features.mean(0)
    x = (features - center).double()
    kernel = x @ x.T
    kernel += 1e-3 * kernel.diagonal().mean() * torch.eye(len(x), dtype=torch.float64)
    weight = (x.T @ torch.linalg.solve(kernel, 10 * F.one_hot(labels, classes).double())).T
    model.fc.weight.copy_(weight)  # type: ignore[operator, union-attr]
    model.fc.bias.copy_(-weight @ center.double())  # type: ignore[operator, union-attr]


def seconds(work: Callable[[], object]) -> float:
    """Wall time."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def paired(one: Callable[[], object], other: Callable[[], object], rounds: int) -> dict[str, Any]:
    """How many times as long the other takes: the two alternate, after one warm-up run of each."""
    one(), other()
    pairs = [(seconds(one), seconds(other)) for _ in range(rounds)]
    ratios = sorted(b / a for a, b in pairs)
    return {
        "ratio: median": round(statistics.median(ratios), 2),
        "lowest, highest": [round(ratios[0], 2), round(ratios[-1], 2)],
        "seconds: ours, the other (medians)": [round(statistics.median(x), 3) for x in zip(*pairs, strict=True)],
        "rounds": rounds,
    }


def views(network: Audited, data: AuditData, batch_size: int, count: int) -> list[int]:
    """Counts of sufficient views of the first images."""
    config = AuditConfig()
    grid = choose_grid((64, 64))
    pixels, ids = data.pixels[:count], data.ids[:count]
    mean, std = data.dataset.format.mean, data.dataset.format.std
    filled = fill_images(pixels, ids, "mean", mean=mean, std=std, side=grid.side, seed=0)
    with evaluating(network.model):
        ask = asking(network.model, network.prepare(pixels), network.prepare(filled), data.labels, grid, batch_size)
        found = sufficient_views(ask, count, grid, margin=config.margin, evaluations=config.evaluations)
    return [one.count for one in found]


def package(network: Audited, images: Tensor, targets: Tensor, batch_size: int) -> None:
    """Compute both maps with grad-cam."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorch_grad_cam import EigenCAM, GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    layer = network.model.get_submodule(choose_layer(network.model, images).path)
    for method in (EigenCAM, GradCAM):
        with method(model=network.model, target_layers=[layer]) as cam:
            for chunk, wanted in zip(images.split(batch_size), targets.split(batch_size), strict=True):
                cam(input_tensor=chunk, targets=[ClassifierOutputTarget(int(t)) for t in wanted])


def main() -> int:
    """Print one JSON object; exit 1 if a claim falls short."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/audit_speed"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    dataset = load_data(DATA, labels=True, progress=False)
    data = choose_images(dataset, AuditConfig())
    files = networks(wanted.out, dataset, data)
    network = load_networks(read_weights(files[:1]), dataset)[0]
    images = network.prepare(data.pixels[:64])
    few = 8
    assert views(network, data, 256, few) == views(network, data, 1, few)
    shutil.rmtree(wanted.out / "audit", ignore_errors=True)
    whole = seconds(lambda: audit_runs(files, DATA, wanted.out / "audit", AuditConfig(), progress=False))
    found = {
        "machine": platform.processor() or platform.machine(),
        "date": time.strftime("%Y-%m-%d"),
        "threads": wanted.threads,
        "audit of two ResNet-18, 256 images of 64 px, all measures: seconds": round(whole, 1),
        f"views in {few} images: one evaluation at a time against batches": paired(
            lambda: views(network, data, 256, few), lambda: views(network, data, 1, few), wanted.rounds
        ),
        "views found in these images": views(network, data, 256, few),
        "Eigen-CAM and Grad-CAM of 64 images: grad-cam against ours": paired(
            lambda: class_maps(network.model, images, data.labels[:64]),
            lambda: package(network, images, data.labels[:64], 64),
            wanted.rounds,
        ),
    }
    print(json.dumps(found, indent=1))
    ratios = [value["ratio: median"] for value in found.values() if isinstance(value, dict)]
    return 0 if whole <= 300 and ratios[0] >= 5 and ratios[1] >= 1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
