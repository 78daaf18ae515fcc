"""Data sets saved by the package `datasets` give its images, labels and splits, from disk alone."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unmask.config import DataConfig
from unmask.data.check.report import check_data
from unmask.data.load import Dataset, load_data
from unmask.data.sources.read import read_source
from unmask.errors import UserError

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()
RNG = np.random.default_rng(0)
NAMES = ["dog", "cat"]


def png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def table(count: int, label: Any = None, column: str = "label", **more: list[Any]) -> Any:
    """Images of two classes by turns."""
    columns = {"picture": [{"bytes": png(), "path": None} for _ in range(count)], **more}
    features = {"picture": datasets.Image()} | {name: datasets.Value("string") for name in more}
    if column:
        columns[column] = [i % 2 for i in range(count)]
        features[column] = label or datasets.ClassLabel(names=NAMES)
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def load(root: Path, **how: Any) -> Dataset:
    labels = how.pop("labels", True)
    return load_data(DataConfig(data=f"hf:{root}", **how), labels=labels, progress=False)


@pytest.mark.parametrize("cache_mib", [0, 100])
def test_it_is_what_the_package_reads(tmp_path: Path, cache_mib: int) -> None:
    saved = table(12, words=["x"] * 12)
    saved.save_to_disk(tmp_path / "set")
    data = load(tmp_path / "set", transductive=True, cache_mib=cache_mib, workers=0)
    assert data.pretrain.names[:2] == ("set[0]", "set[1]")
    theirs = np.stack([np.asarray(row["picture"]).transpose(2, 0, 1) for row in saved])
    assert np.array_equal((data.pretrain.raw(range(12)) * 255).round().numpy(), theirs)
    assert [data.classes[i] for i in data.pretrain.labels] == [NAMES[i % 2] for i in range(12)]
    assert torch.equal(pickle.loads(pickle.dumps(data)).pretrain.raw([5]), data.pretrain.raw([5]))


def test_a_shuffled_selection_is_read_in_its_order(tmp_path: Path) -> None:
    saved = table(10)
    saved.shuffle(seed=1).select(range(4)).save_to_disk(tmp_path)
    images = read_source(DataConfig(data=f"hf:{tmp_path}"), labels=True).images
    wanted = saved.cast_column("picture", datasets.Image(decode=False)).shuffle(seed=1)[:4]["picture"]
    assert [images.stored(i).read_bytes() for i in range(4)] == [value["bytes"] for value in wanted]  # type: ignore[union-attr]
    taken = images.take(np.asarray([3, 1]))
    assert [taken.stored(i).read_bytes() for i in range(2)] == [wanted[i]["bytes"] for i in (3, 1)]  # type: ignore[union-attr]


def test_parts_are_splits_and_others_are_for_pretraining(tmp_path: Path) -> None:
    parts = {"train": table(10), "validation": table(4), "test": table(6), "unsupervised": table(3, column="")}
    datasets.DatasetDict(parts).save_to_disk(tmp_path)
    data = load(tmp_path)
    assert data.train is not None
    assert data.val is not None
    assert (len(data.train), len(data.val), len(data.tests["test"]), len(data.pretrain)) == (10, 4, 6, 13)
    assert data.val.names[0] == "validation[0]"
    assert any("unsupervised" in note for note in data.notes)


def test_labels_of_other_kinds_and_names(tmp_path: Path) -> None:
    table(8, datasets.Value("int64")).save_to_disk(tmp_path / "numbers")
    assert load(tmp_path / "numbers").classes == ("0", "1")
    table(8, column="", breed=["a", "b", None, "a"] * 2).save_to_disk(tmp_path / "words")
    with pytest.raises(UserError, match=r"columns picture, breed: name one with `label_field`"):
        load(tmp_path / "words")
    assert load(tmp_path / "words", label_field="breed").classes == ("a", "b")
    assert len(load(tmp_path / "words", labels=False).pretrain) == 8
    plain = table(8).add_column("rows", [[1, 0], [0, 1]] * 4)
    plain.save_to_disk(tmp_path / "rows")
    with pytest.raises(UserError, match=r"column rows: each row of labels has one 1"):
        load(tmp_path / "rows", label_field="rows")


def test_what_is_not_clear_must_be_named(tmp_path: Path) -> None:
    two = table(6).add_column("again", [0, 1] * 3).cast_column("again", datasets.ClassLabel(names=NAMES))
    two = two.add_column("copy", two.cast_column("picture", datasets.Image(decode=False))["picture"][:])
    two.cast_column("copy", datasets.Image()).save_to_disk(tmp_path)
    with pytest.raises(UserError, match=r"`image_field`; found picture \(Image\), label \(ClassLabel\)"):
        load(tmp_path)
    with pytest.raises(UserError, match=r"\(label, again\): name one with `label_field`"):
        load(tmp_path, image_field="copy")
    assert load(tmp_path, image_field="copy", label_field="again").classes == ("cat", "dog")
    with pytest.raises(UserError, match="label_field = 'size'"):
        load(tmp_path, image_field="copy", label_field="size")


def test_an_image_that_is_missing_or_bad_is_named(tmp_path: Path) -> None:
    values = [{"bytes": png(), "path": None} for _ in range(5)] + [None, {"bytes": b"no image", "path": None}]
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict({"image": values}, features=features).save_to_disk(tmp_path / "x")
    with pytest.raises(UserError, match=r"x\[5\]: the file is empty"):
        load(tmp_path / "x", labels=False)
    assert len(load(tmp_path / "x", labels=False, on_bad_file="skip", transductive=True).pretrain) == 5
    report = check_data(DataConfig(data=f"hf:{tmp_path / 'x'}"), progress=False)
    assert [line.partition(":")[0] for line in report.unreadable] == ["x[5]", "x[6]"]


def test_images_that_are_paths_are_read_there(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png())
    features = datasets.Features({"image": datasets.Image()})
    values = [{"bytes": None, "path": str(tmp_path / "1.png")}]
    datasets.Dataset.from_dict({"image": values}, features=features).save_to_disk(tmp_path / "x")
    assert len(load(tmp_path / "x", labels=False).pretrain) == 1


def test_what_is_no_saved_data_set_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="must be written by save_to_disk"):
        load(tmp_path)

    def refuse(name: str) -> None:
        raise ConnectionError(f"cannot reach the hub\nfor {name}")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(
        UserError, match=r"hf:nobody/nothing: no such folder, nor on the hub \(cannot reach the hub for"
    ):
        load(Path("nobody/nothing"))
    table(2).save_to_disk(tmp_path / "x")
    with pytest.raises(UserError, match=r"what save_to_disk wrote, give hf:"):
        load_data(DataConfig(data=str(tmp_path / "x")), labels=False, progress=False)


def test_without_the_package_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'unmask\[hf\]'"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["x.py", "folder/x.py", "nowhere.py"])
def test_a_loading_script_is_never_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before the package sees it: versions before 4 execute it."""
    monkeypatch.setattr(datasets, "load_dataset", lambda path, **_: exec(Path(path).read_text()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for script in ("x.py", "folder/x.py"):
        (tmp_path / script).write_text("from pathlib import Path; Path('ran').touch()")
    with pytest.raises(UserError, match="loading scripts are not run"):
        load(Path(name))
    assert not (tmp_path / "ran").exists()


def test_a_folder_with_a_script_is_not_run_either(tmp_path: Path) -> None:
    """What the package itself makes of a folder that `save_to_disk` has not written."""
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "set.py").write_text(f"from pathlib import Path; Path({str(tmp_path / 'ran')!r}).touch()")
    with pytest.raises(UserError, match="must be written by save_to_disk"):
        load(folder)
    assert not (tmp_path / "ran").exists()
