"""The gallery of a run: mistakes that were made, pictures that are those images, and a size that is bounded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from unmask.config import ClassifyConfig
from unmask.data.load import Dataset
from unmask.encoders.build import build_model
from unmask.runs.gallery import Gallery
from unmask.runs.layout import FINETUNING, GALLERY_FILE, SHEETS, foreign_files
from unmask.runs.read import read_record
from unmask.stages.classify import scratch
from unmask.stages.contact_sheet import write_sheet
from unmask.stages.gallery import Predictions, embed_images
from unmask.stages.task_gallery import write_task_gallery
from unmask.training.engine import build_engine


def test_a_training_leaves_its_gallery(training: ClassifyConfig, data: Dataset, tmp_path: Path) -> None:
    """As many mistakes as its accuracy says; a map of all test images, predicted by the network that was kept."""
    run = scratch(training, tmp_path / "run", progress=False, dataset=data)
    assert foreign_files(run, FINETUNING) == []
    gallery = read_record(Gallery, run / GALLERY_FILE)
    test = data.tests[gallery.split]
    (found,) = gallery.mistakes
    assert (found.arm, found.trainings, found.images) == ("", 1, len(test))
    assert gallery.map is not None
    wrong = [one.image for one in gallery.map.points if one.image.truth != one.image.predicted]
    assert found.wrong == len(wrong) > 0
    assert {one.image.name for one in found.worst} <= {image.name for image in wrong}
    assert [one.image.truth for one in gallery.map.points] == test.labels.tolist()
    sure = [one.probability for one in found.worst]
    assert sure == sorted(sure, reverse=True)
    assert {gallery.map.points[one.of].image.truth for one in gallery.map.neighborhoods} == {0, 1, 2}


def test_pictures_are_those_images(data: Dataset, tmp_path: Path) -> None:
    """Row by row in the order asked for, blocks of JPEG apart from each other."""
    test = data.tests["test"]
    wanted = torch.tensor([3, 17, 5])
    sheet = write_sheet(tmp_path / "x.jpg", test, wanted, side=64, most_bytes=100_000)
    assert (sheet.columns, sheet.rows, sheet.width, sheet.height) == (2, 2, 16, 16)
    pixels = np.asarray(Image.open(tmp_path / "x.jpg").convert("L")) / 255
    for place, index in enumerate(wanted.tolist()):
        row, column = divmod(place, 2)
        found = pixels[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        assert np.abs(found - test.raw([index])[0, 0].numpy()).mean() < 0.03


@pytest.mark.parametrize(("shape", "size"), [((24, 40), (24, 40)), ((100, 400), (16, 64)), ((9, 9), (16, 16))])
def test_the_side_of_a_picture_is_bounded(shape: tuple[int, int], size: tuple[int, int], tmp_path: Path) -> None:
    """Whole blocks of 8 pixels in the proportions of the image; small images are not made smaller."""
    tiny.draw(tmp_path / "data", *tiny.numbered("a", "b", count=4))
    images = tiny.load(tmp_path / "data", image_size=shape).readable
    sheet = write_sheet(tmp_path / "x.jpg", images, torch.arange(5), side=64, most_bytes=100_000)
    assert (sheet.height, sheet.width) == size


def test_the_file_of_pictures_is_bounded(tmp_path: Path) -> None:
    """Noise, the worst to compress, at the cost of its sharpness."""
    noisy = np.random.default_rng(0).integers(0, 256, (64, 3, 64, 64), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=noisy, labels=np.arange(64) % 2)
    images = tiny.load(tmp_path / "x.npz").readable
    write_sheet(tmp_path / "x.jpg", images, torch.arange(64), side=64, most_bytes=60_000)
    assert (tmp_path / "x.jpg").stat().st_size <= 60_000


def test_every_image_right_and_no_network(data: Dataset, tmp_path: Path) -> None:
    """Nothing to show: no sheet, no map, and arms are counted all the same."""
    right = torch.nn.functional.one_hot(data.tests["test"].labels, 3).float()
    predictions = [("mrp", Predictions(right, 4))]
    write_task_gallery(tmp_path, data, "test", predictions, embed=lambda: None, seed=0)
    gallery = read_record(Gallery, tmp_path / GALLERY_FILE)
    assert (gallery.mistake_sheet, gallery.map, gallery.mistakes[0].wrong) == (None, None, 0)
    assert SHEETS.found(tmp_path) == []


def test_names_are_one_line(data: Dataset, tmp_path: Path) -> None:
    """Whatever a file is called, gallery.json can be written, and a page shows it on one line."""
    named = replace(data.tests["test"], names=["a\n\udcff\x1b[31m"] * 30)
    predictions = [("", Predictions(torch.eye(3)[(named.labels + 1) % 3]))]
    renamed = replace(data, tests={"test": named})
    write_task_gallery(tmp_path, renamed, "test", predictions, embed=lambda: None, seed=0)
    (found,) = read_record(Gallery, tmp_path / GALLERY_FILE).mistakes
    assert found.worst[0].image.name == r"a\n\xff\x1b[31m"


@pytest.mark.case("the gallery of a comparison of mobilenetv5 ended in a TypeError")
def test_a_network_without_pooled_features_has_no_map(data: Dataset) -> None:
    """Its head takes maps alone, or it has none; the same images in another network's features have one."""

    class _NoPooled(torch.nn.Module):
        def forward_features(self, images: torch.Tensor) -> torch.Tensor:
            return images

        def forward_head(self, maps: torch.Tensor) -> torch.Tensor:
            return maps.mean((2, 3))

    images, engine = data.tests["test"], build_engine("no")
    assert embed_images(_NoPooled(), images, engine, outputs=1) is None
    assert embed_images(torch.nn.Flatten(), images, engine, outputs=0) is None
    encoder = build_model(tiny.OVERLAPPING_PATCHNET, in_chans=1, image_size=(16, 16), num_classes=3)
    found = embed_images(encoder, images, engine, outputs=3)
    assert found is not None
    assert (len(found.features), found.logits.shape) == (30, (30, 3))
