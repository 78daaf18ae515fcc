"""An audit of images in groups counts groups in its intervals, and says so."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch

import tiny
from unmask.audit.protocol import AuditData, Audited
from unmask.audit.sections.maps import measure_maps
from unmask.audit.sections.sufficient_views import measure_views
from unmask.config import AuditConfig
from unmask.data.load import load_data
from unmask.inference.estimate import paired_interval
from unmask.inference.image_groups import per_group

CONFIG = AuditConfig(images=24, cell=4, evaluations=40)


@pytest.fixture(scope="module")
def data() -> AuditData:
    """Without groups."""
    dataset = load_data(tiny.DATA, labels=True, progress=False)
    test = dataset.tests["test"].select(range(24))
    return AuditData(test.raw(range(24)), test.labels, test.ids, test.names, dataset.classes, dataset)


def grouped(data: AuditData, alike: int) -> AuditData:
    """The same images in groups of so many."""
    return replace(data, dataset=replace(data.dataset, listed_groups=np.arange(int(data.ids.max()) + 1) // alike))


def test_values_of_images_become_values_of_groups(data: AuditData) -> None:
    """As the closed form has it; images without a value are left out; without groups nothing changes."""
    rng = np.random.default_rng(0)
    values: list[float | None] = [None, *rng.normal(size=23).tolist()]
    known = np.array([value for value in values if value is not None])
    alone = grouped(data, 1).interval(values, 0.95)
    assert alone is not None
    assert data.interval(values, 0.95) == paired_interval(known)
    assert (alone.mean, alone.low) == pytest.approx((known.mean(), paired_interval(known).low))
    several = grouped(data, 4)
    groups = (data.ids.numpy() // 4)[1:]
    found, by_hand = several.interval(values, 0.95), paired_interval(per_group(known, groups))
    assert found is not None
    assert found.n == by_hand.n == len(np.unique(groups))
    assert (found.mean, found.low, found.high) == pytest.approx((known.mean(), by_hand.low, by_hand.high))
    assert (data.sampled, grouped(data, 1).sampled, several.sampled) == ("images", "images", "groups")
    assert several.interval([None] * 24, 0.95) is None


def _network(name: str, seed: int, classes: int) -> Audited:
    torch.manual_seed(seed)
    model = timm.create_model("resnet10t", in_chans=1, num_classes=classes, channels=(8, 8, 8, 8), stem_width=4).eval()
    return Audited(name, model, lambda pixels: (pixels - 0.5) / 0.15)


@pytest.mark.parametrize("alike", [1, 6])
def test_measures_count_groups(data: AuditData, alike: int) -> None:
    networks = [_network(name, seed, len(data.classes)) for seed, name in enumerate("ab")]
    images = grouped(data, alike)
    counted = len(np.unique(data.ids.numpy() // alike))
    for measure in (measure_maps, measure_views):
        finding = measure(networks, images, CONFIG)
        assert finding is not None
        words = " ".join([*(table.caption for table in finding.section.tables)])
        assert f"interval over {'images' if alike == 1 else 'groups'}" in words
        assert all(row.n <= counted for row in finding.differences)
    maps = measure_maps(networks, images, CONFIG)
    assert maps is not None
    assert {one.cover_grad.n for one in maps.models.values()} == {counted}
    assert {row.n for row in maps.differences} == {counted}
