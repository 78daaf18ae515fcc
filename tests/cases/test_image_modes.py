"""Orientation, colors, transparency and shapes: an image has the pixels that people see, or is refused by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tiny import draw, image_names, load, numbered, picture
from unmask.config import AugmentConfig
from unmask.data.decoding.decode import decode
from unmask.errors import UserError


@pytest.mark.case("EXIF orientation was ignored")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    """All eight orientations, in every format that can carry one."""
    upright = np.zeros((16, 32), np.uint8)
    upright[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = {1: 0, 6: 3, 3: 2, 8: 1, 2: 0, 5: 1, 4: 0, 7: 3}[orientation]
    expected = np.rot90(upright, turn)
    if orientation in (2, 5, 7):
        expected = expected[:, ::-1] if orientation == 2 else expected[::-1]
    if orientation == 4:
        expected = expected[::-1]
    for suffix in ("jpg", "png", "webp", "tif"):
        Image.fromarray(upright).convert("RGB").save(tmp_path / f"x.{suffix}", exif=exif)
        found = decode(tmp_path / f"x.{suffix}")[0]
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).max() <= 3


@pytest.mark.case("EXIF orientation was ignored")
def test_a_turned_photograph_has_the_size_that_people_see(tmp_path: Path) -> None:
    """A 32x16 JPEG, left half white, orientation 6: 16x32, white on top; the default size follows."""
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(4):
        Image.fromarray(image).save(tmp_path / f"{i}.jpg", exif=exif)
    data = load(tmp_path, labels=False)
    assert data.format.size == (32, 16)
    raw = data.pretrain.raw([0])[0]
    assert raw[:, :15].min() > 0.97
    assert raw[:, 17:].max() < 0.03


@pytest.mark.case("CMYK JPEG failed, or its colors were inverted")
@pytest.mark.parametrize("suffix", ["jpg", "tif"])
@pytest.mark.parametrize(
    ("inks", "color"),
    [((0, 0, 0, 0), (255, 255, 255)), ((0, 0, 0, 255), (0, 0, 0)), ((0, 255, 255, 0), (255, 0, 0))],
)
def test_cmyk_has_its_colors(tmp_path: Path, suffix: str, inks: tuple[int, ...], color: tuple[int, int, int]) -> None:
    """No ink is white, black ink black, yellow and magenta red."""
    Image.new("CMYK", (16, 16), inks).save(tmp_path / f"x.{suffix}")
    found = decode(tmp_path / f"x.{suffix}").astype(int)
    assert np.abs(found - np.asarray(color)[:, None, None]).max() <= 3


@pytest.mark.case("color hidden under alpha 0 leaked in")
def test_transparent_pixels_are_white_in_training_and_evaluation(tmp_path: Path) -> None:
    """Also where every split is decoded by itself."""
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:] = (10, 200, 30, 0)
    pixels[:4] = (200, 100, 0, 255)
    for i in range(8):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        pixels[0, 0, 0] = i
        Image.fromarray(pixels).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    data = load(tmp_path)
    for images in (data.pretrain, data.val, data.tests["test"]):
        assert images is not None
        raw = images.raw(range(len(images)))
        assert (raw[:, :, 4:] == 1).all()
        assert torch.allclose(raw[:, :, 3, 3], torch.tensor([200, 100, 0]) / 255)


@pytest.mark.case("color hidden under alpha 0 leaked in")
@pytest.mark.parametrize("mode", ["LA", "P", "PA", "RGB", "L"])
def test_every_kind_of_transparency_becomes_white(tmp_path: Path, mode: str) -> None:
    """An alpha channel, a transparent palette entry, a transparent color."""
    base = Image.new("RGBA", (8, 8), (10, 200, 30, 0))
    if mode in ("LA", "PA"):
        base.convert(mode).save(tmp_path / "x.tif" if mode == "PA" else tmp_path / "x.png")
    elif mode == "P":
        image = Image.new("P", (8, 8), 3)
        image.putpalette([0] * 9 + [10, 200, 30])
        image.save(tmp_path / "x.png", transparency=3)
    else:
        Image.new(mode, (8, 8), (10, 200, 30) if mode == "RGB" else 77).save(
            tmp_path / "x.png", transparency=(10, 200, 30) if mode == "RGB" else 77
        )
    assert (decode(next(tmp_path.iterdir())) == 255).all()


@pytest.mark.case("gray and rare modes broke augmentation")
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_gives_one_format(tmp_path: Path, channels: int) -> None:
    """Eight modes in one class: one number of channels, values in [0, 1], augmentation stays finite."""
    (tmp_path / "a").mkdir()
    draw(tmp_path, *numbered("b"))
    rng = np.random.default_rng(0)
    for seed, mode in enumerate(("1", "L", "LA", "P", "RGBA")):
        picture(mode=mode, seed=seed).save(tmp_path / "a" / f"{mode}.png")
    Image.fromarray(rng.integers(0, 65536, (24, 24), dtype=np.uint16)).save(tmp_path / "a" / "I16.png")
    Image.fromarray(rng.integers(0, 65536, (24, 24)).astype(np.int32)).save(tmp_path / "a" / "I.tif")
    Image.fromarray(rng.random((24, 24)).astype(np.float32)).save(tmp_path / "a" / "F.tif")
    data = load(tmp_path, channels=channels)
    assert len(image_names(data)) == 14
    raw = data.pretrain.raw(range(len(data.pretrain)))
    assert raw.shape[1:] == (channels, 24, 24)
    assert raw.min() >= 0
    assert raw.max() <= 1
    config = AugmentConfig(brightness=0.2, contrast=0.2, saturation=0.2)
    order = torch.arange(len(data.pretrain))
    for batch in data.pretrain.batches(order, 4, augment=config):
        assert batch.images.shape[1:] == (channels, 24, 24)
        assert batch.images.isfinite().all()


@pytest.mark.case("gray and rare modes broke augmentation")
@pytest.mark.parametrize(("mode", "why"), [("LAB", "mode LAB"), ("I", "32-bit integers outside")])
def test_a_mode_that_cannot_be_converted_is_named(tmp_path: Path, mode: str, why: str) -> None:
    """The line has the file and the mode."""
    draw(tmp_path, *numbered("a", "b"))
    if mode == "LAB":
        Image.new("LAB", (24, 24), (100, 0, 0)).save(tmp_path / "a" / "odd.tif")
    else:
        Image.fromarray(np.full((24, 24), 70000, np.int32)).save(tmp_path / "a" / "odd.tif")
    with pytest.raises(UserError, match=rf"a/odd\.tif: .*{why}"):
        load(tmp_path)


@pytest.mark.case("images of one pixel by thousands failed, or took gigabytes")
@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (204, 1)])
def test_thin_images_get_the_right_size(tmp_path: Path, size: tuple[int, int]) -> None:
    """Their color stays, too."""
    draw(tmp_path, "a.png")
    Image.new("RGB", size, (7, 8, 9)).save(tmp_path / "thin.png")
    data = load(tmp_path, labels=False, image_size=(16, 24))
    raw = data.pretrain.raw([1])
    assert raw.shape == (1, 3, 16, 24)
    assert torch.allclose(raw[0].flatten(1).mean(1) * 255, torch.tensor([7.0, 8.0, 9.0]), atol=1e-3)
