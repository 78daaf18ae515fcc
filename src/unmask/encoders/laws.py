"""Measurements of what must hold for every encoder. Tests assert them; `unmask encoders --check` prints them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from unmask.encoders.masked import masked_encoder
from unmask.encoders.protocol import Encoder
from unmask.encoders.whole_images import plain_stages
from unmask.masking import expand


def leak(encoder: Encoder, images: Tensor, hidden: Tensor) -> float:
    """Largest change of any feature when only hidden pixels change, or largest feature at a hidden position.

    0.0 means that visible features are equal bit for bit and hidden ones exactly 0, in training mode, at every stage.
    """
    shown = images.masked_fill(expand(hidden, *images.shape[2:])[:, None], 0)
    other = images + (images - shown) * -3.0
    changes = []
    with _frozen_buffers(encoder.model), torch.no_grad():
        for one, two, gone in _stages(_encode(encoder, images, hidden), _encode(encoder, other, hidden)):
            changes += [(one - two).abs().max().item(), one.masked_select(gone[:, None]).abs().sum().item()]
    return max(changes)


def parity(encoder: Encoder, images: Tensor, *, training: bool) -> float:
    """Largest difference to the plain model, relative to its largest feature, when nothing is hidden.

    The masked code is really run. In training mode the batch statistics and the resulting running statistics are
    compared too.
    """
    plain, mine = deepcopy(encoder.model).train(training), deepcopy(encoder).train(training)  # type: ignore[attr-defined]
    with torch.no_grad():
        expected = _seeded(lambda: plain_stages(plain, images))
        found = _encode(mine, images, images.new_zeros(len(images), *encoder.grid, dtype=torch.bool)).maps
    found = found[-len(expected) :]
    pairs = [*zip(found, expected, strict=True), *zip(mine.model.buffers(), plain.buffers(), strict=True)]
    return max(distance(one, two) for one, two in pairs)


def isolation(model: nn.Module, images: Tensor, *, cell: int, execution: str = "auto") -> float:
    """Largest relative difference between one visible cell and the plain model on an image of that cell alone.

    Hidden surroundings must act as the border of an image does, and statistics must be those of the visible positions:
    both run in training mode. Holds for networks with symmetric zero padding and no positions of their own.
    """
    size = (images.shape[2], images.shape[3])
    encoder: Any = masked_encoder(deepcopy(model), image_size=size, cell=cell, execution=execution)
    hidden = torch.ones(len(images), *encoder.grid, dtype=torch.bool, device=images.device)
    hidden[:, 0, -1] = False
    alone = deepcopy(model).train()
    with torch.no_grad():
        encoding = _encode(encoder.train(), images, hidden)
        expected = _seeded(lambda: plain_stages(alone, images[:, :, :cell, -cell:]))
    errors = [distance(one, two) for one, two in zip(encoder.model.buffers(), alone.buffers(), strict=True)]
    for features, one in zip(encoding.maps, expected, strict=True):
        errors.append(distance(features[:, :, : one.shape[2], -one.shape[3] :], one))
    return max(errors)


def training_step(encoder: Encoder, images: Tensor, hidden: Tensor) -> tuple[bool, list[str]]:
    """One SGD step on a reconstruction of the images' cell means at hidden cells.

    Returns:
        Whether loss, gradients and new weights are finite, and the parameters that the plain model's features use but
        that got no gradient.
    """
    copy: Any = deepcopy(encoder).train()  # type: ignore[attr-defined]
    encoding = _encode(copy, images, hidden)
    loss = _reconstruction_loss(encoding.maps, images)
    loss.backward()
    missing = [name for name in used_parameters(copy.model, images) if copy.model.get_parameter(name).grad is None]
    gradients = [p.grad for p in copy.parameters() if p.grad is not None]
    torch.optim.SGD([p for p in copy.parameters() if p.grad is not None], lr=1e-3).step()
    finite = [loss.detach(), *gradients, *copy.parameters()]
    return all(bool(torch.isfinite(value).all()) for value in finite), missing


def used_parameters(model: nn.Module, images: Tensor) -> list[str]:
    """Names of the trainable parameters that the plain model's `forward_features` depends on."""
    copy: Any = deepcopy(model).train()
    copy.zero_grad()
    copy.forward_features(images).square().sum().backward()
    return [name for name, parameter in copy.named_parameters() if parameter.grad is not None]


def distance(one: Tensor, two: Tensor) -> float:
    """Largest difference relative to the largest entry of `two` (absolute where that is below 1)."""
    one, two = one.double(), two.double()
    if not two.numel():
        return 0.0
    difference = ((one - two).abs().max() / two.abs().max().clamp(min=1)).item()
    return difference if difference == difference else float("inf")


def _reconstruction_loss(maps: Sequence[Tensor], images: Tensor) -> Tensor:
    """Mean squared error of each map's channel mean to the image's mean brightness there."""
    loss = images.new_zeros(())
    for features in maps:
        target = nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), features.shape[2:])  # type: ignore[arg-type]
        weight = torch.linspace(0.5, 1.5, features.shape[1], dtype=features.dtype, device=features.device)
        loss = loss + ((features * weight[:, None, None]).mean(1, keepdim=True) - target).square().mean()
    return loss


def _encode(encoder: Any, images: Tensor, hidden: Tensor) -> Any:
    return _seeded(lambda: encoder(images, hidden))


def _seeded(run: Callable[[], Any]) -> Any:
    """Run with fixed randomness (dropout, stochastic depth)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return run()


def _stages(one: Any, two: Any) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    yield from zip(one.maps, two.maps, one.hidden, strict=True)


@contextmanager
def _frozen_buffers(model: nn.Module) -> Iterator[None]:
    """Restore running statistics afterwards."""
    before = [buffer.clone() for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(model.buffers(), before, strict=True):
                buffer.copy_(value)
