"""Several labels per image: a table of 0 and 1, a fine-tuning, and the probability of each label for new images.

    python examples/several_labels.py           (seconds on one core)

Noise with a bright square, a dark one, both or none; a few labels are unknown. One training on toy images is not
evidence: `unmask compare` repeats it over draws of the labels and gives intervals.
"""

import csv
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import unmask
from unmask.config import ClassifyConfig, ClassifyRecipe, DataConfig, EncoderConfig, OptimizerConfig
from unmask.runs.scores import MultilabelScores


def write_table(folder: Path, counts: dict[str, int]) -> Path:
    """Images and table.csv, with a column for each label."""
    rng = np.random.default_rng(0)
    rows = [("path", "split", "label_bright", "label_dark")]
    for split, count in counts.items():
        for index in range(count):
            pixels, (bright, dark) = rng.normal(128, 15, (32, 32)), rng.random(2) < 0.5
            pixels[2:12, 2:12] += 70 * bright
            pixels[18:28, 18:28] -= 70 * dark
            name = f"{split}{index}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
            rows.append((name, split, str(int(bright)), "" if index % 9 == 8 else str(int(dark))))
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "table.csv"


def main(folder: Path) -> None:
    """From a table of labels to probabilities."""
    config = ClassifyConfig(
        data=DataConfig(data=str(write_table(folder, {"train": 40, "val": 16, "test": 20}))),
        encoder=EncoderConfig(encoder="resnet10t", encoder_options={"channels": (8, 16, 24, 32), "stem_width": 8}),
        recipe=ClassifyRecipe(optimizer=OptimizerConfig(steps=25, batch_size=16, lr=1e-2)),
        budget="total:32",
    )
    run = unmask.scratch(config, folder / "run", progress=False)
    scores = run.scores["test"]
    assert isinstance(scores, MultilabelScores)
    for label in scores.per_label:
        precision = label.average_precision or 0.0
        print(f"{label.name}: average precision {precision:.0%}, {label.positives} of {label.images} images have it")
    print(unmask.predict(run, folder / "found.csv", split="test", progress=False))
    with (folder / "found.csv").open() as file:
        first = next(csv.DictReader(file))
    shares = ", ".join(f"{name} {float(first[f'p_{name}']):.2f}" for name in ("bright", "dark"))
    print(f"{first['path']}: has {first['label']}, predicted {first['predicted']} ({shares})")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
