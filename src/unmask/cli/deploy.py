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
    """Which images a finished run is applied to, and where the table goes."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder of a training or of a comparison."""
    arm: str | None = None
    """Of a comparison: use the network of this arm. Default: the arm with the best validation score."""
    data: tuple[str, ...] = ()
    """Images: folder, manifest, .npy or .npz file, or a built-in; or one or several image files. Default: the run's own
    data."""
    out: Path
    """File to write; its ending decides the format."""
    split: str = "all"
    """all: every image. train, val, test, or another test set of the run's data: the split as the run drew it."""
    on_bad_file: Literal["error", "skip"] = "error"
    """Stop at an unreadable file, or leave it out of the table."""
    overwrite: bool = False
    """Replace an existing file."""
    quiet: bool = False
    """No progress bar."""

    def arguments(self) -> dict[str, Any]:
        """Of `unmask.predict` and `unmask.embed`."""
        return arguments_of(self, Images) | {"data": self.data or None}


@dataclass(frozen=True, kw_only=True)
class Predict(Images):
    """Predict the class of images, or their masks, with a comparison's best network or another run's.

    Writes a row per image: path, label (where the data have any), predicted class, and the probability of each class
    (softmax, 0..1). Endings: .csv, .parquet. A segmentation run writes a mask for each image, an indexed PNG, into the
    folder --out.

    Example: unmask predict runs/answer --data my/new_images --out predictions.csv
    """

    windows: bool = False
    """Of a segmentation run: look at images larger than those of the training in overlapping windows of that size."""

    def run(self) -> int:
        """Predict, write table or masks, print what is in them."""
        print(printable(unmask.predict(**self.arguments(), windows=self.windows)))
        return 0


@dataclass(frozen=True, kw_only=True)
class Embed(Images):
    """Write the pooled features of images, as an encoder's head would get them.

    Endings: .csv, .parquet (a column per feature), .npz (arrays features, path and label).

    Example: unmask embed runs/pretrained --data my/images --out features.parquet
    """

    layer: int | None = None
    """Read a stage of the encoder instead, averaged over positions: 0 is the first, -1 the last. Default: the head's
    input."""
    map: bool = False
    """With --layer: keep the map, channels x height x width, instead of its average. Needs .npz."""

    def run(self) -> int:
        """Embed, write the table, print what is in it."""
        print(printable(unmask.embed(**self.arguments(), layer=self.layer, as_map=self.map)))
        return 0


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write an encoder, with its classifier if it has one, in a form that runs without this package.

    What is written is checked against the run on real images before the command reports success. Beside it are the
    settings of its input and a model card.

    Example: unmask export runs/finetuned --to onnx --out deployed
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder of pretrain, finetune, scratch or compare."""
    arm: str | None = None
    """Of a comparison: export the network of this arm. Default: the arm with the best validation score."""
    to: Format
    """timm (timm.create_model loads it), safetensors (weights with a card), onnx (one file, any batch size), or
    torch-export (.pt2, any batch size)."""
    out: Path | None = None
    """Folder to write. Default: export-FORMAT in the run folder."""
    inputs: Literal["stored", "normalized"] = "stored"
    """onnx, torch-export. stored: the graph takes pixel values as stored in files (0..255 for 8 bits) and scales and
    normalizes them itself. normalized: the graph takes what the encoder sees."""
    data: str | None = None
    """Images for the check. Default: the run's own data."""
    license: str | None = None
    """License of the weights, written into the model card, e.g. cc-by-4.0."""
    push_to_hub: str | None = None
    """Also upload the folder to this repository of the Hugging Face hub, e.g. me/my-encoder. Needs `hf auth login`."""
    public: bool = False
    """A repository that is created by the upload is public. Default: private."""
    overwrite: bool = False
    """Replace the files of an earlier export."""

    def run(self) -> int:
        """Export, check, print where it is and how it is loaded."""
        print(unmask.export(**arguments_of(self)))
        return 0
