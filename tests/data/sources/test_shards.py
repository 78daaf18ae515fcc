"""Shards give what WebDataset gives of the same files, in any order, streamed and cached alike."""

import gc
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unmask.config import AugmentConfig, DataConfig
from unmask.data.check.report import check_data
from unmask.data.load import Dataset, load_data
from unmask.data.sources.read import read_source
from unmask.data.sources.shard_files import expand, split_of
from unmask.data.sources.shards import Shards
from unmask.errors import UserError

RNG = np.random.default_rng(0)


def png(size: int = 8, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(out, form)
    return out.getvalue()


def write(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def shard_set(root: Path, shards: int = 3, each: int = 8, prefix: str = "set") -> Path:
    """Shards of two classes by turns, with label and JSON, images of one size."""
    for s in range(shards):
        members = {}
        for i in range(each):
            members[f"{i:04}.png"] = png()
            members[f"{i:04}.cls"] = b"%d" % (i % 2)
        write(root / f"{prefix}-{s:06}.tar", members)
    return root


def load(data: object, **how: Any) -> Dataset:
    labels = how.pop("labels", False)
    return load_data(DataConfig(data=str(data), **how), labels=labels, progress=False)


@pytest.mark.filterwarnings("ignore")
def test_it_is_what_webdataset_reads(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    for s in range(2):
        with webdataset.TarWriter(str(tmp_path / f"x-{s}.tar")) as writer:
            for i in range(5):
                pixels = RNG.integers(0, 256, (6, 7, 3), dtype=np.uint8)
                writer.write({"__key__": f"deep/{s}-{i}", "png": pixels, "cls": (s + i) % 3, "txt": "words"})
    names = [str(tmp_path / f"x-{s}.tar") for s in range(2)]
    theirs = list(webdataset.WebDataset(names, shardshuffle=False).decode("rgb8").to_tuple("png", "cls"))
    gc.collect()  # it leaves its files open
    source = read_source(DataConfig(data=str(tmp_path)), labels=True)
    data = load(tmp_path, transductive=True, labels=True)
    assert [int(source.classes[label]) for label in source.labels] == [label for _, label in theirs]
    ours = (data.pretrain.raw(range(10)) * 255).round().to(torch.uint8)
    assert torch.equal(ours, torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image, _ in theirs]))


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_equals_cached_to_the_last_bit_in_any_order(tmp_path: Path, workers: int) -> None:
    root = shard_set(tmp_path)
    cached, streamed = load(root, labels=True), load(root, labels=True, cache_mib=0, workers=workers)
    assert not streamed.pretrain.pixels.cached
    assert (cached.format, cached.classes) == (streamed.format, ("0", "1"))
    order = torch.randperm(len(cached.pretrain), generator=torch.Generator().manual_seed(0))

    def images(data: Dataset, size: int, start: int = 0) -> list[torch.Tensor]:
        how = {
            "augment": AugmentConfig(),
            "seed": 3,
            "epoch": 2,
            "start": start,
        }
        return [batch.images for batch in data.pretrain.batches(order, size, **how)]  # type: ignore[arg-type]

    assert torch.equal(torch.cat(images(cached, 5)), torch.cat(images(streamed, 3)))
    assert torch.equal(torch.cat(images(streamed, 5)[1:]), torch.cat(images(streamed, 5, start=1)))


def test_an_image_is_the_piece_of_the_file_that_was_put_in(tmp_path: Path) -> None:
    content = [png() for _ in range(4)]
    write(tmp_path / "a.tar", {"x/1.png": content[0], "x/1.json": b"{}", "2.png": content[1]})
    write(tmp_path / "b.tar", {"2.PNG": content[2], "._3.png": b"junk", "3.jpg": content[3]})
    images = read_source(DataConfig(data=str(tmp_path)), labels=False).images
    assert isinstance(images, Shards)
    names = ["a.tar/x/1.png", "a.tar/2.png", "b.tar/2.PNG", "b.tar/3.jpg"]
    assert [str(images.stored(i)) for i in range(4)] == names
    assert [images.stored(i).read_bytes() for i in range(4)] == content
    assert [str(images.take(np.asarray([2, 0])).stored(i)) for i in range(2)] == [names[2], names[0]]


def labeled(tmp_path: Path, of: Callable[[int], dict[str, bytes]], **fields: str) -> list[str]:
    """Label of each of four samples, "" for none."""
    members = {f"{i}.{field}": content for i in range(4) for field, content in ({"png": png()} | of(i)).items()}
    source = read_source(DataConfig(data=str(write(tmp_path / "x.tar", members)), **fields), labels=True)  # type: ignore[arg-type]
    return [source.classes[label] if label >= 0 else "" for label in source.labels.tolist()]


def test_labels_come_from_cls_json_or_what_is_named(tmp_path: Path) -> None:
    cls = labeled(tmp_path, lambda i: {"cls": b" %d\n" % (10 * i - 1)})
    assert cls == ["", "9", "19", "29"]
    both = labeled(tmp_path, lambda i: {"cls": b"%d" % i, "json": b'{"label": 9}'})
    assert both == ["0", "1", "2", "3"]
    facts = labeled(tmp_path, lambda i: {"json": json.dumps({"label": ["cat", "dog", None, 7][i]}).encode()})
    assert facts == ["cat", "dog", "", "7"]
    named = labeled(tmp_path, lambda i: {"json": b'{"label": 1, "kind": "%d"}' % (i % 2)}, label_field="kind")
    assert named == ["0", "1", "0", "1"]
    text = labeled(tmp_path, lambda i: {"txt": f"äh {i % 2}\n".encode()}, label_field="txt")
    assert text == ["äh 0", "äh 1", "äh 0", "äh 1"]


def test_a_text_is_no_label_unless_named(tmp_path: Path) -> None:
    """Captions would be a class each."""
    with pytest.raises(UserError, match=r"found no label.*`label_field`"):
        labeled(tmp_path, lambda i: {"txt": b"a caption"})


def test_which_of_two_images_is_meant_must_be_said(tmp_path: Path) -> None:
    shard = write(tmp_path / "x.tar", {"1.left.png": png(), "1.right.png": png(4)})
    with pytest.raises(UserError, match=r"2 images \(left.png, right.png\): name one with `image_field`"):
        load(shard)
    assert load(shard, image_field="right.png").format.size == (4, 4)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-0001.tar", "train"),
        ("imagenet1k-validation-07.tar", "val"),
        ("test/0001.tar", "test"),
        ("0001.tar", ""),
        ("train/test-0001.tar", ""),
        ("testament-0001.tar", ""),
    ],
)
def test_the_split_is_in_the_name(name: str, split: str) -> None:
    assert split_of(Path(name)) == split


