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
    """Choose which images to label: those that represent the most others in the encoder's features.

    The first 50 of 100 are the same as a choice of 50. One image per group comes first; copies, unreadable files and
    labeled images are left out. Writes choose.csv, and choose.html with the pictures.

    Example: unmask choose runs/pretrained --data my/images --count 100 --out runs/chosen
    """

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The encoder: a run folder (pretraining, training or comparison), a .safetensors file written by unmask, or public
    weights such as timm:resnet18.a1_in1k."""
    data: str | None = None
    """Images: folder, manifest, .npy or .npz file, shards, or built-in data. Default: the run's own data."""
    count: int = 100
    """Number of images to choose."""
    strategy: Literal["facility", "typical", "farthest", "random"] = "facility"
    """facility: the image that most shortens the distances of all images to the nearest labeled one (facility
    location). typical: the most typical image of each cluster. farthest: the one farthest from all labeled ones
    (k-center). random: at random, as test images must be chosen."""
    labeled: Path | None = None
    """Table of path and label of images already seen, such as an earlier labels.csv: they count as covered. A row
    without a label is an image of none of the classes."""
    model: Path | None = None
    """Run of a trained classifier, for later rounds: images it is unsure about count more."""
    arm: str | None = None
    """For a comparison: use the network of this arm. Default: the recommended one."""
    split: str = "pretrain"
    """Images to choose from. pretrain: all but validation and test images. all: every image. train, val, test: a split
    of the data."""
    image_size: tuple[int, int] | None = None
    """Height and width of the images for public weights. Default: 224 224."""
    seed: int = 0
    """Seed of samples, of k-means initialization, and of the strategy random."""
    out: Path = Path("runs/chosen")
    """Folder to write."""
    overwrite: bool = False
    """Replace the choice in --out."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> int:
        """Choose, write, and print where everything is."""
        chosen = unmask.choose(**arguments_of(self))
        print("\n".join(map(printable, str(chosen).split("\n"))))
        return 0


@dataclass(frozen=True, kw_only=True)
class Label:
    """Write a page for labeling the chosen images: one file that needs no server and no network.

    Keys 1 to 9 and a to z assign classes, 0 none of them; Space skips, Backspace undoes, + enlarges. The browser keeps
    the labels; Ctrl S downloads labels.csv, which --data of every command reads.

    Example: unmask label runs/chosen --classes cat dog other
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder that `unmask choose` wrote."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of the keys. Default: those of the run or the data."""
    several: bool = False
    """An image may have several labels, written as cat;dog. Always on if the data or the run have the task
    multilabel."""
    out: Path | None = None
    """File to write. Default: label.html in that folder."""
    overwrite: bool = False
    """Replace an existing page; labels kept in the browser stay."""

    def run(self) -> int:
        """Write the page and print its path."""
        flags = {"several": self.several, "overwrite": self.overwrite}
        print(printable(unmask.label(self.source, classes=self.classes, out=self.out, **flags)))
        return 0
