"""Pixels of a dense probe: keyed, with a class, and with the features that up-sampled maps have there."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from unmask.config.data import IGNORED
from unmask.evaluate.dense_features import features_at, pixels_each, sample_pixels, sampled

SIZE = (8, 12)


def masks() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    found = torch.randint(0, 3, (4, *SIZE), generator=generator, dtype=torch.uint8)
    found[:, :6] = IGNORED
    found[3] = IGNORED
    return found


def test_pixels_are_distinct_have_a_class_and_are_keyed_by_their_image() -> None:
    truth, ids = masks(), torch.tensor([7, 3, 9, 4])
    image, place = sample_pixels(truth, ids, 10, seed=1)
    assert torch.bincount(image, minlength=4).tolist() == [10, 10, 10, 0]
    assert (truth.flatten(1)[image, place] != IGNORED).all()
    assert len(set(zip(image.tolist(), place.tolist(), strict=True))) == 30
    alone = sample_pixels(truth[1:2], ids[1:2], 10, seed=1)[1]
    assert torch.equal(alone, place[image == 1])
    assert not torch.equal(sample_pixels(truth[1:2], ids[1:2], 10, seed=2)[1], alone)


def test_all_pixels_of_an_image_with_few() -> None:
    image, place = sample_pixels(masks()[:1], torch.tensor([0]), 100, seed=0)
    assert sorted(place.tolist()) == list(range(72, 96))
    assert image.unique().tolist() == [0]


def test_features_are_those_of_up_sampled_maps() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(4, 3, 4, 6, generator=generator), torch.randn(4, 2, 2, 3, generator=generator)]
    truth = masks()
    found = sampled(lambda images: maps, torch.zeros(4, 1, *SIZE), truth, torch.arange(4), count=9, seed=3)
    image, place = sample_pixels(truth, torch.arange(4), 9, seed=3)
    full = torch.cat([interpolate(one, size=SIZE, mode="bilinear", align_corners=False) for one in maps], 1)
    torch.testing.assert_close(found.features, full.flatten(2)[image, :, place])
    assert torch.equal(found.labels, truth.flatten(1)[image, place].long())
    torch.testing.assert_close(features_at(maps, image, place, SIZE), found.features)


def test_few_images_give_many_pixels_each_and_many_give_few() -> None:
    assert [pixels_each(n) for n in (1, 40, 10**6)] == [1024, 200, 16]
