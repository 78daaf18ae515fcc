"""The cost of kernels that hold features of several classes: "semantics are not fused" as a closed form.

Encoders are constructed, not trained: every kernel is a sum of features at a captured strength. If each kernel holds
the features of c classes, and the groups of c are disjoint, all classes of a group give the same responses: **no linear
head can separate them, its error is 1 - 1/c** whatever the number of labels. If the groups overlap and differ,
responses to two classes differ in some kernel, and a linear head can have error 0: what costs is not the number of
features per kernel, but kernels that are fused alike. Fine-tuning moves the kernels and so can undo that.
"""

import torch
from torch import Tensor

from unmask.theory.problem import World
from unmask.theory.setting import Setting


def fused_encoder(w: World, classes_of: Tensor, strength: float = 2.0) -> Tensor:
    """(1, K, d): kernel r holds all views of the classes in row r of classes_of (K, c), at `strength` ϱ each."""
    v = w.v.unflatten(0, (w.setting.data.classes, -1)).sum(1)
    return (strength * w.setting.threshold * v[classes_of].sum(1))[None]


def alike(setting: Setting, together: int) -> Tensor:
    """(K, c): disjoint groups of c classes, each group held by the same kernels."""
    groups = torch.arange(setting.data.classes).view(-1, together)
    return groups[torch.arange(setting.kernels) % len(groups)]


def mixed(setting: Setting, together: int) -> Tensor:
    """(K, c): groups of c that overlap, class i with i + g for g = 1, 2, ... over the kernels."""
    k = setting.data.classes
    first = torch.arange(setting.kernels) % k
    gap = 1 + torch.arange(setting.kernels) // k % (k - 1)
    return torch.stack([(first + i * gap) % k for i in range(together)], 1)
