"""A run's data settings for new images: fields that these do not have are left out, everything else is kept."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from unmask.config import DataConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.load import Dataset, load_images
from unmask.data.sources.other_data import for_other_data

RUN = DataConfig(
    data="its/own",
    image_field="left.png",
    label_field="Diagnosis",
    page=0,
    nodata=-1,
    options={"size": 8},
    val_share=0.3,
)


def images_of(config: DataConfig, *names: str) -> Dataset:
    """New images as a run of 8-pixel images reads them."""
    format = ImageFormat.plain((8, 8), 3, "uint8")
    return load_images(config, names, format, wanted="all", limit=None, progress=False)


def table(folder: Path, header: str, *rows: str, name: str = "list.csv") -> str:
    """A manifest of as many pictures as it has rows."""
    tiny.draw(folder, *(f"{index}.png" for index in range(len(rows))))
    lines = [f"{index}.png,{row}".rstrip(",") for index, row in enumerate(rows)]
    (folder / name).write_text("\n".join([header, *lines]) + "\n")
    return str(folder / name)


def shard(file: Path, *fields: str) -> str:
    """Three samples, each with a picture in every field and its number as text."""
    with tarfile.open(file, "w") as tar:
        for index in range(3):
            for field in (*fields, "diagnosis"):
                content = io.BytesIO()
                if field == "diagnosis":
                    content.write(b"%d" % (index % 2))
                else:
                    tiny.picture(8, 8, seed=index).save(content, "PNG")
                info = tarfile.TarInfo(f"{index}.{field}")
                info.size = content.tell()
                content.seek(0)
                tar.addfile(info, content)
    return str(file)


def test_what_has_no_fields_is_read_without(tmp_path: Path) -> None:
    """Folders, arrays, files one by one and built-in data."""
    folder = tiny.draw(tmp_path / "images", "a/0.png", "a/1.png", "b/0.png")
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8, 3), np.uint8) + np.arange(3, dtype=np.uint8))
    files = [str(file) for file in sorted(folder.rglob("*.png"))]
    for names in ([str(folder)], [str(tmp_path / "x.npy")], files, files[:1]):
        assert len(images_of(RUN, *names).readable) == (3 if names != files[:1] else 1), names
    assert images_of(RUN, str(folder)).classes == ("a", "b")
    asked = for_other_data(RUN, str(folder))
    assert asked == replace(RUN, data=str(folder), options=None, image_field=None, label_field=None)
    assert for_other_data(RUN, "digits").label_field is None


def test_a_table_keeps_the_columns_that_it_has(tmp_path: Path) -> None:
    """None of them, as for new images; some; all. Its other columns are found by their names."""
    bare = table(tmp_path / "bare", "path", "", "", "")
    assert images_of(RUN, bare).classes == ()
    assert len(images_of(RUN, bare).readable) == 3
    other = table(tmp_path / "other", "path,label", "x", "y", "x")
    assert images_of(RUN, other).classes == ("x", "y")
    same = table(tmp_path / "same", "path,label,DIAGNOSIS", "x,ill", "y,well", "x,ill")
    assert images_of(RUN, same).classes == ("ill", "well")
    numbers = replace(RUN, label_field="age, weight", task="regression")
    one = table(tmp_path / "one", "path,weight", "1.5", "2.5", "3")
    task = images_of(numbers, one).task
    assert task is not None
    assert task.names == ("weight",)


def test_a_parquet_file_is_a_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    tiny.draw(tmp_path, "0.png", "1.png")
    for columns, classes in (({}, ()), ({"diagnosis": ["ill", "well"]}, ("ill", "well"))):
        file = tmp_path / "list.parquet"
        parquet.write_table(pyarrow.table({"path": ["0.png", "1.png"], **columns}), file)
        assert images_of(RUN, str(file)).classes == classes


def test_shards_keep_the_member_that_they_have(tmp_path: Path) -> None:
    """One image by its kind where the run's is not there; of two the run's."""
    left, both = replace(RUN, nodata=None), shard(tmp_path / "both.tar", "right.png", "left.png")
    assert images_of(left, shard(tmp_path / "one.tar", "png")).readable.names[0].endswith("0.png")
    found = images_of(left, both)
    assert found.readable.names[0].endswith("0.left.png")
    assert found.classes == ("0", "1")
    (tmp_path / "folder").mkdir()
    assert len(images_of(left, str(Path(shard(tmp_path / "folder" / "a.tar", "png")).parent)).readable) == 3


def test_hf_keeps_the_columns_that_it_has(tmp_path: Path) -> None:
    """Another name of the image column is found by its kind."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    tiny.draw(tmp_path, "0.png", "1.png")
    pictures = [{"path": None, "bytes": (tmp_path / f"{index}.png").read_bytes()} for index in range(2)]
    named = DataConfig(data="hf:own", image_field="img", label_field="fine")
    for image, label, classes in (("image", "coarse", ()), ("img", "fine", ("a", "b"))):
        features = datasets.Features({image: datasets.Image(), label: datasets.Value("string")})
        saved = datasets.Dataset.from_dict({image: pictures, label: ["a", "b"]}, features=features)
        saved.save_to_disk(tmp_path / image)
        found = images_of(named, f"hf:{tmp_path / image}")
        assert (len(found.readable), found.classes) == (2, classes)
