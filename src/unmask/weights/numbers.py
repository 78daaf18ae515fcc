"""Check whether the numbers in a file can be those of a network."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from unmask.errors import UserError

SHOWN = 3
"""Most names that a message lists."""


def require_numbers(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], whose: str) -> None:
    """Raise `UserError`, which begins with `whose`, unless the numbers can be those of a network's tensors.

    They must be of the same kind, whole or not (loading would round or cut them silently), finite, and variances not
    below 0.
    """
    kinds = [k for k, v in tensors.items() if v.is_floating_point() != wanted[k].is_floating_point()]
    refuse(f"{whose} has another number type for", kinds)
    broken = [k for k, v in tensors.items() if v.is_floating_point() and not bool(v.isfinite().all())]
    refuse(f"{whose} has numbers that are not finite in", broken)
    negative = [k for k, v in tensors.items() if k.endswith("running_var") and bool((v < 0).any())]
    refuse(f"{whose} has variances below 0 in", negative)


def refuse(what: str, names: Sequence[str], more: str = "") -> None:
    """Raise `UserError` that lists names, unless there are none."""
    if names:
        raise UserError(f"{what} {', '.join(names[:SHOWN])}{' ...' if len(names) > SHOWN else ''}{more}")
