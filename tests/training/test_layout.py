"""The order of kernels and images in memory: fast where it can be, and safe where the library is not."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from unmask.training.engine import fast_layout


def _grad(network: nn.Module, images: Tensor) -> Tensor:
    network.zero_grad()
    network(images).square().sum().backward()
    grads = [parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None]
    return torch.cat(grads)


def test_a_strided_point_convolution_of_few_channels_reads_images_in_the_usual_order() -> None:
    """oneDNN's weight gradient of the other order writes past its memory (RepVGG, MobileOne, FastViT at 128 px)."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 8, 1, stride=2, bias=False), nn.Conv2d(8, 8, 3, padding=1))
    network = fast_layout(fast_layout(deepcopy(plain)))
    seen: list[tuple[int, ...]] = []
    network[0].register_forward_hook(lambda _, images, __: seen.append(images[0].stride()))
    images = torch.randn(4, 3, 32, 32).to(memory_format=torch.channels_last)
    torch.testing.assert_close(_grad(network, images), _grad(plain, images.contiguous()))
    assert seen == [(3 * 32 * 32, 32 * 32, 32, 1)]
    assert network[0].weight.stride() == (3, 1, 1, 1)
    assert network[1].weight.is_contiguous(memory_format=torch.channels_last)
    assert len(network[0]._forward_pre_hooks) == 1


def test_other_convolutions_have_the_fast_order() -> None:
    network = fast_layout(nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(16, 8, 1, stride=2)))
    assert not any(layer._forward_pre_hooks for layer in network)
    assert network[0].weight.stride() == (27, 1, 9, 3)
