"""Each operation against an independent computation on the visible values alone."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unmask.config import EncoderConfig
from unmask.encoders import laws
from unmask.encoders.build import build_model
from unmask.encoders.convolutional import DenseEncoder
from unmask.encoders.dense.layout import Cells, Layout, UnsupportedError
from unmask.encoders.dense.rules import RULES
from unmask.encoders.dense.tensor import MaskedTensor, masked_images
from unmask.errors import UserError


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def checker(batch: int = 2, height: int = 4, width: int = 6) -> Tensor:
    return torch.rand(batch, height, width, generator=torch.Generator().manual_seed(3)) < 0.5


def masked(values: Tensor, hidden: Tensor) -> MaskedTensor:
    cells = Cells(hidden)
    return masked_images(values, Layout(cells, cells.at(*values.shape[2:]), (0, 2, 3)))


def rows(values: Tensor, hidden: Tensor) -> Tensor:
    """The visible positions of a [B, C, H, W] tensor, [n, C]."""
    return values.permute(0, 2, 3, 1)[~hidden]


def test_batch_norm_equals_plain_batch_norm_of_the_visible_rows_with_gradients_and_statistics() -> None:
    hidden = checker()
    plain, mine = nn.BatchNorm1d(5).double(), nn.BatchNorm2d(5).double()
    for norm in (plain, mine):
        norm.weight.data, norm.bias.data = draw(5, seed=1), draw(5, seed=2)
    one, two = draw(2, 5, 4, 6).requires_grad_(), draw(2, 5, 4, 6).requires_grad_()
    expected = plain(rows(one, hidden))
    found = mine(masked(two, hidden)).plain
    weight = draw(*expected.shape, seed=5)
    (expected * weight).sum().backward()
    (rows(found, hidden) * weight).sum().backward()
    torch.testing.assert_close(rows(found, hidden), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(two.grad, one.grad, rtol=0, atol=1e-12)
    for a, b in zip((*mine.parameters(),), (*plain.parameters(),), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(mine.running_mean, plain.running_mean, rtol=0, atol=1e-14)
    torch.testing.assert_close(mine.running_var, plain.running_var, rtol=0, atol=1e-14)


def test_group_norm_equals_plain_group_norm_of_each_images_visible_positions() -> None:
    values, hidden = draw(2, 6, 4, 6), checker()
    norm = nn.GroupNorm(3, 6).double()
    norm.weight.data, norm.bias.data = draw(6, seed=1), draw(6, seed=2)
    found = norm(masked(values, hidden)).plain
    for image in range(2):
        alone = rows(values[image : image + 1], hidden[image : image + 1]).T[None]  # [1, C, n]
        torch.testing.assert_close(rows(found[image : image + 1], hidden[image : image + 1]).T[None], norm(alone))


def test_max_pool_ignores_hidden_values_even_where_all_visible_ones_are_negative() -> None:
    hidden = torch.zeros(1, 4, 4, dtype=torch.bool)
    hidden[0, 0, 0] = hidden[0, 2:, 2:] = True
    values = -1 - draw(1, 1, 4, 4).abs()
    found = F.max_pool2d(masked(values, hidden), 2)
    assert found.plain[0, 0, 0, 0] == values[0, 0, :2, :2].flatten()[1:].max()
    assert found.plain[0, 0, 1, 1] == 0
    assert found.layout_.hidden[0].tolist() == [[False, False], [False, True]]


def test_average_pool_divides_by_the_visible_count_and_keeps_the_plain_rule_for_padding() -> None:
    hidden = torch.zeros(1, 4, 4, dtype=torch.bool)
    hidden[0, 0, :2] = True
    values = draw(1, 1, 4, 4)
    assert F.avg_pool2d(masked(values, hidden), 2).plain[0, 0, 0, 0] == pytest.approx(values[0, 0, 1, :2].mean().item())
    nothing = torch.zeros_like(hidden)
    for include in (True, False):
        found = F.avg_pool2d(masked(values, nothing), 3, 2, 1, count_include_pad=include).plain
        assert torch.equal(found, F.avg_pool2d(values, 3, 2, 1, count_include_pad=include))


@pytest.mark.parametrize("keepdim", [True, False])
def test_global_statistics_are_those_of_the_visible_positions(keepdim: bool) -> None:
    values, hidden = draw(2, 5, 4, 6), checker()
    x = masked(values, hidden)
    shape = (5, 1, 1) if keepdim else (5,)
    for image in range(2):
        alone = rows(values[image : image + 1], hidden[image : image + 1])
        for found, expected in (
            (x.mean((2, 3), keepdim=keepdim), alone.mean(0)),
            (x.amax((2, 3), keepdim=keepdim), alone.amax(0)),
            (x.sum((2, 3), keepdim=keepdim), alone.sum(0)),
            (x.var((2, 3), keepdim=keepdim), alone.var(0)),
            (x.var((2, 3), unbiased=False, keepdim=keepdim), alone.var(0, unbiased=False)),
            (x.norm(p=2, dim=(2, 3), keepdim=keepdim), alone.norm(dim=0)),
        ):
            assert type(found) is Tensor
            torch.testing.assert_close(found[image], expected.reshape(shape))


def test_channels_stay_channels_through_shuffles_and_layouts() -> None:
    values, hidden = draw(2, 6, 4, 6), checker()
    x = masked(values, hidden)
    zero = values.masked_fill(hidden[:, None], 0)
    shuffled = x.view(2, 3, 2, 4, 6).transpose(1, 2).reshape(2, 6, 4, 6)
    assert torch.equal(shuffled.plain, zero.view(2, 3, 2, 4, 6).transpose(1, 2).reshape(2, 6, 4, 6))
    tokens = x.flatten(2).transpose(1, 2)
    assert torch.equal((tokens + 1).plain, (zero.flatten(2).transpose(1, 2) + 1) * ~hidden.flatten(1)[..., None])
    back = tokens.transpose(1, 2).reshape(2, 6, 4, 6)
    assert torch.equal((back + 1).plain, (zero + 1) * ~hidden[:, None])
    with pytest.raises(UnsupportedError, match="mixes positions"):
        x.reshape(2, 6, 2, 2, 6)


def test_attention_gives_hidden_tokens_no_weight() -> None:
    values, hidden = draw(1, 8, 4, 6), checker(batch=1)
    tokens = masked(values, hidden).flatten(2).transpose(1, 2).reshape(1, 24, 2, 4).transpose(1, 2)
    found = F.scaled_dot_product_attention(tokens, tokens, tokens).plain
    alone = rows(values, hidden).reshape(1, -1, 2, 4).transpose(1, 2)
    expected = F.scaled_dot_product_attention(alone, alone, alone)
    torch.testing.assert_close(found[:, :, ~hidden.flatten()], expected)
    assert not found[:, :, hidden.flatten()].any()


def test_a_visible_activation_of_zero_counts() -> None:
    hidden = torch.tensor([[[False, False], [True, True]]])
    values = torch.tensor([[[[0.0, 4.0], [9.0, 9.0]]]])
    assert masked(values, hidden).mean((2, 3)).item() == 2.0


def test_hidden_positions_of_singular_operations_have_no_gradient() -> None:
    values = draw(1, 1, 2, 2).abs().requires_grad_()
    hidden = torch.tensor([[[True, False], [False, False]]])
    gate = torch.ones(1, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    (masked(values, hidden) * gate).sqrt().plain.sum().backward()
    assert torch.isfinite(gate.grad).all()
    assert values.grad[0, 0, 0, 0] == 0


def test_padding_is_not_hidden_and_reflections_of_hidden_positions_are() -> None:
    hidden = torch.zeros(1, 3, 3, dtype=torch.bool)
    hidden[0, 1, 1] = True
    ones = torch.ones(1, 1, 3, 3)
    padded = F.pad(masked(ones, hidden), (1, 1, 1, 1), value=7.0)
    assert padded.plain[0, 0, 0].tolist() == [7.0] * 5
    assert padded.plain[0, 0, 2, 2] == 0
    reflected = F.pad(masked(ones, hidden), (1, 1, 1, 1), mode="reflect")
    assert reflected.layout_.hidden[0, 0, 2] == (hidden[0, 1, 1]).item()
    assert torch.equal(reflected.plain[0, 0] == 0, reflected.layout_.hidden[0])


class Unknown(nn.Module):
    """A network with an operation that nobody can mask."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, 4)
        self.odd = nn.Sequential(nn.Identity(), Sorter())
        self.feature_info = [{"num_chs": 4, "reduction": 4, "module": "odd"}]

    def forward_features(self, x: Tensor) -> Tensor:
        return self.odd(self.stem(x))


