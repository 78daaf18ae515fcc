"""Plain gradient descent with a fixed step, t = step · n: the reference for exact time."""

from collections.abc import Callable

import torch
from torch import Tensor


def descend(
    force: Callable[[Tensor], Tensor], start: Tensor, step: float, steps: int, keep_every: int | None = None
) -> Tensor:
    """w ← w + step · force(w), `steps` times.

    Returns:
        The states after 0, keep_every, 2·keep_every, ... steps, stacked first; only the last state (shape (1, ...))
        by default.
    """
    w = start.clone()
    kept = [w.clone()] if keep_every else []
    for i in range(1, steps + 1):
        w.add_(force(w), alpha=step)
        if keep_every and i % keep_every == 0:
            kept.append(w.clone())
    return torch.stack(kept) if keep_every else w[None]