@pytest.mark.case("train-000.tar + eval-000.tar: eval was trained on, and a new test drawn")
@pytest.mark.parametrize(
    "name", ["eval-0.tar", "testset-0.tar", "hold-out/0.tar", "x_valset2017.tar", "train/test-0.tar"]
)
def test_a_shard_that_looks_held_out_is_an_error_beside_others(tmp_path: Path, name: str) -> None:
    """Alone, as new data to predict, it is read; so is one that is named as a split."""
    held = write(tmp_path / "a" / name, {"1.png": png(), "2.png": png()})
    for other in ("train-0.tar", "0.tar", "unlabeled-0.tar"):
        more = write(tmp_path / "a" / other, {"3.png": png()})
        with pytest.raises(UserError, match=rf"{name} beside other shards looks held out.* (test|val), and nothing"):
            load(tmp_path / "a")
        more.unlink()
    assert len(read_source(DataConfig(data=str(held)), labels=False).names) == 2
    held.rename(tmp_path / "a" / "test-000.tar")
    write(tmp_path / "a" / "train-0.tar", {"3.png": png()})
    assert load(tmp_path / "a").pretrain.names == ("train-0.tar/3.png",)


def test_splits_of_shards_stay(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        shard_set(tmp_path, 1, 6, split)
    data = load(tmp_path, labels=True)
    assert data.train is not None
    assert data.val is not None
    sets = {"train": data.train, "val": data.val, "test": data.tests["test"]}
    assert {name: {n.partition("-")[0] for n in images.names} for name, images in sets.items()} == {
        name: {name} for name in sets
    }
    assert all(len(images) == 6 for images in sets.values())


def test_braces_and_wildcards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard_set(tmp_path, 12, 1, "train")
    shard_set(tmp_path, 1, 1, "val")
    monkeypatch.chdir(tmp_path)

    def found(name: str) -> list[str]:
        return [path.name for path in expand(name)]

    assert found("train-{000002..000010}.tar") == [f"train-{i:06}.tar" for i in range(2, 11)]
    assert found("{val,train}-{000000..000000}.tar") == ["val-000000.tar", "train-000000.tar"]
    assert sorted(found("train-{00000{0..2},000011}.tar")) == [f"train-{i:06}.tar" for i in (0, 1, 2, 11)]
    assert found("train-*.tar") == [f"train-{i:06}.tar" for i in range(12)]
    assert len(load("train-{000000..000003}.tar").pretrain) == 4
    with pytest.raises(UserError, match=r"no shard train-000012.tar \(3 of 4 are missing\)"):
        expand("train-{000011..000014}.tar")
    with pytest.raises(UserError, match="no shard other"):
        expand("other*.tar")
    for name in ("https://x.org/a-{0..9}.tar", "pipe:cat a.tar"):
        with pytest.raises(UserError, match="not a local file"):
            load(name)


def test_the_range_of_braces_without_zeros_has_none(tmp_path: Path) -> None:
    for i in (8, 9, 10):
        write(tmp_path / f"{i}.tar", {"a.png": png()})
    assert [path.name for path in expand(str(tmp_path / "{8..10}.tar"))] == ["8.tar", "9.tar", "10.tar"]


def test_images_beside_shards_are_a_folder(tmp_path: Path) -> None:
    """As before there were shards; a note names what is left aside."""
    shard_set(tmp_path, 1)
    (tmp_path / "x.png").write_bytes(png())
    data = load(tmp_path)
    assert data.pretrain.names == ("x.png",)
    assert any("1 .tar" in note for note in data.notes)


def test_a_bad_image_in_a_shard_is_named_or_left_out(tmp_path: Path) -> None:
    members = {f"{i}.png": png() for i in range(5)} | {"5.png": png()[:60], "6.jpg": png(form="JPEG")[:-30]}
    shard = write(tmp_path / "x.tar", members)
    with pytest.raises(UserError, match=r"x.tar/5.png: .*2 of 7"):
        load(shard)
    data = load(shard, on_bad_file="skip")
    assert data.pretrain.names == tuple(f"x.tar/{i}.png" for i in range(5))
    assert len(data.bad_files) == 2


def test_a_cut_shard_is_named_or_read_up_to_there(tmp_path: Path) -> None:
    root = shard_set(tmp_path, 2, 4)
    cut = root / "set-000001.tar"
    cut.write_bytes(cut.read_bytes()[: 4 * 1024 + 700])
    with pytest.raises(UserError, match=r'set-000001.tar: cut off within 0002.png; `on_bad_file="skip"`'):
        load(root)
    data = load(root, on_bad_file="skip", transductive=True)
    assert data.pretrain.names[4:] == ("set-000001.tar/0000.png",)  # the label of the next one might be lost
    assert data.bad_files == (f"{cut}: cut off within 0002.png",)


def test_a_shard_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    shard = shard_set(tmp_path, 1) / "set-000000.tar"
    data = load(shard, cache_mib=0, workers=0)
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"set-000000.tar/000\d.png"):
        data.pretrain.raw(range(len(data.pretrain)))
    shard.unlink()
    with pytest.raises(UserError, match=r"set-000000.tar/0000.png: No such file"):
        data.pretrain.raw([0])


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ({}, "no sample with an image in 1 shards"),
        ({"a.cls": b"1", "b.cls": b"2"}, r"\(2 without one\)"),
        ({"a.png": png(), "a.json": b"{"}, "a.json: "),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, members: dict[str, bytes], line: str) -> None:
    with pytest.raises(UserError, match=line):
        load(write(tmp_path / "x.tar", members))


