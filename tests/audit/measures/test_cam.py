"""Eigen-CAM and Grad-CAM: against linear algebra, closed forms and the package grad-cam; nothing is left behind."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from unmask.audit.measures.cam import class_maps, eigen_cam, grad_cam
from unmask.audit.measures.cam_layer import Layer, choose_layer, tapped, to_map
from unmask.encoders.patchnet import PatchNet
from unmask.errors import UserError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the oracle's own imports
    from pytorch_grad_cam import EigenCAM, GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

SIZE = (32, 48)


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().eval()


def _cnn(channels: int = 3) -> nn.Module:
    options = {"channels": (8, 8, 12, 12), "stem_width": 4, "stem_type": "deep"}
    return _seeded(lambda: timm.create_model("resnet10t", in_chans=channels, num_classes=5, **options))


def _vit(**options: object) -> nn.Module:
    shape = {"img_size": SIZE, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2, "num_classes": 5}
    return _seeded(lambda: VisionTransformer(**{**shape, **options}))  # type: ignore[arg-type]


def _images(channels: int = 3, count: int = 4, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(1))


def _activations(shape: tuple[int, ...] = (3, 9, 4, 5), seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 9, 4, 5), (3, 40, 4, 5), (2, 7, 1, 6)])
@pytest.mark.parametrize("centered", [True, False])
def test_eigen_cam_is_the_projection_on_the_first_singular_vector(shape: tuple[int, ...], centered: bool) -> None:
    """Also where there are fewer channels than positions; the sign makes it go with the mean activation."""
    activations = _activations(shape)
    found = eigen_cam(activations, centered=centered)
    for values, projection in zip(activations.double().numpy(), found.double().numpy(), strict=True):
        matrix = values.reshape(len(values), -1).T
        mean = matrix.mean(1)
        if centered:
            matrix, mean = matrix - matrix.mean(0), mean - mean.mean()
        expected = matrix @ np.linalg.svd(matrix, full_matrices=False)[2][0]
        expected *= np.sign(expected @ mean)
        np.testing.assert_allclose(projection.ravel(), expected, atol=1e-5)


@pytest.mark.case("the sign of Eigen-CAM was arbitrary")
@pytest.mark.parametrize("seed", range(8))
def test_eigen_cam_does_not_depend_on_the_order_of_channels(seed: int) -> None:
    """A blob in some channels, faint noise in all: the peak is in the blob, every time."""
    generator = torch.Generator().manual_seed(seed)
    activations = 0.1 * torch.rand(1, 16, 7, 9, generator=generator)
    activations[:, ::3, 2:4, 5:8] += 1.0
    order = torch.randperm(16, generator=generator)
    first, second = eigen_cam(activations), eigen_cam(activations[:, order])
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)
    row, column = divmod(int(first.flatten().argmax()), 9)
    assert row in (2, 3)
    assert column in (5, 6, 7)


@pytest.mark.parametrize("seed", range(8))
def test_sign_behind_a_layernorm_goes_with_the_norm(seed: int) -> None:
    """There the mean over channels is zero everywhere, and rounding must not choose the sign."""
    generator = torch.Generator().manual_seed(seed)
    activations = torch.randn(1, 32, 4, 6, generator=generator)
    activations[:, :, 1, 2] *= 5
    activations -= activations.mean(1, keepdim=True)
    first = eigen_cam(activations)
    second = eigen_cam(activations[:, torch.randperm(32, generator=generator)])
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)
    norm = activations.norm(dim=1)
    assert float(((norm - norm.mean()) * first).sum()) > 0


@pytest.mark.case("a constant image gave NaN")
def test_constant_activations_give_zeros() -> None:
    """No NaN, and no direction made of rounding; one flat image does not spoil its neighbors."""
    activations = _activations((2, 6, 3, 3))
    activations[0] = torch.rand(6, generator=torch.Generator().manual_seed(2))[:, None, None]
    found = eigen_cam(activations)
    assert not found[0].any()
    assert found[1].any()
    assert not eigen_cam(torch.zeros(1, 6, 3, 3), centered=False).any()


def test_values_that_are_not_finite_are_an_error() -> None:
    """A diverged network is said to be one."""
    with pytest.raises(UserError, match="not finite"):
        eigen_cam(torch.full((1, 3, 2, 2), torch.nan))


def _oracle(model: nn.Module, layer: nn.Module, images: Tensor, targets: Tensor, lay: object) -> tuple[Tensor, Tensor]:
    """Raw maps of grad-cam 1.5: not scaled, not resized."""
    wanted = [ClassifierOutputTarget(int(t)) for t in targets]
    raw = []
    for kind in (EigenCAM, GradCAM):
        with kind(model, [layer], reshape_transform=lay) as cam:
            cam(images, wanted)
            grads = cam.activations_and_grads.gradients
            values = cam.activations_and_grads.activations[0].detach().numpy()
            slopes = grads[0].numpy() if grads else None
            raw.append(torch.from_numpy(cam.get_cam_image(images, layer, wanted, values, slopes, False)))
    return raw[0], raw[1].clamp(min=0)


@pytest.mark.parametrize("channels", [3, 1])
def test_cnn_agrees_with_the_package_grad_cam(channels: int) -> None:
    """Eigen-CAM up to its sign, Grad-CAM up to rounding; color and gray, not square."""
    model, images = _cnn(channels), _images(channels)
    targets = torch.tensor([0, 3, 1, 4])
    eigen, grad = _oracle(model, model.get_submodule("layer3"), images, targets, None)
    found = class_maps(model, images, targets, layer="layer3")
    assert found.eigen.shape == (4, *eigen.shape[1:])
    torch.testing.assert_close(found.eigen.abs(), eigen.abs(), atol=1e-4 * float(eigen.abs().max()), rtol=1e-3)
    torch.testing.assert_close(found.grad, grad, atol=1e-6 * float(grad.max()), rtol=1e-4)
    assert grad.any()


def test_vit_agrees_with_the_package_grad_cam() -> None:
    """The input of the last block, class token dropped, on a grid of 4 x 6."""
    model, images = _vit(), _images()
    targets = torch.tensor([0, 3, 1, 4])

    def lay(tokens: Tensor) -> Tensor:
        return tokens[:, 1:].reshape(len(tokens), 4, 6, -1).permute(0, 3, 1, 2)

    eigen, grad = _oracle(model, model.get_submodule("blocks.1"), images, targets, lay)
    found = class_maps(model, images, targets)
    assert str(found.layer) == "input of blocks.2"
    torch.testing.assert_close(found.eigen.abs(), eigen.abs(), atol=1e-4 * float(eigen.abs().max()), rtol=1e-3)
    torch.testing.assert_close(found.grad, grad, atol=1e-5 * float(grad.max()), rtol=1e-3)


def test_grad_cam_of_the_papers_encoder_is_its_evidence() -> None:
    """Logit c is Σ_r u_cr Σ_p h_rp + b_c, so the map is max(0, Σ_r u_cr h_rp) at every position."""
    model = _seeded(lambda: PatchNet(in_chans=1, width=6, patch=8, stride=4, power=2, num_classes=3, init_std=0.3))
    images, targets = _images(1, 2), torch.tensor([2, 0])
    found = class_maps(model, images, targets)
    features = model.forward_features(images)  # type: ignore[operator]
    evidence = torch.einsum("br,brhw->bhw", model.head.weight[targets], features).clamp(min=0)  # type: ignore[union-attr,index]
    torch.testing.assert_close(found.grad, evidence.detach())


def test_grad_cam_of_planted_gradients() -> None:
    """One channel with gradient 1, one with -1: what the second answers to is taken away, and nothing is below 0."""
    activations = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])
    gradients = torch.tensor([[[[1.0, 1.0]], [[-1.0, -1.0]]]])
    torch.testing.assert_close(grad_cam(activations, gradients), torch.tensor([[[1.0, 0.0]]]))


class _Fails(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        raise RuntimeError("broken head")


def _hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


@pytest.mark.case("hooks stayed behind after an exception")
def test_nothing_is_left_behind_after_an_exception() -> None:
    """Hooks gone, gradient mode and training mode as before."""
    model = _cnn().train()
    model.fc = _Fails()
    with pytest.raises(RuntimeError, match="broken head"):
        class_maps(model, _images(), layer="layer3")
    assert _hooks(model) == 0
    assert torch.is_grad_enabled()
    assert all(module.training for module in model.modules())
    with torch.no_grad(), pytest.raises(RuntimeError, match="broken head"):
        class_maps(model, _images(), layer="layer3")
    assert torch.is_grad_enabled()


@pytest.mark.case("frozen models had no maps")
@pytest.mark.parametrize("build", [_cnn, _vit])
def test_the_model_is_not_touched_and_its_mode_does_not_matter(build: Callable[[], nn.Module]) -> None:
    """A frozen model in training mode gives the maps of a trainable one in evaluation mode; all its state stays."""
    model, images = build(), _images()
    expected = class_maps(model, images)
    model.train()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    next(model.parameters()).requires_grad_(True).grad = torch.ones_like(next(model.parameters()))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode(False), torch.no_grad():
        found = class_maps(model, images)
        assert not torch.is_grad_enabled()
    torch.testing.assert_close(found.grad, expected.grad)
    torch.testing.assert_close(found.eigen, expected.eigen)
    torch.testing.assert_close(found.logits, expected.logits)
    assert _hooks(model) == 0
    assert all(module.training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()].count(True) == 1
    assert bool((next(model.parameters()).grad == 1).all())
    assert [p.grad for p in model.parameters()][1:] == [None] * (len(list(model.parameters())) - 1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.case("one target was taken for all images")
def test_batches_do_not_matter() -> None:
    """One image at a time gives what all together give; each has the target of its own."""
    model, images = _cnn(), _images()
    together, alone = class_maps(model, images), class_maps(model, images, batch_size=1)
    for first, second in ((together.grad, alone.grad), (together.eigen, alone.eigen)):
        torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-3)
    assert together.targets.tolist() == alone.targets.tolist() == together.logits.argmax(1).tolist()


@pytest.mark.case("a constant image gave NaN")
def test_a_constant_image_has_finite_maps() -> None:
    """Black images: zeros or borders, never NaN."""
    for model in (_cnn(), _vit()):
        found = class_maps(model, torch.zeros(2, 3, *SIZE))
        assert torch.isfinite(found.eigen).all()
        assert torch.isfinite(found.grad).all()


def test_layer_of_a_cnn_is_the_deepest_with_places() -> None:
    """Of 8x12, 4x6, 2x3, 1x2 positions, 4x6 is taken; a large image may use the last."""
    assert str(choose_layer(_cnn(), _images())) == "layer2"
    assert str(choose_layer(_cnn(), _images(size=(128, 128)))) == "layer4"
    assert choose_layer(_cnn(), _images(), "layer1") == Layer("layer1")


def test_channels_last_maps_are_turned() -> None:
    """Swin hands on [B, h, w, D]."""
    shape = {"img_size": 32, "patch_size": 2, "window_size": 4, "embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2)}
    model = _seeded(lambda: timm.models.SwinTransformer(**shape, num_classes=3))  # type: ignore[arg-type]
    images = _images(size=(32, 32))
    found = class_maps(model, images)
    assert found.eigen.shape == (4, 8, 8)
    with tapped(model, found.layer, leaf=False) as taken:
        model(images)
    assert taken[0].shape == (4, 8, 8, 16)
    assert to_map(taken[0], model, found.layer, (32, 32)).shape == (4, 16, 8, 8)


@pytest.mark.case("the last block's tokens of a ViT had no gradient")
def test_a_layer_that_no_class_depends_on_is_an_error() -> None:
    """After a ViT's last block only the class token counts."""
    with pytest.raises(UserError, match=r"layer = blocks\.2 .*no class depends.*earlier"):
        class_maps(_vit(), _images(), layer="blocks.2")


def test_what_does_not_fit_is_said_in_one_line() -> None:
    """Unknown layers, layers without places, targets of another number or class."""
    model, images = _cnn(), _images()
    for layer, message in (("layer9", "is not a module"), ("fc", "without positions"), ("", "is not a module")):
        with pytest.raises(UserError, match=message):
            class_maps(model, images, layer=layer)
    with pytest.raises(UserError, match="one class for each"):
        class_maps(model, images, torch.tensor([1]))
    with pytest.raises(UserError, match="has 5 classes"):
        class_maps(model, images, torch.tensor([0, 1, 2, 5]))
