"""CPU seconds of a training step on one thread, per recipe, as `unmask compare --plan` measures them.

Run: OMP_NUM_THREADS=1 python benchmarks/step_times.py DATA [--recipes small-cnn photo-cnn] [--repeats 3]
Prints the table of docs/recipes.md: medians over the repeats. DATA holds class folders of images, or is a manifest.
Steps of large batches are timed on a part of them, and scaled.
"""

import argparse
import statistics
import time

import unmask
from unmask.config import ClassifyConfig, PretrainConfig
from unmask.data.load import load_data
from unmask.profiling.step_times import measure_steps

COLUMNS = ("recipe", "encoder", "pixels", "pretraining step", "fine-tuning step", "image evaluated")


def row(name: str, data: str, repeats: int) -> str:
    """The table's line of a recipe."""
    recipe = unmask.recipe(name, data=data)
    images = load_data(recipe.data, labels=True, progress=False)
    parts = {"data": recipe.data, "encoder": recipe.encoder}
    trial = ClassifyConfig(recipe=recipe.finetune, budget=10, **parts)
    pretraining = PretrainConfig(recipe=recipe.pretrain, **parts)
    wanted = {"pretraining": pretraining, "training": trial, "probe": trial, "threads": 1}
    found = [measure_steps(images, **wanted, clock=time.process_time) for _ in range(repeats)]

    def median(field: str) -> float:
        return statistics.median(getattr(one, field) for one in found)

    batch, labeled = recipe.pretrain.optimizer.batch_size, recipe.finetune.optimizer.batch_size
    cells = (
        f"`{name}`",
        recipe.encoder.encoder,
        " x ".join(map(str, images.format.size)),
        f"{median('pretraining') * batch:.2g} s ({batch} images)",
        f"{median('training') * labeled:.2g} s ({labeled} images)",
        f"{median('inference') * 1000:.2g} ms",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Time every recipe several times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--recipes", nargs="+", default=["small-cnn", "photo-cnn", "masked-resnet50", "mae-vit-small"])
    parser.add_argument("--repeats", type=int, default=3)
    wanted = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name in wanted.recipes:
        print(row(name, wanted.data, wanted.repeats), flush=True)


if __name__ == "__main__":
    main()
