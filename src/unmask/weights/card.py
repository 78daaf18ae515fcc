"""Files of weights that this package writes, with a card in the file's header."""

import dataclasses
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from unmask.config import EncoderConfig, from_json, to_json
from unmask.config.metric import label_form
from unmask.data.decoding.image_format import ImageFormat
from unmask.errors import UserError
from unmask.tasks.kinds import AnyTask
from unmask.training.checkpoint import save_tensors
from unmask.weights.files import read_file


@dataclasses.dataclass(frozen=True)
class Card:
    """What is stored with weights: the encoder, the format of its input images, and the outputs of its head."""

    encoder: EncoderConfig
    format: ImageFormat
    task: AnyTask | None = None
    """None without a head."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of a classifier; empty without one."""
        return self.task.names if self.task is not None and label_form(self.task.name) == "class" else ()


def save_weights(path: Path, state: Mapping[str, Tensor], card: Card) -> None:
    """Write a model's plain state_dict with its card, atomically."""
    save_tensors(path, state, {"card": to_json(card)})


def load_weights(path: str | PathLike[str]) -> tuple[dict[str, Tensor], Card | None]:
    """State_dict and card of a file by `save_weights`; the card is None for a file by another program.

    Raises:
        UserError: the file cannot be read, or its card is invalid; the message names file and field.
    """
    found = read_file(Path(path))
    return found.tensors, card_in(found.header, Path(path))


def card_in(header: Mapping[str, Any], path: Path) -> Card | None:
    """The card in the header of a file; None if another program wrote it. Raises UserError for an invalid one."""
    if "card" not in header:
        return None
    if isinstance(header["card"], Mapping) and {"image_size", "classes"} & set(header["card"]):
        raise UserError(f"{path}: was written by an earlier version of unmask, whose card holds less: train again")
    try:
        return from_json(Card, header["card"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
