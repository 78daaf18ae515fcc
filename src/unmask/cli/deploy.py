"""`unmask predict`, `unmask embed` and `unmask export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import unmask
from unmask.cli.flags import arguments_of
from unmask.deploy.formats import Format
from unmask.wording import printable


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images a finished run is applied to, and where the table is written."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder of a training or of a comparison."""
    arm: str | None = None
    """For a comparison: use the network of this arm. Default: the recommended one."""
    data: tuple[str, ...] = ()
    """Images: folder, manifest, .npy or .npz file, built-in data, or one or more image files. Default: the run's own
    data."""
    out: Path
    """File to write; its extension sets the format."""
    split: str = "all"
    """all: every image. train, val, test, or another test set of the run's data: that split as the run drew it."""
    on_bad_file: Literal["error", "skip"] = "error"
    """Whether to stop at an unreadable file or to leave it out of the table."""
    overwrite: bool = False
    """Replace an existing file."""
    quiet: bool = False
    """No progress bar."""

    def arguments(self) -> dict[str, Any]:
        """Arguments of `unmask.predict` and `unmask.embed`."""
        return arguments_of(self, Images) | {"data": self.data or None}


@dataclass(frozen=True, kw_only=True)
class Predict(Images):
    """Predict classes or masks of images with a comparison's best network or another run's.

    Writes a row per image: path, label (if the data have labels), predicted class, and the probability of each class
    (softmax, 0..1), as .csv or .parquet. A segmentation run writes a mask for each image, an indexed PNG, into the
    folder --out.

    Example: unmask predict runs/answer --data my/new_images --out predictions.csv
    """

    windows: bool = False
    """For a segmentation run: process images larger than in training in overlapping windows of the training size."""

    def run(self) -> int:
        """Predict, write the table or masks, and print a summary of them."""
        print(printable(unmask.predict(**self.arguments(), windows=self.windows)))
        return 0


@dataclass(frozen=True, kw_only=True)
class Embed(Images):
    """Write the pooled features of images, as the encoder passes them to a head.

    Formats: .csv, .parquet (a column per feature), .npz (arrays features, path and label).

    Example: unmask embed runs/pretrained --data my/images --out features.parquet
    """

    layer: int | None = None
    """Read a stage of the encoder instead, averaged over positions: 0 is the first, -1 the last. Default: the head's
    input."""
    map: bool = False
    """With --layer: keep the map, channels x height x width, instead of its average. Needs .npz."""

    def run(self) -> int:
        """Embed, write the table, and print a summary of it."""
        print(printable(unmask.embed(**self.arguments(), layer=self.layer, as_map=self.map)))
        return 0


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write an encoder, with its classifier if it has one, in a format that runs without this package.

    The export is checked against the run on real images before the command reports success. Its input settings and a
    model card are written beside it.

    Example: unmask export runs/finetuned --to onnx --out deployed
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder of pretrain, finetune, scratch or compare."""
    arm: str | None = None
    """For a comparison: export the network of this arm. Default: the recommended one."""
    to: Format
    """timm (timm.create_model loads it), safetensors (weights with a card), onnx (one file, any batch size), or
    torch-export (.pt2, any batch size)."""
    out: Path | None = None
    """Folder to write. Default: export-FORMAT in the run folder."""
    inputs: Literal["stored", "normalized"] = "stored"
    """For onnx and torch-export. stored: the graph takes pixel values as stored in files (0..255 for 8 bits) and scales
    and normalizes them itself. normalized: the graph takes the encoder's normalized input."""
    data: str | None = None
    """Images for the check. Default: the run's own data."""
    license: str | None = None
    """License of the weights for the model card, e.g. cc-by-4.0."""
    push_to_hub: str | None = None
    """Also upload the folder to this Hugging Face hub repository, e.g. me/my-encoder. Needs `hf auth login`."""
    public: bool = False
    """Make a repository created by the upload public. Default: private."""
    overwrite: bool = False
    """Replace an earlier export."""

    def run(self) -> int:
        """Export, check, and print where the export is and how to load it."""
        print(unmask.export(**arguments_of(self)))
        return 0
