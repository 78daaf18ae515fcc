"""From a run and a folder to a table of images to label, and its page."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tiny
from unmask.choosing.choose_images import choose
from unmask.choosing.features import features_of
from unmask.choosing.record import read_choice
from unmask.choosing.uncertainty import uncertainty
from unmask.deploy.embed import embed
from unmask.deploy.images import load_as_trained
from unmask.deploy.predict import predict
from unmask.deploy.trained import read_trained
from unmask.errors import UserError
from unmask.forward import pooled_features
from unmask.recipes.choose import recipe
from unmask.weights.card import Card, save_weights


def table(folder: Path) -> list[dict[str, str]]:
    """The rows of choose.csv."""
    with (folder / "choose.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def paths(folder: Path) -> list[str]:
    """Names of the chosen files, in order."""
    return [Path(row["path"]).name for row in table(folder)]


def chosen(run: Path, data: Path, out: Path, **settings: Any) -> list[str]:
    """Names of the files that a choice of five names, in order."""
    choose(run, out, data=str(data), **{"count": 5, "progress": False, **settings})
    return paths(out)


def test_a_choice(run: Path, photos: Path, tmp_path: Path) -> None:
    """Columns, ranks, shares of the pool that add up to all of it, files that are there, and a page that names them."""
    said = str(choose(run, tmp_path / "c", count=8, progress=False))
    rows = table(tmp_path / "c")
    assert list(rows[0]) == ["path", "rank", "cluster", "typicality", "share", "reason"]
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 9)]
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1)
    assert all(Path(row["path"]).parent == photos and Path(row["path"]).is_file() for row in rows)
    page = (tmp_path / "c" / "choose.html").read_text(encoding="utf-8")
    assert all(row["path"] in page for row in rows)
    assert "default-src 'none'" in page
    assert "8 of 30 images" in said
    choice, images = read_choice(tmp_path / "c")
    assert (choice.pool, choice.labeled, choice.copies, choice.unreadable) == (30, 0, 0, 0)
    assert images == [row["path"] for row in rows]


def test_a_shorter_choice_is_the_beginning_of_a_longer_one(run: Path, photos: Path, tmp_path: Path) -> None:
    """The same files in the same order."""
    assert chosen(run, photos, tmp_path / "a", count=9)[:5] == chosen(run, photos, tmp_path / "b")


def test_copies_and_what_cannot_be_read_are_left_out(run: Path, photos: Path, tmp_path: Path) -> None:
    """Of 20 exact copies of an image one may be chosen; of one saved again as JPEG, one; a broken file never."""
    pool = tmp_path / "pool"
    shutil.copytree(photos, pool)
    for index in range(20):
        shutil.copy(pool / "00.png", pool / f"copy{index}.png")
    for name in ("01", "02", "03"):
        Image.open(pool / f"{name}.png").save(pool / f"again{name}.jpg", quality=98, subsampling=0)
    (pool / "broken.png").write_bytes(b"no image")
    said = str(choose(run, tmp_path / "c", data=str(pool), count=30, progress=False))
    assert "left out: 20 exact copies and 1 unreadable file" in said
    shown = [Path(name).stem.removeprefix("again") for name in paths(tmp_path / "c")]
    assert len({"00" if name.startswith("copy") else name for name in shown}) == 30
    with pytest.raises(UserError, match="count = 31 is larger than the pool: 30 images can be chosen"):
        choose(run, tmp_path / "d", data=str(pool), count=31, progress=False)


def test_groups_take_turns(run: Path, photos: Path, tmp_path: Path) -> None:
    """Five patients of six images: five images, one of each."""
    files = sorted(photos.iterdir())
    manifest = tmp_path / "pool.csv"
    lines = [f"{file},p{index // 6}" for index, file in enumerate(files)]
    manifest.write_text("\n".join(["path,group", *lines]), encoding="utf-8")
    found = chosen(run, manifest, tmp_path / "c")
    assert sorted(int(Path(name).stem) // 6 for name in found) == list(range(5))


@pytest.mark.parametrize("form", ["absolute", "relative", "in the data"])
def test_what_is_labeled_counts_and_is_not_proposed(run: Path, photos: Path, tmp_path: Path, form: str) -> None:
    """Paths of the table are absolute, relative to it, or the images' own names; of no class counts, too."""
    first = chosen(run, photos, tmp_path / "a", count=4)
    where = photos if form == "relative" else tmp_path
    given = where / "labels.csv"
    prefix = f"{photos}/" if form == "absolute" else ""
    given.write_text("path,label\n" + "".join(f"{prefix}{name},x\n" for name in first[:3]) + f"{prefix}{first[3]},\n")
    again = chosen(run, photos, tmp_path / "b", count=26, labeled=given)
    assert not set(again) & set(first)
    assert read_choice(tmp_path / "b")[0].labeled == 4
    with pytest.raises(UserError, match="the pool has 30 images, 4 of them already labeled: 1 to 26"):
        chosen(run, photos, tmp_path / "c", count=27, labeled=given)
    given.unlink()


