"""`unmask predict`, `unmask embed` and `unmask export` for the command line. torch comes with the call."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

Format = Literal["timm", "safetensors", "onnx", "torch-export"]
FORMATS: tuple[Format, ...] = ("timm", "safetensors", "onnx", "torch-export")


@dataclass(frozen=True, kw_only=True)
class ImagesConfig:
    """Which images a finished run is applied to, and where the table goes."""

    run: tyro.conf.Positional[Path]
    """Run folder."""
    data: str | None = None
    """Images: folder, manifest, .npy or .npz file, or a built-in. Default: the run's own data."""
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


@dataclass(frozen=True, kw_only=True)
class PredictConfig(ImagesConfig):
    """Predict the class of images with a fine-tuned run or one from scratch.

    Writes a row an image: path, label (where the data have any), predicted class, and the probability of each class
    (softmax, 0..1). Endings: .csv, .parquet.

    Example: unmask predict runs/finetuned --data my/new_images --out predictions.csv
    """


@dataclass(frozen=True, kw_only=True)
class EmbedConfig(ImagesConfig):
    """Write the pooled features of images, as an encoder's head would get them.

    Endings: .csv, .parquet (a column a feature), .npz (arrays features, path and label).

    Example: unmask embed runs/pretrained --data my/images --out features.parquet
    """

    layer: int | None = None
    """Read a stage of the encoder instead, averaged over positions: 0 is the first, -1 the last. Default: the head's
    input."""
    map: bool = False
    """With --layer: keep the map, channels x height x width, instead of its average. Needs .npz."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write an encoder, with its classifier if it has one, in a form that runs without this package.

    What is written is checked against the run on real images before the command reports success. Beside it are the
    settings of its input and a model card.

    Example: unmask export runs/finetuned --to onnx --out deployed
    """

    run: tyro.conf.Positional[Path]
    """Run folder of pretrain, finetune or scratch."""
    to: Format
    """timm (timm.create_model loads it), safetensors (weights with a card), onnx (one file, any batch size), or
    torch-export (.pt2, any batch size)."""
    out: Path | None = None
    """Folder to write. Default: export-FORMAT in the run folder."""
    inputs: Literal["stored", "normalised"] = "stored"
    """onnx, torch-export. stored: the graph takes pixel values as stored in files (0..255 for 8 bits) and scales and
    normalises them itself. normalised: the graph takes what the encoder sees."""
    data: str | None = None
    """Images for the check. Default: the run's own data."""
    licence: str | None = None
    """Licence of the weights, written into the model card, e.g. cc-by-4.0."""
    push_to_hub: str | None = None
    """Also upload the folder to this repository of the Hugging Face hub, e.g. me/my-encoder. Needs `hf auth login`."""
    public: bool = False
    """A repository that is created by the upload is public. Default: private."""
    overwrite: bool = False
    """Replace the files of an earlier export."""


def run_predict(command: PredictConfig) -> int:
    """Predict, write the table, say what is in it."""
    from unmask.deploy.predict import predict

    print(predict(**_arguments(command)))
    return 0


def run_embed(command: EmbedConfig) -> int:
    """Embed, write the table, say what is in it."""
    from unmask.deploy.embed import embed

    print(embed(**_arguments(command), layer=command.layer, as_map=command.map))
    return 0


def run_export(command: ExportConfig) -> int:
    """Export, check, say where it is and how it is loaded."""
    from unmask.deploy.export import export

    exported = export(
        command.run,
        command.to,
        command.out,
        inputs=command.inputs,
        data=command.data,
        licence=command.licence,
        push_to_hub=command.push_to_hub,
        public=command.public,
        overwrite=command.overwrite,
    )
    print(exported)
    return 0


def _arguments(command: ImagesConfig) -> dict[str, Any]:
    return {
        "run": command.run,
        "out": command.out,
        "data": command.data,
        "split": command.split,
        "on_bad_file": command.on_bad_file,
        "overwrite": command.overwrite,
        "progress": not command.quiet,
    }
