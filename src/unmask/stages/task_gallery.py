"""The gallery of a network or of arms, as the task has it: mistakes of classes, masks, or labels and numbers."""

from collections.abc import Callable, Iterable
from pathlib import Path

from unmask.config.metric import label_form
from unmask.data.load import Dataset
from unmask.stages.gallery import Embedded, Predictions, write_gallery
from unmask.stages.mask_gallery import write_mask_gallery
from unmask.stages.output_gallery import write_output_gallery


def write_task_gallery(
    out: Path,
    data: Dataset,
    split: str,
    predictions: Iterable[tuple[str, Predictions]],
    *,
    embed: Callable[[], Embedded | None],
    seed: int,
) -> None:
    """Write gallery.json and the pictures beside it; `embed` gives images for the map of `write_gallery`."""
    form = None if data.task is None else label_form(data.task.name)
    if form == "mask":
        write_mask_gallery(out, data, split, ((arm, one.probabilities) for arm, one in predictions))
    elif form == "class":
        write_gallery(out, data, split, predictions=predictions, embedded=embed(), seed=seed)
    else:
        write_output_gallery(out, data, split, predictions)