class Sorter(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sort(dim=-1)[0]


def test_an_unknown_operation_names_model_module_and_operation() -> None:
    with pytest.raises(UserError, match=r"encoder = Unknown: module odd\.1 \(Sorter\) .* Tensor\.sort"):
        DenseEncoder(Unknown(), image_size=(16, 16))


def test_the_laws_notice_statistics_over_hidden_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(EncoderConfig(encoder="test_resnet"), in_chans=3, image_size=(64, 64)).double()
    assert laws.isolation(model, draw(2, 3, 64, 64), cell=32, execution="dense") < 1e-9

    def careless(func, x, *args, **kwargs):  # type: ignore[no-untyped-def]
        from unmask.encoders.dense.layout import zeroed

        return zeroed(func(x.values, *args, **kwargs), x.layout)

    monkeypatch.setitem(RULES, F.batch_norm, careless)
    assert laws.isolation(model, draw(2, 3, 64, 64), cell=32, execution="dense") > 1e-3


def test_the_laws_notice_a_network_that_sees_everything() -> None:
    class Blind(DenseEncoder):
        def forward(self, images: Tensor, hidden: Tensor):  # type: ignore[no-untyped-def]
            seen = super().forward(images, torch.zeros_like(hidden))
            return type(seen)(seen.maps, super().forward(images, hidden).hidden)

    model = build_model(EncoderConfig(encoder="test_resnet"), in_chans=3, image_size=(64, 64))
    hidden = torch.tensor([[[True, False], [False, False]]]).repeat(2, 1, 1)
    images = draw(2, 3, 64, 64).float()
    assert laws.leak(Blind(model, image_size=(64, 64)), images, hidden) > 0
    assert laws.leak(DenseEncoder(model, image_size=(64, 64)), images, hidden) == 0
