"""The gallery of a network or of arms, by task: mistakes of classes, masks, or labels and numbers."""

from collections.abc import Callable, Iterable
from pathlib import Path

from unmask.config.metric import label_form
from unmask.data.load import Dataset
from unmask.runs.files import write_json
from unmask.runs.gallery import Gallery
from unmask.runs.layout import GALLERY_FILE
from unmask.stages.gallery import Embedded, Predictions, with_mistakes
from unmask.stages.mask_gallery import with_panels
from unmask.stages.output_gallery import with_judged


def write_task_gallery(
    out: Path,
    data: Dataset,
    split: str,
    predictions: Iterable[tuple[str, Predictions]],
    *,
    embed: Callable[[], Embedded | None],
    seed: int,
) -> None:
    """Write gallery.json and its pictures; `embed` returns images for the map of `with_mistakes`."""
    task, images = data.task, data.tests[split]
    assert task is not None
    gallery = Gallery(split=split, classes=task.names, channels=data.format.channels)
    form = label_form(task.name)
    if form == "mask":
        gallery = with_panels(gallery, out, images, predictions)
    elif form == "class":
        gallery = with_mistakes(gallery, out, images, predictions, embed(), seed)
    else:
        gallery = with_judged(gallery, out, task, images, predictions)
    write_json(out / GALLERY_FILE, gallery)
