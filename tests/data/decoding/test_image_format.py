"""The common form: sizes, channels and number types."""

import numpy as np
import pytest
import torch
from PIL import Image

from unmask.data.decoding.image_format import TOP, ImageFormat, Kind, kind_of, to_format, widest
from unmask.errors import UserError

RNG = np.random.default_rng(0)


def test_the_own_form_changes_nothing() -> None:
    for kind, values in (
        ("uint8", RNG.integers(0, 256, (5, 7, 9), dtype=np.uint8)),
        ("uint16", RNG.integers(0, 65536, (5, 7, 9), dtype=np.uint16)),
        ("float32", RNG.normal(size=(5, 7, 9)).astype(np.float32)),
    ):
        assert np.array_equal(to_format(values, ImageFormat.plain((7, 9), 5, kind)).numpy(), values)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(16, 24), (50, 30), (40, 64)])
def test_resizing_agrees_with_pil(size: tuple[int, int]) -> None:
    """An independent implementation of antialiased bilinear resizing, in fixed point: at most one gray level apart."""
    values = RNG.integers(0, 256, (3, 40, 64), dtype=np.uint8)
    ours = to_format(values, ImageFormat.plain(size, 3, "uint8")).numpy().astype(int)
    pil = Image.fromarray(values.transpose(1, 2, 0)).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    assert np.abs(ours - np.asarray(pil).transpose(2, 0, 1)).max() <= 1


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_an_image_alone_and_in_a_batch_and_in_any_memory_order_has_the_same_bits(kind: Kind) -> None:
    values = (RNG.random((6, 3, 40, 64)) * TOP[kind]).astype(kind)
    form = ImageFormat.plain((17, 23), 3, kind)
    together = to_format(values, form)
    assert torch.equal(together, torch.stack([to_format(image, form) for image in values]))
    channels_last = np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert torch.equal(together, torch.stack([to_format(image, form) for image in channels_last]))


def test_gray_is_repeated_and_color_becomes_luma() -> None:
    gray = RNG.integers(0, 256, (1, 8, 8), dtype=np.uint8)
    assert np.array_equal(to_format(gray, ImageFormat.plain((8, 8), 3, "uint8")).numpy(), np.repeat(gray, 3, 0))
    rgb = RNG.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    luma = np.asarray(Image.fromarray(rgb.transpose(1, 2, 0)).convert("L")).astype(int)
    assert np.abs(to_format(rgb, ImageFormat.plain((8, 8), 1, "uint8"))[0].numpy() - luma).max() <= 1


def test_white_stays_white_in_wider_types() -> None:
    values = np.array([[[0, 128, 255]]], dtype=np.uint8)
    assert to_format(values, ImageFormat.plain((1, 3), 1, "uint16")).tolist() == [[[0, 128 * 257, 65535]]]
    assert to_format(values, ImageFormat.plain((1, 3), 1, "float32")).tolist() == [
        [[0.0, pytest.approx(128 / 255), 1.0]]
    ]
    assert widest({"uint8"}) == "uint8"
    assert widest({"uint8", "uint16"}) == "uint16"
    assert widest({"uint8", "float32", "uint16"}) == "float32"


def test_channels_that_have_no_common_form_are_refused() -> None:
    with pytest.raises(UserError, match="4 channels cannot become one with 3"):
        to_format(np.zeros((4, 8, 8), np.uint8), ImageFormat.plain((8, 8), 3, "uint8"))
    with pytest.raises(UserError, match="int32"):
        kind_of(np.dtype(np.int32))


def test_a_format_that_holds_a_wider_type_gives_the_same_input() -> None:
    """8-bit values read as 16 bits or as floats: the range is 257 times wider, or 255 times narrower."""
    narrow = ImageFormat((2, 2), 1, "uint8", (50.0, 180.0), True, (0.4,), (0.2,))
    values = np.array([[[0, 60], [170, 255]]], np.uint8)
    expected = narrow.prepare(to_format(values, narrow))
    for kind in ("uint8", "uint16", "float32"):
        wide = narrow.holding(kind)  # type: ignore[arg-type]
        assert wide.kind == kind
        torch.testing.assert_close(wide.prepare(to_format(values, wide)), expected)
    assert wide.holding("uint8") == wide


def test_a_plain_format_only_counts_from_0_to_1() -> None:
    for kind, top in TOP.items():
        plain = ImageFormat.plain((1, 2), 1, kind)
        assert plain.prepare(torch.tensor([[[0.0, top]]])).tolist() == [[[0.0, 1.0]]]
