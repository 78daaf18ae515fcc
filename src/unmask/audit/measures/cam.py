"""Eigen-CAM and Grad-CAM: which positions of an image a layer responds to, and which are evidence for a class.

Letters: N (B) images, C channels, H x W pixels, D channels of the layer, h x w = P positions, K classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unmask.audit.measures.cam_layer import Layer, choose_layer, tapped, to_map
from unmask.encoders.stages import evaluating
from unmask.errors import UserError


@dataclass(frozen=True)
class Maps:
    """Maps of N images at one layer. A flat map is zero everywhere."""

    eigen: Tensor
    """Eigen-CAM, float32 [N, h, w], signed."""
    grad: Tensor
    """Grad-CAM of the targets, float32 [N, h, w], at least 0."""
    targets: Tensor
    """Class that each Grad-CAM explains, int64 [N]."""
    logits: Tensor
    """[N, K]."""
    layer: Layer


def class_maps(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None = None,
    *,
    layer: str | None = None,
    batch_size: int = 64,
) -> Maps:
    """Eigen-CAM and Grad-CAM of every image from one forward pass and a backward pass down to the layer.

    The model's mode, hooks, gradients and `requires_grad` are restored, also on error.

    Args:
        model: images [N, C, H, W] to logits [N, K]; in any mode, frozen or not; it runs in evaluation mode.
        images: normalized images.
        targets: the class to explain for each image, int64 [N]. Default: the predicted one.
        layer: path of a module, see `choose_layer`.
        batch_size: images per pass; does not change the maps.

    Raises:
        UserError: no such layer, a layer without positions or one that no target depends on; targets that do not fit.
    """
    place = choose_layer(model, images, layer)
    if targets is not None and (targets.shape != (len(images),) or int(targets.min()) < 0):
        wanted = f"{len(images)} images; give one class for each, counted from 0"
        raise UserError(f"targets: {tuple(targets.shape)} for {wanted}")
    parts = []
    with evaluating(model):
        for start in range(0, len(images), batch_size):
            here = slice(start, start + batch_size)
            parts.append(_read(model, images[here], None if targets is None else targets[here], place))
    eigen, grad, chosen, logits, alive = (torch.cat(column) for column in zip(*parts, strict=True))
    if not alive.any():
        raise UserError(
            f"layer = {place} of {type(model).__name__}: no class depends on its values; choose an earlier one"
        )
    return Maps(eigen, grad, chosen, logits, place)


def _read(model: nn.Module, images: Tensor, targets: Tensor | None, layer: Layer) -> tuple[Tensor, ...]:
    with tapped(model, layer, leaf=True) as taken:
        logits = model(images)
        if not taken:
            raise UserError(f"layer = {layer} of {type(model).__name__} is not used in a forward pass")
        values = taken[-1]
        if targets is None:
            targets = logits.argmax(1)
        elif int(targets.max()) >= logits.shape[1]:
            raise UserError(f"target {int(targets.max())}: the network has {logits.shape[1]} classes, counted from 0")
        score = logits.gather(1, targets[:, None]).sum()
        gradients = (
            torch.autograd.grad(score, values, allow_unused=True)[0] if score.requires_grad else None
        )  # None: the classes are computed past this layer
    if gradients is None:
        gradients = torch.zeros_like(values)
    size = (images.shape[-2], images.shape[-1])
    activations, slopes = (to_map(x.detach(), model, layer, size) for x in (values, gradients))
    # If an image excites nothing, such as a black one, its zero gradient says nothing about the layer.
    alive = (slopes.flatten(1).abs().amax(1) > 0) | (activations.flatten(1).abs().amax(1) == 0)
    return eigen_cam(activations), grad_cam(activations, slopes), targets, logits.detach(), alive


def eigen_cam(activations: Tensor, *, centered: bool = True) -> Tensor:
    """Projection of the activations on their first principal direction, one map per image.

    With A the P x D matrix of an image's activations and v the first right-singular vector of A: the map is ±A v
    (Muhammad and Yeasin, "Eigen-CAM", IJCNN 2020). If centered, the mean over positions is first subtracted from A, as
    the package grad-cam does. The sign of a singular vector is arbitrary: here the map increases with the mean
    activation over the channels or, if that is the same everywhere (as after a LayerNorm), with their norm. So the map
    does not depend on the order of the channels, on the solver or on the batch.

    Args:
        activations: [B, D, h, w].
        centered: subtract the mean over positions.

    Returns:
        [B, h, w], float32; zeros where the activations are the same at every position (centered) or zero.

    Raises:
        UserError: an activation is not finite.
    """
    flat = activations.detach().flatten(2).double()
    if not torch.isfinite(flat).all():
        raise UserError("Eigen-CAM: the network's values are not finite; did its training diverge?")
    matrix = flat - flat.mean(2, keepdim=True) if centered else flat
    if matrix.shape[2] <= matrix.shape[1]:  # the smaller Gram matrix has the same first singular value
        values, vectors = torch.linalg.eigh(matrix.transpose(1, 2) @ matrix)
        projection = vectors[..., -1] * values[:, -1:].clamp(min=0).sqrt()
    else:
        vectors = torch.linalg.eigh(matrix @ matrix.transpose(1, 2))[1]
        projection = (vectors[:, None, :, -1] @ matrix)[:, 0]
    sign = _agreement(projection, flat.mean(1), flat.norm(dim=1), centered)
    level = flat.abs().amax((1, 2), keepdim=True)[..., 0]
    projection = torch.where(projection.abs().amax(1, keepdim=True) > 1e-6 * level, sign * projection, 0.0)
    return projection.unflatten(1, activations.shape[-2:]).float()


def _agreement(projection: Tensor, mean: Tensor, norm: Tensor, centered: bool) -> Tensor:
    """+1 or -1 for each image, [B, 1]: so that the projection increases with the mean, else with the norm."""
    if centered:
        mean, norm = mean - mean.mean(1, keepdim=True), norm - norm.mean(1, keepdim=True)
    by_mean, by_norm = (torch.cosine_similarity(projection, x, dim=1, eps=1e-30) for x in (mean, norm))
    told = torch.where((by_mean.abs() > 1e-3) & (mean.norm(dim=1) > 1e-6 * norm.norm(dim=1)), by_mean, by_norm)
    return torch.where(told < 0, -1.0, 1.0)[:, None].to(projection)


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """max(0, Σ_d a_d A_d) of A [B, D, h, w], a_d the mean gradient of channel d (Selvaraju et al., ICCV 2017, eq. 1–2).

    Returns:
        [B, h, w], float32.
    """
    weights = gradients.mean((2, 3), keepdim=True)
    return (weights * activations).sum(1).clamp(min=0).float()
