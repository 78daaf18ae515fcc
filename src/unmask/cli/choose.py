"""`unmask choose` and `unmask label`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

import unmask
from unmask.cli.flags import arguments_of
from unmask.wording import printable


@dataclass(frozen=True, kw_only=True)
class Choose:
    """Choose which images to label: the encoder's features say which ones stand for the most others.

    The first 50 of 100 are the choice of 50. One image of each group comes first; copies, unreadable files and labeled
    images are left out. Writes choose.csv, and choose.html with the pictures.

    Example: unmask choose runs/pretrained --data my/images --count 100 --out runs/chosen
    """

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Whose encoder: run folder of a pretraining, a training or a comparison; a .safetensors file of unmask; or public
    weights, as timm:resnet18.a1_in1k."""
    data: str | None = None
    """Images: folder, manifest, .npy or .npz file, shards, or a built-in. Default: the run's own data."""
    count: int = 100
    """Images to choose."""
    strategy: Literal["facility", "typical", "farthest", "random"] = "facility"
    """facility: the image that shortens the distances of all images to the nearest labeled one most (facility
    location). typical: the most typical one of each cluster. farthest: that farthest from all labeled ones (k-centre).
    random: by lot, as images for a test must be."""
    labeled: Path | None = None
    """Table of path and label of images that have been looked at, such as an earlier labels.csv: they count as
    covered. A row without a label is an image of none of the classes."""
    model: Path | None = None
    """Run of a trained classifier, for later rounds: images of which it is unsure count more."""
    arm: str | None = None
    """Of a comparison: the network of this arm. Default: the arm with the best validation score."""
    split: str = "pretrain"
    """The pool. pretrain: all but validation and test images. all: every image. train, val, test: a split of the
    data."""
    image_size: tuple[int, int] | None = None
    """Height and width at which public weights see the images. Default: 224 224."""
    seed: int = 0
    """Seed of samples, of the starts of k-means, and of the strategy random."""
    out: Path = Path("runs/chosen")
    """Folder to write."""
    overwrite: bool = False
    """Replace the choice in --out."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> int:
        """Choose, write, print what is where."""
        chosen = unmask.choose(**arguments_of(self))
        print("\n".join(map(printable, str(chosen).split("\n"))))
        return 0


@dataclass(frozen=True, kw_only=True)
class Label:
    """Write a page on which the chosen images are labeled: one file, without a server and without a network.

    Keys 1 to 9 and a to z are classes, 0 is none of them, Space skips, Backspace undoes, + enlarges. The browser keeps
    what is done; Ctrl S downloads labels.csv, which --data of every command reads.

    Example: unmask label runs/chosen --classes cat dog other
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder that `unmask choose` wrote."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of the keys. Default: those that run or data know."""
    several: bool = False
    """An image may have several labels; they are written as cat;dog. So it is where data or run have the task
    multilabel."""
    out: Path | None = None
    """File to write. Default: label.html in the folder."""
    overwrite: bool = False
    """Replace an existing page; labels given in the browser stay."""

    def run(self) -> int:
        """Write the page, print where it is."""
        flags = {"several": self.several, "overwrite": self.overwrite}
        print(printable(unmask.label(self.source, classes=self.classes, out=self.out, **flags)))
        return 0
