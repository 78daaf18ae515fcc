"""The members of a tar as samples, as WebDataset writes them: the name up to its first dot is the sample's."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from unmask.data.decoding.decode import SUFFIXES
from unmask.data.file_names import is_junk
from unmask.data.sources.tar import Place
from unmask.errors import UserError

LABEL_KEYS = ("label", "cls", "class")
"""Keys of a `.json` member that are taken for the label if none is named."""


@dataclass(frozen=True)
class Sample:
    """An image in a tar and its label, "" if it has none."""

    image: Place
    label: str
    """Text; several texts as "a;b", several numbers as a JSON list."""
    is_class: bool = False
    """Whether the label is a class by WebDataset's convention, a .cls member."""


@dataclass(frozen=True)
class Fields:
    """Which members of a sample are image and label; None: found by kind."""

    image: str | None = None
    """A member's name from its first dot on: "jpg", "left.png"."""
    label: str | None = None
    """The same, or a key of the `.json` member."""


def split_name(name: str) -> tuple[str, str]:
    """Key and field of a member: "a/17.left.png" is ("a/17", "left.png")."""
    folder, slash, base = name.rpartition("/")
    stem, _, field = base.partition(".")
    return folder + slash + stem, field.lower()


def samples(tar: BinaryIO, members: Iterable[Place], fields: Fields) -> Iterator[Sample | None]:
    """The samples of an open tar in order; None for one without an image.

    Raises:
        UserError: a sample with more than one image, or a label that cannot be read.
    """
    together: dict[str, Place] = {}
    current = ""
    for place in members:
        key, field = split_name(place.name)
        if not field or any(map(is_junk, place.name.removeprefix("./").split("/"))):
            continue
        if together and key != current:
            yield _sample(tar, current, together, fields)
            together = {}
        if field in together:
            raise UserError(f"two members are called {place.name}")
        current, together[field] = key, place
    if together:
        yield _sample(tar, current, together, fields)


def _sample(tar: BinaryIO, key: str, members: dict[str, Place], fields: Fields) -> Sample | None:
    image = _image(key, members, fields.image)
    if image is None:
        return None
    return Sample(image, _label(tar, key, members, fields.label), fields.label is None and "cls" in members)


def _image(key: str, members: dict[str, Place], wanted: str | None) -> Place | None:
    if wanted is not None:
        return members.get(wanted.lower().removeprefix("."))
    found = [field for field in members if f".{field.rpartition('.')[2]}" in SUFFIXES]
    if len(found) > 1:
        raise UserError(
            f"sample {key} has {len(found)} images ({', '.join(found[:4])}): name one with `image_field` "
            "(a sample's name ends at its first dot)"
        )
    return members[found[0]] if found else None


def _label(tar: BinaryIO, key: str, members: dict[str, Place], wanted: str | None) -> str:
    if wanted is not None and (field := wanted.lower().removeprefix(".")) in members:
        return _text(tar, members[field])
    if wanted is None and "cls" in members:
        return _text(tar, members["cls"])
    if "json" not in members:
        return ""
    try:
        facts = json.loads(_text(tar, members["json"]))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{key}.json: {error}") from None
    keys = LABEL_KEYS if wanted is None else (wanted,)
    found = [facts[name] for name in keys if name in facts] if isinstance(facts, dict) else []
    if not found or found[0] is None:
        return ""
    return found[0].strip() if isinstance(found[0], str) else json.dumps(found[0])


def _text(tar: BinaryIO, place: Place) -> str:
    """Text of a member."""
    tar.seek(place.offset)
    return tar.read(place.size).decode("utf-8", "backslashreplace").strip()
