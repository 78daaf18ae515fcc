"""CASES 1 to 17: what went wrong elsewhere when images were read."""

import os
import shutil
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unmask.config import AugmentConfig, DataConfig
from unmask.data.check import check_data
from unmask.data.decode import decode
from unmask.data.folder import list_images
from unmask.data.imageset import batches
from unmask.data.load import Dataset, load_data
from unmask.data.manifest import read_manifest
from unmask.errors import UserError

RNG = np.random.default_rng(0)


def picture(height: int = 24, width: int = 24) -> Image.Image:
    """A smooth colour picture that no other equals."""
    rough = RNG.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)


def draw(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture().save(root / name)
    return root


def load(root: Path, *, labels: bool = True, **config: object) -> Dataset:
    return load_data(DataConfig(data=str(root), **config), labels=labels, progress=False)  # type: ignore[arg-type]


def all_names(data: Dataset) -> list[str]:
    sets = [data.pretrain, data.val, data.tests.get("test")]
    return sorted(name for images in sets if images is not None for name in images.names)


def classes_of(*names: str, count: int = 6) -> list[str]:
    return [f"{name}/{i}.png" for name in names for i in range(count)]


# 1. One truncated file killed a run hours in, its path not named.
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "gif", "npy"])
def test_01_a_truncated_file_is_named_or_skipped_never_half_decoded(tmp_path: Path, suffix: str, share: float) -> None:
    draw(tmp_path, *classes_of("a", "b"))
    path = tmp_path / "a" / f"cut.{suffix}"
    if suffix == "npy":
        np.save(path, np.asarray(picture()))
    else:
        picture().save(path)
    whole = path.read_bytes()
    assert decode(path).shape == (3, 24, 24)
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=rf"a/cut\.{suffix}: "):
        load(tmp_path)
    data = load(tmp_path, on_bad_file="skip")
    assert len(data.bad_files) == 1
    assert f"a/cut.{suffix}" in data.bad_files[0]
    assert len(all_names(data)) == 12


def test_01_a_jpeg_without_its_last_bytes_but_with_all_its_pixels_is_not_half_grey(tmp_path: Path) -> None:
    """Whatever is cut from the end: either the same pixels or an error."""
    path = tmp_path / "x.jpg"
    picture().save(path, quality=50)
    whole, pixels = path.read_bytes(), decode(path)
    refused = 0
    for cut in range(1, 60):
        path.write_bytes(whole[:-cut])
        try:
            assert np.array_equal(decode(path), pixels)
        except UserError:
            refused += 1
    assert refused > 50


