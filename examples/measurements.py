"""Numbers instead of classes: a table of measurements, a fine-tuning, and predictions in the unit of the table.

    python examples/measurements.py             (seconds on one core)

Disks on noise; the network learns their diameter in micrometers. One training on toy images is not evidence:
`unmask compare` repeats it over draws of the labels and gives intervals, in micrometers too.
"""

import csv
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import unmask
from unmask.config import ClassifyConfig, ClassifyRecipe, DataConfig, EncoderConfig, OptimizerConfig
from unmask.runs.scores import RegressionScores


def write_table(folder: Path, counts: dict[str, int]) -> Path:
    """Images and table.csv, whose column label holds the diameters."""
    rng, rows = np.random.default_rng(0), [("path", "split", "label")]
    y, x = np.mgrid[:32, :32]
    for split, count in counts.items():
        for index in range(count):
            radius, (top, left) = rng.uniform(2, 8), rng.uniform(10, 22, 2)
            pixels = rng.normal(100, 15, (32, 32)) + 90 * ((y - top) ** 2 + (x - left) ** 2 < radius**2)
            name = f"{split}{index}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
            rows.append((name, split, f"{2 * radius * 12.5:.1f}"))
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "table.csv"


def main(folder: Path) -> None:
    """From a table of measurements to predictions."""
    config = ClassifyConfig(
        data=DataConfig(data=str(write_table(folder, {"train": 60, "val": 16, "test": 20}))),
        encoder=EncoderConfig(encoder="resnet10t", encoder_options={"channels": (8, 16, 24, 32), "stem_width": 8}),
        recipe=ClassifyRecipe(optimizer=OptimizerConfig(steps=30, batch_size=16, lr=1e-2)),
        budget="total:48",
    )
    run = unmask.scratch(config, folder / "run", progress=False)
    scores = run.scores["test"]
    assert isinstance(scores, RegressionScores)
    (one,) = scores.per_target
    print(f"mean absolute error {one.mae:.1f} micrometers; the diameters deviate by {one.std:.1f} from their mean")
    print(unmask.predict(run, folder / "found.csv", split="test", progress=False))
    with (folder / "found.csv").open() as file:
        first = next(csv.DictReader(file))
    print(f"{first['path']}: {first['label']} micrometers, predicted {float(first['predicted']):.1f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