def test_labels_of_a_manifest_count_where_some_images_have_none(run: Path, photos: Path, tmp_path: Path) -> None:
    """All images that have a label are training images here, by their split."""
    manifest = tmp_path / "some.csv"
    lines = [f"{photos / f'{i:02d}.png'},{'ab'[i % 2] if i < 10 else ''},train" for i in range(30)]
    manifest.write_text("\n".join(["path,label,split", *lines]), encoding="utf-8")
    found = chosen(run, manifest, tmp_path / "c", count=20)
    assert sorted(found) == [f"{i:02d}.png" for i in range(10, 30)]


def test_images_that_lie_in_no_file_get_one(run: Path, tmp_path: Path) -> None:
    """An array of images: the chosen ones are written as PNG with their own pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "pool.npy", pixels)
    choose(run, tmp_path / "c", data=str(tmp_path / "pool.npy"), count=3, progress=False)
    for row in table(tmp_path / "c"):
        stored = np.asarray(Image.open(row["path"]))
        assert any(np.array_equal(stored, one) for one in pixels)


def test_a_classifier_says_how_unsure_it_is(run: Path, classifier: Path, photos: Path, tmp_path: Path) -> None:
    """1 minus the margin between its two best classes, as `predict` gives them, stands in the reason of each image."""
    chosen(run, photos, tmp_path / "c", model=classifier, count=30)
    predict(classifier, tmp_path / "p.csv", data=str(photos), progress=False)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as stream:
        rows = {
            Path(row["path"]).name: abs(float(row["p_cat"]) - float(row["p_dog"])) for row in csv.DictReader(stream)
        }
    said = {Path(row["path"]).name: row["reason"].rpartition("; ")[2] for row in table(tmp_path / "c")}
    assert said == {name: f"{max(0.05, 1 - margin):.0%} unsure" for name, margin in rows.items()}


def test_an_image_that_the_classifier_cannot_read_moves_no_other(run: Path, classifier: Path, tmp_path: Path) -> None:
    photos = tiny.draw(tmp_path / "photos", *(f"{index:02d}.png" for index in range(12)))
    images = load_as_trained(read_trained(run), str(photos)).readable
    trained = read_trained(classifier)
    before = uncertainty(trained, str(photos), images)
    (photos / "03.png").write_bytes(b"no picture")
    before[3] = 1.0
    assert uncertainty(trained, str(photos), images).tolist() == before.tolist()


def test_weights_files_and_features(run: Path, photos: Path, tmp_path: Path) -> None:
    """A weights file of the run gives the choice of the run; features are those of probes, centered."""
    trained = read_trained(run)
    save_weights(tmp_path / "w.safetensors", trained.model.state_dict(), Card(tiny.RESNET, trained.card.format))
    assert chosen(tmp_path / "w.safetensors", photos, tmp_path / "a") == chosen(run, photos, tmp_path / "b")
    images = tiny.load(photos, labels=False, image_size=(16, 16)).pretrain
    expected = pooled_features(trained.model, images).values
    found = features_of(trained.model, images)
    assert np.allclose(found.values, expected - expected.mean(0), atol=1e-6)
    assert len(set(found.digests.tolist())) == 30


def test_labels_of_an_earlier_choice_keep_their_pictures(run: Path, photos: Path, tmp_path: Path) -> None:
    """Images without files are written; another choice in the same folder gives none of these files other pixels."""
    pixels = np.stack([np.asarray(Image.open(file).resize((16, 16))) for file in sorted(photos.iterdir())])
    np.save(tmp_path / "all.npy", pixels)
    first = chosen(run, tmp_path / "all.npy", tmp_path / "c", strategy="facility")
    folder = tmp_path / "c" / "images"
    before = {name: (folder / name).read_bytes() for name in first}
    again = chosen(run, tmp_path / "all.npy", tmp_path / "c", strategy="farthest", overwrite=True)
    assert again != first
    assert all((folder / name).read_bytes() == content for name, content in before.items())


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_written_pictures_count_as_labeled_in_the_next_round(run: Path, tmp_path: Path, kind: type) -> None:
    """By the name of their image in the data, if that still has their pixels: in other data they are refused."""
    pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (12, 16, 16, 3), dtype=kind)
    np.save(tmp_path / "pool.npy", pixels)
    first = chosen(run, tmp_path / "pool.npy", tmp_path / "a", count=4)
    files = [tmp_path / "a" / "images" / name for name in first]
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"{file},x\n" for file in files))
    given = {"labeled": tmp_path / "labels.csv"}
    again = chosen(run, tmp_path / "pool.npy", tmp_path / "b", count=8, **given)
    assert not {name.partition("-")[2] for name in again} & {name.partition("-")[2] for name in first}
    assert read_choice(tmp_path / "b")[0].labeled == 4
    kept = files[3].rename(tmp_path / "kept")
    with pytest.raises(UserError, match=r"the image .* is not among the images of .*pool.npy"):
        chosen(run, tmp_path / "pool.npy", tmp_path / "c", count=4, **given)
    kept.rename(files[3])
    np.save(tmp_path / "pool.npy", pixels[::-1])
    with pytest.raises(UserError, match=r"the image .* is not among the images of .*pool.npy"):
        chosen(run, tmp_path / "pool.npy", tmp_path / "c", count=4, **given)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"count": 31}, "count = 31 is out of range: the pool has 30 images: 1 to 30"),
        ({"count": 0}, "count = 0 is out of range"),
        ({"strategy": "best"}, "strategy"),
        ({"split": "val"}, "split = 'val': the data have"),
        ({"labeled": "labels.csv"}, "the image nowhere.png is not among the images of"),
        ({"labeled": "empty.csv"}, "no column label"),
        ({"image_size": (8, 8)}, "image_size = (8, 8) has no effect"),
        ({"model": "RUN"}, "is a pretraining and has no classifier"),
    ],
)
def test_bad_input_is_told_in_a_line(
    run: Path, photos: Path, tmp_path: Path, settings: dict[str, Any], line: str
) -> None:
    """Field or file, value and fix."""
    (tmp_path / "labels.csv").write_text("path,label\nnowhere.png,cat\n")
    (tmp_path / "empty.csv").write_text("path\n00.png\n")
    given = {name: run if value == "RUN" else value for name, value in settings.items()}
    if "labeled" in given:
        given["labeled"] = tmp_path / given["labeled"]
    with pytest.raises(UserError) as raised:
        choose(run, tmp_path / "c", data=str(photos), progress=False, **{"count": 5, **given})
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_run_of_other_channels(run: Path, tmp_path: Path) -> None:
    """Five channels for an encoder of three: one line."""
    np.save(tmp_path / "five.npy", np.zeros((6, 16, 16, 5), np.uint8))
    with pytest.raises(UserError, match="5 channels cannot become one with 3"):
        choose(run, tmp_path / "c", data=str(tmp_path / "five.npy"), count=2, progress=False)


def test_data_are_named_by_paths_as_by_texts(run: Path, photos: Path, tmp_path: Path) -> None:
    """In every function that applies a run, and for a recipe."""
    for kind in (str, Path):
        choose(run, tmp_path / f"choice of {kind.__name__}", data=kind(photos), count=3, progress=False)
        embed(run, tmp_path / f"{kind.__name__}.csv", data=kind(photos), progress=False)
        embed(run, tmp_path / f"{kind.__name__}s.csv", data=[kind(one) for one in photos.iterdir()], progress=False)
        assert recipe(data=kind(photos)).data.data == str(photos)
    assert paths(tmp_path / "choice of str") == paths(tmp_path / "choice of Path")
    for name in ("", "s"):
        assert (tmp_path / f"str{name}.csv").read_text() == (tmp_path / f"Path{name}.csv").read_text()


def test_a_place_that_cannot_be_written_to_is_said_first(run: Path, photos: Path, tmp_path: Path) -> None:
    """Before images are read and features computed."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/c: cannot create a folder there, .*file is a file"):
        choose(run, tmp_path / "file" / "c", data=photos, count=3, progress=False)


def test_a_choice_is_not_replaced_unasked(run: Path, photos: Path, tmp_path: Path) -> None:
    """Nor without its run's data where a weights file does not know any."""
    chosen(run, photos, tmp_path / "c")
    with pytest.raises(UserError, match="already holds a choice"):
        chosen(run, photos, tmp_path / "c")
    chosen(run, photos, tmp_path / "c", overwrite=True)
    with pytest.raises(UserError, match="data: required"):
        choose("timm:resnet18.a1_in1k", tmp_path / "d", progress=False)