# 2. Skipping by recursion looped or overran.
def test_02_a_folder_of_bad_files_only_is_an_error_under_either_policy(tmp_path: Path) -> None:
    for name in classes_of("a", "b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    for policy in ("error", "skip"):
        with pytest.raises(UserError, match=r"no readable image: .*0\.png.* \(12 of 12 files are unreadable\)"):
            load(tmp_path, on_bad_file=policy)


def test_02_with_the_last_file_bad_every_good_one_is_there_once(tmp_path: Path) -> None:
    draw(tmp_path, *classes_of("a", "b"))
    (tmp_path / "b" / "5.png").write_bytes(b"")
    data = load(tmp_path, on_bad_file="skip")
    assert all_names(data) == sorted(set(classes_of("a", "b")) - {"b/5.png"})


# 3. EXIF orientation ignored.
@pytest.mark.parametrize("orientation", range(1, 9))
def test_03_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
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


def test_03_the_case_as_reported(tmp_path: Path) -> None:
    """A 32x16 JPEG, left half white, orientation 6: 16x32, white on top; the default size follows."""
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(4):
        Image.fromarray(image).save(tmp_path / f"{i}.jpg", exif=exif)
    data = load(tmp_path, labels=False)
    assert data.image_size == (32, 16)
    raw = data.pretrain.raw([0])[0]
    assert raw[:, :15].min() > 0.97
    assert raw[:, 17:].max() < 0.03


# 4. CMYK JPEG failed or inverted.
@pytest.mark.parametrize("suffix", ["jpg", "tif"])
@pytest.mark.parametrize(
    ("inks", "colour"),
    [((0, 0, 0, 0), (255, 255, 255)), ((0, 0, 0, 255), (0, 0, 0)), ((0, 255, 255, 0), (255, 0, 0))],
)
def test_04_cmyk_has_its_colours(
    tmp_path: Path, suffix: str, inks: tuple[int, ...], colour: tuple[int, int, int]
) -> None:
    Image.new("CMYK", (16, 16), inks).save(tmp_path / f"x.{suffix}")
    found = decode(tmp_path / f"x.{suffix}").astype(int)
    assert np.abs(found - np.asarray(colour)[:, None, None]).max() <= 3


# 5. Colour hidden under alpha 0 leaked in.
def test_05_transparent_pixels_are_white_in_training_and_evaluation(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("mode", ["LA", "P", "PA", "RGB", "L"])
def test_05_every_kind_of_transparency_becomes_white(tmp_path: Path, mode: str) -> None:
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


# 6. Grey and odd modes broke augmentation.
@pytest.mark.parametrize("channels", [1, 3])
def test_06_odd_modes_give_one_form_or_are_named(tmp_path: Path, channels: int) -> None:
    (tmp_path / "a").mkdir()
    draw(tmp_path, *classes_of("b"))
    for mode in ("1", "L", "LA", "P", "RGBA"):
        picture().convert(mode).save(tmp_path / "a" / f"{mode}.png")
    Image.fromarray(RNG.integers(0, 65536, (24, 24), dtype=np.uint16)).save(tmp_path / "a" / "I16.png")
    Image.fromarray(RNG.integers(0, 65536, (24, 24)).astype(np.int32)).save(tmp_path / "a" / "I.tif")
    Image.fromarray(RNG.random((24, 24)).astype(np.float32)).save(tmp_path / "a" / "F.tif")
    data = load(tmp_path, channels=channels)
    assert len(all_names(data)) == 14
    raw = data.pretrain.raw(range(len(data.pretrain)))
    assert raw.shape[1:] == (channels, 24, 24)
    assert raw.min() >= 0
    assert raw.max() <= 1
    config = AugmentConfig(brightness=0.2, contrast=0.2, saturation=0.2)
    order = torch.arange(len(data.pretrain))
    for batch in batches(data.pretrain, order, 4, mean=data.mean, std=data.std, augment=config):
        assert batch.images.shape[1:] == (channels, 24, 24)
        assert batch.images.isfinite().all()


@pytest.mark.parametrize(("mode", "why"), [("LAB", "mode LAB"), ("I", "32-bit integers outside")])
def test_06_a_mode_without_a_form_is_named(tmp_path: Path, mode: str, why: str) -> None:
    draw(tmp_path, *classes_of("a", "b"))
    if mode == "LAB":
        Image.new("LAB", (24, 24), (100, 0, 0)).save(tmp_path / "a" / "odd.tif")
    else:
        Image.fromarray(np.full((24, 24), 70000, np.int32)).save(tmp_path / "a" / "odd.tif")
    with pytest.raises(UserError, match=rf"a/odd\.tif: .*{why}"):
        load(tmp_path)


# 7. .DS_Store and the like read as images or classes.
def test_07_junk_is_neither_an_image_nor_a_class(tmp_path: Path) -> None:
    draw(tmp_path, *classes_of("a", "b"), ".ipynb_checkpoints/x.png", "__MACOSX/a/0.png", "a/.ipynb_checkpoints/0.png")
    for junk in (".DS_Store", "a/._0.png", "a/Thumbs.db", "b/desktop.ini", "a/.DS_Store"):
        (tmp_path / junk).write_bytes(b"junk")
    data = load(tmp_path)
    assert data.classes == ("a", "b")
    assert len(all_names(data)) == 12
    assert data.notes == ()


# 8. An empty class folder errored or shifted labels.
def test_08_an_empty_class_folder_shifts_nothing_and_is_said(tmp_path: Path) -> None:
    draw(tmp_path, *classes_of("train/a", "train/b", "train/c", "val/a", "val/c"))
    (tmp_path / "val" / "b").mkdir()
    data = load(tmp_path)
    assert data.classes == ("a", "b", "c")
    assert data.val is not None
    assert [int(label) for label in data.val.labels] == [0] * 6 + [2] * 6
    assert any("val/b is empty" in note for note in data.notes)


def test_08_a_class_empty_everywhere_is_left_out_and_said(tmp_path: Path) -> None:
    draw(tmp_path, *classes_of("a", "c"))
    (tmp_path / "b").mkdir()
    data = load(tmp_path)
    assert data.classes == ("a", "c")
    assert any("class folder b is empty" in note for note in data.notes)


# 9. Class order differed between tools.
def test_09_classes_are_in_natural_order(tmp_path: Path) -> None:
    data = load(draw(tmp_path, *classes_of("10", "2", "1")))
    assert data.classes == ("1", "2", "10")
    assert data.train is not None
    for name, label in zip(data.train.names, data.train.labels.tolist(), strict=True):
        assert name.startswith(data.classes[label] + "/")


# 10. Upper-case suffixes skipped, then counted twice.
def test_10_suffixes_in_any_case_count_once(tmp_path: Path) -> None:
    draw(tmp_path, "a.jpg", "b.JPG", "c.Jpeg", "d.PNG")
    assert load(tmp_path, labels=False).pretrain.names == ("a.jpg", "b.JPG", "c.Jpeg", "d.PNG")


# 11. Non-ASCII paths unreadable.
def test_11_any_name_is_read_and_can_be_printed(tmp_path: Path) -> None:
    draw(tmp_path, *classes_of("猫", "é"), "猫/é (1).png")
    odd = os.fsencode(tmp_path / "é") + b"/\xff\xfe.png"
    with open(odd, "wb") as file:
        picture().save(file, format="PNG")
    data = load(tmp_path)
    assert data.classes == ("é", "猫")
    names = all_names(data)
    assert len(names) == 14
    "\n".join([*names, *data.classes]).encode("utf-8")
    with open(odd, "wb") as file:
        file.write(b"broken")
    with pytest.raises(UserError) as error:
        load(tmp_path)
    str(error.value).encode("utf-8")


def test_11_a_class_whose_name_is_not_utf_8_is_a_class(tmp_path: Path) -> None:
    draw(tmp_path, *classes_of("a"))
    odd = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(odd)
    for i in range(6):
        with open(odd + f"/{i}.png".encode(), "wb") as file:
            picture().save(file, format="PNG")
    data = load(tmp_path)
    assert data.classes == ("\\xff", "a")
    assert len(all_names(data)) == 12
    with pytest.raises(UserError, match="allowed is a path of UTF-8; rename it, or link"):
        load(Path(os.fsdecode(odd)))


def test_11_a_manifest_is_utf_8_but_for_paths_of_files_that_are_not(tmp_path: Path) -> None:
    """In another encoding labels would look alike, and fail where they are written."""
    draw(tmp_path, *classes_of("a"))
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb") as file:
        picture().save(file, format="PNG")
    lines = [b"path,label,group,more", b"a/0.png,a,,", b"a/1.png,b,,\xe4", b"\xff.png,b,,"]
    for bad in (b"a/2.png,\xe4,,", b"a/2.png,b,\xe4,", b"\xe4.png,b,,"):
        (tmp_path / "list.csv").write_bytes(b"\n".join([*lines, bad]))
        with pytest.raises(UserError, match=r"list\.csv: row 5: \\xe4.* is not UTF-8: save the table as UTF-8"):
            read_manifest(tmp_path / "list.csv", labels=True)
    (tmp_path / "list.csv").write_bytes(b"\n".join(lines))
    source = read_manifest(tmp_path / "list.csv", labels=True)
    assert (source.classes, source.names[2]) == (("a", "b"), "\\xff.png")


def test_11_labels_of_shards_in_another_encoding_stay_apart(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for i in range(12):
            picture().save(encoded := BytesIO(), format="PNG")
            for name, content in (("png", encoded.getvalue()), ("cls", (b"\xe4", b"\xf6")[i % 2])):
                info = tarfile.TarInfo(f"{i}.{name}")
                info.size = len(content)
                tar.addfile(info, BytesIO(content))
    assert load(tmp_path / "x.tar").classes == ("\\xe4", "\\xf6")


# 12. Thin images.
@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (204, 1)])
def test_12_thin_images_get_the_right_size(tmp_path: Path, size: tuple[int, int]) -> None:
    draw(tmp_path, "a.png")
    Image.new("RGB", size, (7, 8, 9)).save(tmp_path / "thin.png")
    data = load(tmp_path, labels=False, image_size=(16, 24))
    raw = data.pretrain.raw([1])
    assert raw.shape == (1, 3, 16, 24)
    assert torch.allclose(raw[0].flatten(1).mean(1) * 255, torch.tensor([7.0, 8.0, 9.0]), atol=1e-3)


# 13. Flat or nested layout gave "0 files".
def test_13_flat_and_nested_folders_do_for_pretraining(tmp_path: Path) -> None:
    draw(tmp_path / "flat", "1.png", "2.png")
    draw(tmp_path / "nested", "a/x/1.png", "a/y/z/2.png")
    assert load(tmp_path / "flat", labels=False).pretrain.names == ("1.png", "2.png")
    nested = load(tmp_path / "nested", labels=False)
    assert nested.pretrain.names == ("a/x/1.png", "a/y/z/2.png")
    assert nested.classes == ()


def test_13_where_labels_are_needed_the_error_says_what_was_expected_and_found(tmp_path: Path) -> None:
    draw(tmp_path, "1.png", "2.png")
    with pytest.raises(UserError, match=r"one folder a class, two or more.*found no class folder and 2 images"):
        load(tmp_path)
    draw(tmp_path, "a/x/1.png")
    with pytest.raises(UserError, match="found one class folder, a, and 3 images"):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match=r"empty: no image below this folder \(found 1 .txt\)"):
        load(tmp_path / "empty", labels=False)


