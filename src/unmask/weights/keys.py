"""Match the tensors of a file to those of a network, whatever wraps the names."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

_WRAPPERS = ("module", "_orig_mod", "model", "encoder", "backbone")
_NOT_THE_ENCODERS = re.compile(
    r"(?:fc|head|head_dist|classifier|pre_logits|aux_\w+|decoder\w*|mask_token)(?:\.|$)"
    r"|.*(?:relative_position_index|relative_coords_table|attn_mask|num_batches_tracked)$"
)
"""Names that a file may hold beyond the network: other heads, decoders, and tables that follow from sizes."""


@dataclass(frozen=True)
class KeyMap:
    """Tensors of a file by the names of a network, and what does not fit."""

    matched: dict[str, Tensor]
    missing: tuple[str, ...]
    """Names of the network that the file lacks."""
    unexpected: tuple[str, ...]
    """Names of the file's encoder that the network lacks: it is a different encoder."""
    unused: tuple[str, ...]
    """Names in the file that are not part of its encoder: a head, a decoder."""
    renamed: str = ""
    """How names in the file became names of the network; empty if they are the same."""

    @property
    def fits(self) -> bool:
        """Whether the file's encoder is the network's."""
        return not self.missing and not self.unexpected


def match_names(offered: Mapping[str, Tensor], wanted: Mapping[str, Tensor], head: set[str]) -> KeyMap:
    """Match by name, after removing the wrapper's prefix under which most of the network's names are found.

    Args:
        offered: the file's tensors.
        wanted: the network's state_dict.
        head: names of the network's head, which is not taken from the file.
    """
    body = [name for name in wanted if name not in head]
    prefix = _prefix(offered, set(body))
    inside = {name.removeprefix(prefix): tensor for name, tensor in offered.items() if name.startswith(prefix)}
    others = [name for name in inside if name not in wanted]
    return KeyMap(
        {name: inside[name] for name in body if name in inside},
        tuple(name for name in body if name not in inside and not name.endswith("num_batches_tracked")),
        tuple(name for name in others if not _NOT_THE_ENCODERS.match(name)),
        (
            *(name for name in offered if not name.startswith(prefix)),
            *(name for name in inside if name in head or (name in others and _NOT_THE_ENCODERS.match(name))),
        ),
        f"names without {prefix!r}" if prefix else "",
    )


def match_order(offered: Mapping[str, Tensor], wanted: Mapping[str, Tensor], head: set[str]) -> KeyMap | None:
    """Match by order, if all tensors of the network follow one another in the file with their kinds and shapes.

    For files with another program's names in order of registration. Input channels of the first kernel may
    differ. None if anything else does.
    """
    body = [name for name in wanted if name not in head]
    theirs = list(offered)
    if len(theirs) - len(body) not in (0, len(head), 2):  # the file's own head, of a kernel and a bias
        return None
    for index, (ours, other) in enumerate(zip(body, theirs, strict=False)):
        shapes = wanted[ours].shape, offered[other].shape
        if index == 0 and len(shapes[0]) == len(shapes[1]) == 4:
            shapes = (*shapes[0][:1], *shapes[0][2:]), (*shapes[1][:1], *shapes[1][2:])  # type: ignore[assignment]
        if shapes[0] != shapes[1] or ours.rpartition(".")[2] != other.rpartition(".")[2]:
            return None
    pairs = zip(body, theirs, strict=False)
    how = f"another program's names, matched by their order and shapes ({theirs[0]} is {body[0]})"
    return KeyMap({ours: offered[other] for ours, other in pairs}, (), (), tuple(theirs[len(body) :]), how)


def _prefix(offered: Mapping[str, Tensor], body: set[str]) -> str:
    """The wrapper's prefix, possibly empty, under which most names of the network are found; the shortest of equals."""
    counts: dict[str, int] = {"": 0}
    for name in offered:
        for prefix in _prefixes(name):
            counts[prefix] = counts.get(prefix, 0) + (name.removeprefix(prefix) in body)
    return min(counts, key=lambda prefix: (-counts[prefix], len(prefix)))


def _prefixes(name: str) -> Iterator[str]:
    """The prefixes of a name that consist of wrappers, starting with none."""
    prefix = ""
    yield prefix
    for part in name.split("."):
        if part not in _WRAPPERS:
            return
        prefix += f"{part}."
        yield prefix
