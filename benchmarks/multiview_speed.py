"""Claim: the built-in multiview images are drawn at 2,000 images per second or more at 32 pixels on two cores.

Wall and CPU time of drawing N default images, several rounds; one Python thread, plus whatever NumPy uses.

Run: python benchmarks/multiview_speed.py [--images 4000] [--rounds 5]
"""

import argparse
import json
import platform
import time

import numpy as np

from unmask.data.sources.multiview import MultiViewConfig, draw_multiview


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    shows = np.zeros(wanted.images, np.int64)
    walls, cpus = [], []
    for i in range(wanted.rounds + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        draw_multiview(MultiViewConfig(seed=i), "train", shows)
        if i:
            walls.append(wanted.images / (time.perf_counter() - wall))
            cpus.append(wanted.images / (time.process_time() - cpu))
    print(
        json.dumps(
            {
                "machine": platform.processor() or platform.machine(),
                "date": time.strftime("%Y-%m-%d"),
                "images per second (wall): median, lowest": [round(float(np.median(walls))), round(min(walls))],
                "images a CPU second: median, lowest": [round(float(np.median(cpus))), round(min(cpus))],
                "rounds": wanted.rounds,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