# 14. A cache written into a read-only data folder.
def test_14_nothing_is_written_into_the_data_folder(tmp_path: Path) -> None:
    draw(tmp_path, *classes_of("a", "b"))

    def state() -> list[tuple[str, int, int]]:
        paths = [tmp_path, *sorted(tmp_path.rglob("*"))]
        return [(str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in paths]

    before = state()
    folders = [tmp_path, tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.chmod(0o555)
    try:
        for cache_mib in (4096, 0):
            load(tmp_path, cache_mib=cache_mib, workers=0).pretrain.raw([0])
        check_data(DataConfig(data=str(tmp_path)), progress=False)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert state() == before


# 15. Train images also in the test set.
@pytest.mark.parametrize("cache_mib", [4096, 0])
def test_15_a_copy_across_splits_is_found_named_and_left_out_of_training(tmp_path: Path, cache_mib: int) -> None:
    draw(tmp_path, *classes_of("train/a", "train/b", "val/a", "val/b", "test/a", "test/b"))
    shutil.copy(tmp_path / "test/a/3.png", tmp_path / "train/b/copy.png")
    (tmp_path / "unlabelled").mkdir()
    shutil.copy(tmp_path / "val/b/2.png", tmp_path / "unlabelled/x.png")
    shutil.copy(tmp_path / "test/b/2.png", tmp_path / "val/b/y.png")
    data = load(tmp_path, cache_mib=cache_mib)
    assert data.val is not None
    assert "unlabelled/x.png" not in data.pretrain.names
    assert "val/b/y.png" not in data.val.names
    note = next(note for note in data.notes if "duplicate" in note)
    assert "3 exact duplicates across splits" in note
    assert "train/b/copy.png (train) = test/a/3.png (test)" in note
    assert "train/b/copy.png" not in data.pretrain.names
    assert "train/b/copy.png" not in (data.train or data.pretrain).names
    assert "test/a/3.png" in data.tests["test"].names
    report = check_data(DataConfig(data=str(tmp_path)), progress=False)
    assert {"train/b/copy.png", "test/a/3.png"} in map(set, report.exact_duplicates)
    assert len(report.exact_duplicates) == 3


def test_15_the_check_also_finds_a_copy_that_was_saved_again(tmp_path: Path) -> None:
    draw(tmp_path, *classes_of("train/a", "train/b", "val/a", "val/b", "test/a", "test/b"))
    with Image.open(tmp_path / "test/a/3.png") as image:
        image.resize((40, 40), Image.Resampling.BICUBIC).save(tmp_path / "train/b/again.jpg", quality=80)
    report = check_data(DataConfig(data=str(tmp_path)), progress=False)
    assert [set(pair) for pair in report.saved_again] == [{"train/b/again.jpg", "test/a/3.png"}]
    assert report.exact_duplicates == ()


# 16. Listing order varied by machine.
def test_16_the_order_of_creation_changes_neither_list_nor_batch(tmp_path: Path) -> None:
    names = classes_of("a", "b", "c")
    draw(tmp_path / "one", *names)
    for name in reversed(names):
        (tmp_path / "two" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "one" / name, tmp_path / "two" / name)
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    assert list_images(tmp_path / "one") == list_images(tmp_path / "two")
    assert one.pretrain.names == two.pretrain.names
    assert one.fingerprint == two.fingerprint
    first = [next(batches(d.pretrain, torch.arange(4), 4, mean=d.mean, std=d.std)).images for d in (one, two)]
    assert torch.equal(*first)


# 17. A file vanished mid-run.
@pytest.mark.parametrize("policy", ["error", "skip"])
def test_17_a_file_that_vanishes_after_an_epoch_is_named_and_the_policy_followed(tmp_path: Path, policy: str) -> None:
    data = load(draw(tmp_path, *classes_of("a", "b")), cache_mib=0, workers=2, on_bad_file=policy)
    order = torch.arange(len(data.pretrain))

    def epoch(number: int) -> list[int]:
        parts = batches(data.pretrain, order, 3, mean=data.mean, std=data.std, augment=AugmentConfig(), epoch=number)
        return [i for part in parts for i in part.ids.tolist()]

    assert epoch(0) == data.pretrain.ids.tolist()
    (tmp_path / data.pretrain.names[2]).unlink()
    if policy == "error":
        with pytest.raises(UserError, match=data.pretrain.names[2]):
            epoch(1)
    else:
        assert epoch(1) == [i for i in data.pretrain.ids.tolist() if i != int(data.pretrain.ids[2])]


def test_17_cached_data_needs_its_files_no_more(tmp_path: Path) -> None:
    data = load(draw(tmp_path, *classes_of("a", "b")))
    shutil.rmtree(tmp_path / "a")
    assert data.pretrain.raw(range(len(data.pretrain))).isfinite().all()


def test_a_bad_file_moves_no_other_image_to_another_split(tmp_path: Path) -> None:
    """A sibling: skipping must not reshuffle the split, or the test set of a later run was trained on."""
    draw(tmp_path, *classes_of("a", "b", count=20))
    before = load(tmp_path)
    victim = before.pretrain.names[0]
    (tmp_path / victim).write_bytes(b"")
    after = load(tmp_path, on_bad_file="skip")
    assert after.pretrain.names == before.pretrain.names[1:]
    assert after.tests["test"].names == before.tests["test"].names
    assert torch.equal(after.pretrain.ids, before.pretrain.ids[1:])


def test_streaming_and_caching_agree_on_every_split(tmp_path: Path) -> None:
    draw(tmp_path, *classes_of("a", "b"))
    config = DataConfig(data=str(tmp_path), workers=0)
    cached = load_data(config, labels=True, progress=False)
    streamed = load_data(replace(config, cache_mib=0), labels=True, progress=False)
    assert all_names(cached) == all_names(streamed)
    assert cached.pretrain.names == streamed.pretrain.names
