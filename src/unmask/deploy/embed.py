"""Write the features of any images, as probes and nearest neighbors get them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unmask.data.load import ALL
from unmask.deploy.columns import label_columns
from unmask.deploy.images import Named, label_names, load_as_trained, require_apart, require_numbers
from unmask.deploy.tables import require_writable, write_arrays, write_table
from unmask.deploy.trained import Trained, read_trained, told
from unmask.encoders.heads import encoder_of
from unmask.encoders.masked import masked_encoder
from unmask.encoders.tokens import TOKEN_MODELS
from unmask.encoders.whole_images import whole_maps
from unmask.errors import UserError
from unmask.forward import map_images, pooled_features
from unmask.wording import plural


@dataclass(frozen=True)
class Embedded:
    """What `embed` wrote."""

    out: Path
    images: int
    shape: tuple[int, ...]
    """Shape of one image's features."""
    left_out: int
    network: str = ""
    """Which network of a comparison it was."""

    def __str__(self) -> str:
        skipped = f"; {plural(self.left_out, 'unreadable file')} left out" if self.left_out else ""
        shape, images = " x ".join(map(str, self.shape)), plural(self.images, "image")
        return f"{self.out}: {shape} features of {images}{skipped}{told(self.network)}"


def embed(
    run: str | PathLike[str],
    out: str | PathLike[str],
    *,
    arm: str | None = None,
    data: Named = None,
    split: str = ALL,
    layer: int | None = None,
    as_map: bool = False,
    on_bad_file: Literal["error", "skip"] = "error",
    overwrite: bool = False,
    progress: bool = True,
) -> Embedded:
    """Write path, label (if any) and features f0, f1, ..., a row per image; or arrays features, path and label (.npz).

    Args:
        run: folder of a pretraining, a fine-tuned run, one from scratch, or a comparison.
        out: .csv, .parquet or .npz.
        arm: for a comparison: the arm whose network is used. Default: the recommended one.
        data: what `DataConfig.data` takes, or one or several image files. Default: the run's own data.
        split: "all", or a set as the run drew it.
        layer: a stage of the encoder, averaged over positions, instead of the input of the head.
        as_map: the stage's map (C, h, w) instead of its average; .npz only.
        on_bad_file: stop at an unreadable file, or skip it.
        overwrite: replace an existing file.
        progress: show a bar.

    Raises:
        UserError: bad input, or a feature that is not a number, before a file is written.
    """
    run, out = Path(run), Path(out)
    require_writable(out, (".csv", ".parquet", ".npz"), overwrite=overwrite)
    if as_map and (layer is None or out.suffix.lower() != ".npz"):
        raise UserError("map: maps are those of one stage, in a .npz file: give `layer` and `out=FILE.npz`")
    trained = read_trained(run, arm)
    require_apart(out, trained, data)
    network = None if layer is None else stage(trained, layer, as_map=as_map)
    dataset = load_as_trained(trained, data, split=split, on_bad_file=on_bad_file, progress=progress)
    images = dataset.images(split)
    if network is None:
        outputs = pooled_features(encoder_of(trained.model), images, description="embed", show=progress)
    else:
        outputs = map_images(network, images, description="embed", show=progress)
    require_numbers(outputs, "the features")
    features = outputs.values
    columns: dict[str, Any] = {"path": list(outputs.images.names)}
    if dataset.classes:
        columns["label"] = label_names(outputs.images, dataset.classes)
    columns |= label_columns(outputs.images.labels, dataset.task)
    if out.suffix.lower() == ".npz":
        arrays = {name: _array(cells) for name, cells in columns.items()}
        write_arrays(out, arrays | {"features": features.numpy()})
    else:
        write_table(out, columns | {f"f{i}": features[:, i].tolist() for i in range(features.shape[1])})
    left_out = len(dataset.bad_before) + len(images) - len(features)
    return Embedded(out, len(features), tuple(features.shape[1:]), left_out, trained.network)


def _array(cells: Sequence[Any]) -> NDArray[np.generic]:
    """Texts, or numbers with NaN for those that are unknown."""
    return np.asarray(cells, np.float64 if None in cells else None)


def stage(trained: Trained, layer: int, *, as_map: bool) -> Callable[[Tensor], Tensor]:
    """The map (B, C, h, w) of a stage, or its average over positions (B, C).

    Raises:
        UserError: the encoder lacks this stage, or has no stages.
    """
    # With nothing hidden, a filled encoder is the plain model with its maps read.
    model = encoder_of(trained.model)
    execution = "auto" if isinstance(model, TOKEN_MODELS) else "filled"
    encoder = masked_encoder(model, image_size=trained.card.format.size, execution=execution)
    trained.model.eval()
    count = len(encoder.channels)
    if not -count <= layer < count:
        raise UserError(f"layer = {layer} is out of range: {trained.card.encoder.encoder} has stages 0 to {count - 1}")

    def network(images: Tensor) -> Tensor:
        found = whole_maps(encoder, images)[layer]
        return found if as_map else found.mean(dim=(2, 3))

    return network
