"""choose.html: the chosen images as one page, cluster by cluster."""

from collections.abc import Sequence
from pathlib import Path

import torch

from unmask.choosing.record import CHOICE_PAGE, Choice, ChosenImage
from unmask.data.imageset import ImageSet
from unmask.report.blocks import Album, Card, Fold, Pictures, Showcase, Story, Table
from unmask.report.html import render_page
from unmask.report.words import name_end, percent
from unmask.runs.files import write_whole
from unmask.runs.layout import SHEETS
from unmask.stages.contact_sheet import write_sheet
from unmask.wording import plural, printable

SHOWN = 300
"""Most images with a picture on the page."""
SIDE, BYTES = 128, 2_000_000


def write_choice_page(out: Path, choice: Choice, images: Sequence[ChosenImage], pictures: ImageSet) -> Path:
    """Write the page into the folder of a choice; `pictures` are the chosen images in order."""
    shown = images[:SHOWN]
    path = SHEETS.path(out, "chosen")
    sheet = write_sheet(path, pictures, torch.arange(len(shown)), side=SIDE, most_bytes=BYTES)
    clusters = sorted({one.cluster for one in shown})
    showcase = Showcase(
        title="Images to label",
        intro=(
            "By cluster of the pool, the largest first. The number is the rank: label in this order, and stop at any "
            "time. Below it is the share of the pool that is nearer to this image than to any other chosen or "
            f"labeled one.{f' The first {SHOWN} have pictures here; all are in the table.' * (len(images) > SHOWN)}"
        ),
        pictures=Pictures(path, sheet),
        albums=[_album(cluster, [one for one in shown if one.cluster == cluster]) for cluster in clusters],
        folds=[Fold("The same as a table", [_table(images)])],
        small=True,
    )
    left = choice.pool - choice.copies - choice.labeled
    covered = sum(one.share for one in images)
    beside = f", the {plural(choice.labeled, 'image')} with labels for the rest" if choice.labeled else ""
    story = Story(
        name=out.name,
        kind="choice",
        subtitle=f"{choice.strategy}, features of {printable(choice.run)}, {plural(choice.pool, 'image')}",
        headline=(
            f"{plural(len(images), 'image')} to label, of {left} without a label. They represent "
            f"{percent(covered)} % of the pool{beside}."
        ),
        sections=[showcase],
    )
    return write_whole(out / CHOICE_PAGE, render_page(f"unmask: {len(images)} images to label", [story], []))


def _album(cluster: int, images: Sequence[ChosenImage]) -> Album:
    share = percent(sum(one.share for one in images))
    title = f"Cluster {cluster}: {plural(len(images), 'image')}, representing {share} % of the pool"
    return Album(title, [_card(one) for one in images])


def _card(image: ChosenImage) -> Card:
    name = printable(Path(image.path).name)
    short = name_end(name)
    return Card(image.rank - 1, f"{image.rank}: {short}", [f"{image.rank}", f"{percent(image.share)} %", short])


def _table(images: Sequence[ChosenImage]) -> Table:
    rows = [
        (str(one.rank), printable(one.path), str(one.cluster), f"{one.typicality:.3g}", percent(one.share), one.reason)
        for one in images
    ]
    return Table("The chosen images", ("rank", "path", "cluster", "typicality", "represents, %", "reason"), rows)
