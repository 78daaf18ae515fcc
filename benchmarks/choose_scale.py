"""How long it takes to choose 100 images, and how much memory, beyond the features: 50,000 and 1,000,000 images.

Features are synthetic: 200 clusters of unequal size in 64 dimensions (the number kept of larger ones from 200,000
images on), or in 512 dimensions below. Also prints the share of the clusters that the choice covers.

With --embedding: images per second of processor time for features and digests, against the plain forward pass of
the same network, in turns, on synthetic gray images of 32 px in memory.

Run: python benchmarks/choose_scale.py [--embedding] [--images 50000 1000000] [--strategies typical farthest facility]
"""

import argparse
import resource
import tempfile
import time

import numpy as np
import torch
from numpy.typing import NDArray

from unmask.choosing.clusters import part_into
from unmask.choosing.features import LARGE, WIDTH, features_of
from unmask.choosing.strategies import STRATEGIES, choose_rows, nearest_taken
from unmask.choosing.typicality import typicality
from unmask.config import DataConfig, PretrainConfig
from unmask.data.load import load_data
from unmask.encoders.build import build_model
from unmask.forward import pooled_features
from unmask.recipes import Wish, configured

CLUSTERS, COUNT = 200, 100


def pool(images: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features, and the cluster of each image."""
    random = np.random.default_rng(seed)
    width = WIDTH if images > LARGE else 512
    member = random.choice(CLUSTERS, images, p=random.dirichlet(np.ones(CLUSTERS)))
    features = random.normal(size=(images, width)).astype(np.float32)
    features += 3 * random.normal(size=(CLUSTERS, width)).astype(np.float32)[member]
    return features, member


def embedding(count: int = 1024, turns: int = 5) -> None:
    """Print images per second for both, each the best of several rounds, in one thread."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/images.npy", np.random.default_rng(0).integers(0, 256, (count, 32, 32), dtype=np.uint8))
        config = configured(PretrainConfig, None, Wish(name="small-cnn", data=DataConfig(data=f"{folder}/images.npy")))
        images = load_data(config.data, labels=False, progress=False).readable
        model = build_model(config.encoder, in_chans=images.format.channels, image_size=images.format.size)
        best = {features_of: 0.0, pooled_features: 0.0}
        for _ in range(turns):
            for embed in best:
                started = time.process_time()
                embed(model, images)
                best[embed] = max(best[embed], count / (time.process_time() - started))
    with_digests, plain = best.values()
    print(f"features and digests: {with_digests:.0f} images/s, plain: {plain:.0f}, {with_digests / plain:.1%}")


def main() -> None:
    """Print a line per strategy and number of images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="*", default=[50_000, 1_000_000])
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=["typical", "farthest", "facility"])
    parser.add_argument("--embedding", action="store_true")
    wanted = parser.parse_args()
    if wanted.embedding:
        embedding()
    for images in wanted.images:
        features, member = pool(images)
        for strategy in wanted.strategies:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            started = time.perf_counter()
            rows = choose_rows(features, COUNT, strategy=strategy)
            chosen = time.perf_counter() - started
            part_into(features, 10)
            typicality(features, np.asarray(rows))
            nearest_taken(features, rows)
            whole = time.perf_counter() - started
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{images} x {features.shape[1]} {strategy}: chosen in {chosen:.1f} s, with clusters and shares "
                f"{whole:.1f} s; memory {before:.0f} -> {peak:.0f} MiB, features {features.nbytes / 2**20:.0f} MiB; "
                f"{len(set(member[rows].tolist()))} of {COUNT} in clusters of their own",
                flush=True,
            )


if __name__ == "__main__":
    main()