def test_what_is_left_aside_is_counted(tmp_path: Path) -> None:
    members = {"a.png": png(), "a.cls": b"1", "b.cls": b"2", "c.png": png(), "d.png": png(), "d.cls": b"2"}
    notes = read_source(DataConfig(data=str(write(tmp_path / "x.tar", members))), labels=True).notes
    assert notes == (
        "1 samples without an image were skipped",
        "1 image without a label is seen by pretraining only",
    )


def test_the_check_finds_twins_bad_images_and_cut_shards(tmp_path: Path) -> None:
    twin = png()
    train = {"0.png": twin, "0.cls": b"0", "1.png": png(), "1.cls": b"1", "2.png": png(), "2.cls": b"1"}
    write(tmp_path / "train-0.tar", train)
    write(tmp_path / "test-0.tar", {"0.png": twin, "0.cls": b"0", "1.png": b"no image", "1.cls": b"1"})
    report = check_data(DataConfig(data=str(tmp_path)), progress=False)
    assert report.exact_duplicates == (("test-0.tar/0.png", "train-0.tar/0.png"),)
    assert [line.partition(":")[0] for line in report.unreadable] == ["test-0.tar/1.png"]
    assert report.errors
    cut = tmp_path / "test-0.tar"
    cut.write_bytes(cut.read_bytes()[:3000])
    report = check_data(DataConfig(data=str(tmp_path)), progress=False)
    assert report.unreadable[0].startswith(f"{cut}: cut off")
    assert report.errors[0] == f'{report.unreadable[0]}; `on_bad_file="skip"` keeps what comes before'
    skipping = check_data(replace(DataConfig(data=str(tmp_path)), on_bad_file="skip"), progress=False)
    assert not any("keeps what comes" in line for line in skipping.errors)


def test_an_index_takes_little_memory(tmp_path: Path) -> None:
    """No Python object per sample: arrays of 20 bytes, and the names."""
    shard = write(tmp_path / "x.tar", {f"{i:06}.png": b"x" for i in range(2000)})
    source = read_source(DataConfig(data=str(shard)), labels=False)
    assert isinstance(source.images, Shards)
    arrays = [source.images.shard, source.images.offset, source.images.size, source.labels, source.splits]
    assert all(array.dtype != object for array in arrays)
    assert sum(array.nbytes for array in arrays) == 2000 * (4 + 8 + 8 + 8 + 40)
