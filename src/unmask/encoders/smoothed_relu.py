"""The paper's activation, in as few passes over memory as it takes."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary


class _SmoothedReLU(torch.autograd.Function):
    """Keeps only the slope for the backward pass."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, power: int, threshold: float) -> Tensor:
        """σ = s · low / q + (z - ϱ)₊ with low = min(max(z, 0), ϱ) and the slope s = (low / ϱ)^(q-1)."""
        low = z.clamp(0.0, threshold)  # two floats: the ONNX exporter takes no mixture
        ratio = low / threshold
        slope = ratio.clone()
        for _ in range(power - 2):
            slope.mul_(ratio)
        ctx.save_for_backward(slope)
        return torch.mul(slope, low, out=low).div_(power).add_(ratio.copy_(z).sub_(threshold).clamp_min_(0))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """g · s."""
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None


def smoothed_relu(z: Tensor, power: int = 4, threshold: float = 0.5) -> Tensor:
    """0 for z <= 0; z^q / (q ϱ^(q-1)) on [0, ϱ]; z - (1 - 1/q) ϱ above (Pan et al. 2023, section 3.1).

    Elementwise, once continuously differentiable at both joints. q = `power` >= 2 is whole, ϱ = `threshold` > 0.
    """
    if has_torch_function_unary(z):
        return handle_torch_function(smoothed_relu, (z,), z, power, threshold)
    return _SmoothedReLU.apply(z, power, threshold)
