"""Random crop, flips, shift and color of a whole batch at once, each sample by its own key.

Letters: B images, C channels, H x W pixels.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from unmask.config.data import AugmentConfig
from unmask.data.decoding.image_format import LUMA
from unmask.randomness import uniform
from unmask.wording import plural


def augment_images(images: Tensor, ids: Tensor, config: AugmentConfig, *, seed: int, epoch: int) -> Tensor:
    """Augmented images.

    Args:
        images: float32 (B, C, H, W) in 0..1.
        ids: sample ids, int64 (B,).
        epoch: each epoch has its own variation.

    Returns:
        A new tensor. Image i depends only on images[i], ids[i], seed and epoch, bit for bit.
    """
    keys = (seed, epoch, ids.numpy())
    out = geometry(images, config, *keys) if moves(config) else images
    return color(out, config, *keys) if config.brightness or config.contrast or config.saturation else out


def moved(valid: Tensor, ids: Tensor, config: AugmentConfig, *, seed: int, epoch: int) -> Tensor:
    """Which values (B, C, H, W) are there after `augment_images`: those made only of values that were there."""
    return geometry(valid.float(), config, seed, epoch, ids.numpy()) > 0.999 if moves(config) else valid


def saturation_note(config: AugmentConfig, channels: int) -> list[str]:
    """Return a note if images have no color whose saturation could vary."""
    if config.saturation == 0 or channels == 3:
        return []
    return [f"saturation = {config.saturation:g} has no effect: images have {plural(channels, 'channel')}, not three"]


def move_masks(masks: Tensor, ids: Tensor, config: AugmentConfig, *, seed: int, epoch: int) -> Tensor:
    """Crop, flip and shift masks exactly as `augment_images` does with their images, by the nearest pixel:
    integers (B, H, W), at most 2^24."""
    if not moves(config):
        return masks
    grid = sampling_grid((masks.shape[1], masks.shape[2]), config, seed, epoch, ids.numpy())
    planes = masks.unsqueeze(1).float()
    out = grid_sample(planes, grid, mode="nearest", padding_mode="border", align_corners=False)
    return out.squeeze(1).to(masks.dtype)


def moves(config: AugmentConfig) -> bool:
    """Whether any geometric change is switched on."""
    return config.crop_scale != (1.0, 1.0) or bool(config.flip_horizontal or config.flip_vertical or config.shift)


def crop_boxes(config: AugmentConfig, seed: int, epoch: int, ids: np.ndarray) -> np.ndarray:
    """Boxes of the random resized crop as shares of the image: float64 (B, 4) of top, left, height, width.

    Area uniform in crop_scale, aspect log-uniform in crop_ratio, place uniform; a side longer than the image is cut.
    """
    u = uniform(seed, "crop", epoch, ids, 4)
    low, high = config.crop_scale
    area = low + (high - low) * u[:, 0]
    log_low, log_high = np.log(config.crop_ratio)
    aspect = np.exp(log_low + (log_high - log_low) * u[:, 1]) if low < 1 else np.ones_like(area)
    height = np.minimum(np.sqrt(area / aspect), 1.0)
    width = np.minimum(np.sqrt(area * aspect), 1.0)
    return np.stack([u[:, 2] * (1 - height), u[:, 3] * (1 - width), height, width], 1)


def geometry(images: Tensor, config: AugmentConfig, seed: int, epoch: int, ids: np.ndarray) -> Tensor:
    """Crop, flips and shift as one bilinear sampling with repeated edges.

    Crops only enlarge, so bilinear sampling needs no antialiasing; flips and shifts (by whole pixels) are exact.
    """
    grid = sampling_grid((images.shape[2], images.shape[3]), config, seed, epoch, ids)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def sampling_grid(size: tuple[int, int], config: AugmentConfig, seed: int, epoch: int, ids: np.ndarray) -> Tensor:
    """Where the pixels of images of `size`, and of masks laid over them, are read: (B, H, W, 2) of x and y."""
    boxes = crop_boxes(config, seed, epoch, ids)
    u = uniform(seed, "flip and shift", epoch, ids, 4)
    height, width = size
    y = axis_grid(height, boxes[:, 0], boxes[:, 2], u[:, 0] < config.flip_vertical, config.shift * (2 * u[:, 2] - 1))
    x = axis_grid(width, boxes[:, 1], boxes[:, 3], u[:, 1] < config.flip_horizontal, config.shift * (2 * u[:, 3] - 1))
    grid = torch.empty(len(ids), height, width, 2)
    grid[..., 0] = x[:, None, :]
    grid[..., 1] = y[:, :, None]
    return grid


def axis_grid(size: int, start: np.ndarray, length: np.ndarray, flip: np.ndarray, shift: np.ndarray) -> Tensor:
    """Where the `size` output pixels of one axis are read, in grid_sample's units (-1..1 are the outer edges).

    Args:
        size: pixels of the axis.
        start: first edge of the crop as a share of the axis, (B,).
        length: length of the crop as a share of the axis, (B,).
        flip: read backwards, (B,).
        shift: translation as a share of the axis, rounded to whole pixels, (B,).

    Returns:
        float32 (B, size).
    """
    centers = (np.arange(size) + 0.5)[None, :] - np.round(shift * size)[:, None]
    centers = np.where(flip[:, None], size - centers, centers) / size
    return torch.from_numpy((2 * (start[:, None] + length[:, None] * centers) - 1).astype(np.float32))


def color(images: Tensor, config: AugmentConfig, seed: int, epoch: int, ids: np.ndarray) -> Tensor:
    """Brightness, contrast about the image's own mean, and saturation about its gray, then clipped to 0..1."""
    u = torch.from_numpy((2 * uniform(seed, "colour", epoch, ids, 3) - 1).astype(np.float32))[:, :, None, None, None]
    out = images
    if config.brightness:
        out = out * (1 + config.brightness * u[:, 0])
    if config.contrast:
        mean = sample_means(out)
        out = mean + (out - mean) * (1 + config.contrast * u[:, 1])
    if config.saturation and images.shape[1] == 3:
        gray = sum(weight * out[:, i : i + 1] for i, weight in enumerate(LUMA))
        out = gray + (out - gray) * (1 + config.saturation * u[:, 2])
    return out.clamp(0, 1)


def sample_means(images: Tensor) -> Tensor:
    """Mean of every image, (B, 1, 1, 1). By NumPy, whose order of summation does not depend on the batch."""
    means = images.contiguous().numpy().reshape(len(images), -1).mean(1, dtype=np.float64)
    return torch.from_numpy(means.astype(np.float32))[:, None, None, None]
