"""The paper's two-layer convolution as an image encoder (Pan, Zhou & Yan, ICLR 2023, section 3)."""

from typing import Any

import torch
from torch import Tensor, nn

from unmask.encoders.smoothed_relu import smoothed_relu


class SmoothedReLU(nn.Module):
    """0 for z <= 0; z^q / (q rho^(q-1)) on [0, rho]; z - (1 - 1/q) rho above (paper, section 3.1)."""

    def __init__(self, power: int = 4, threshold: float = 0.5) -> None:
        super().__init__()
        self.power, self.threshold = power, threshold

    def forward(self, z: Tensor) -> Tensor:
        """Elementwise; once continuously differentiable at both joints."""
        return smoothed_relu(z, self.power, self.threshold)


class PatchNet(nn.Module):
    """h_r(X) = sum over patches p of sigma(<w_r, x_p>): one wide patch-wise convolution, smoothed ReLU, a sum.

    Overlapping patches (stride < patch) see parts at any place; hidden pixels count as 0, as in the paper. The class
    has timm's interface: forward_features, forward_head, reset_classifier, feature_info.
    """

    def __init__(
        self,
        *,
        in_chans: int = 3,
        width: int = 256,
        patch: int = 8,
        stride: int | None = None,
        power: int = 4,
        threshold: float = 0.5,
        init_std: float | None = None,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        stride = patch if stride is None else stride
        self.num_features = self.head_hidden_size = width
        self.num_classes = num_classes
        self.kernels = nn.Conv2d(in_chans, width, patch, stride, padding=(patch - stride) // 2, bias=False)
        self.activation = SmoothedReLU(power, threshold)
        self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        self.feature_info = [{"num_chs": width, "reduction": stride, "module": "activation"}]
        if init_std is not None:
            nn.init.normal_(self.kernels.weight, std=init_std)

    def forward_features(self, images: Tensor) -> Tensor:
        """Responses sigma(<w_r, x_p>): [B, C, H, W] to [B, width, H/stride, W/stride]."""
        return self.activation(self.kernels(images))

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Sum over positions, then the linear classifier."""
        summed = features.sum((2, 3))
        return summed if pre_logits else self.head(summed)

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] to [B, classes], or to [B, width] without a classifier."""
        return self.forward_head(self.forward_features(images))

    def get_classifier(self) -> nn.Module:
        """The linear head."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the head; 0 classes removes it."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.head.to(self.kernels.weight.device, self.kernels.weight.dtype)

    def no_weight_decay(self) -> set[str]:
        """No parameter is exempt from weight decay."""
        return set()

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Layers for layer-wise rate decay: the kernels are the stem."""
        return {"stem": r"^kernels", "blocks": []}

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """One layer: nothing to recompute."""
