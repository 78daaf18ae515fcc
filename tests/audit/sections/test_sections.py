"""The measures parts, health and agreement as the audit calls them, on networks that are built by hand."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unmask.audit.measures.health import health
from unmask.audit.measures.part_units import Purity
from unmask.audit.protocol import AuditData, Audited
from unmask.audit.sections.agreement import measure_agreement
from unmask.audit.sections.health import measure_health, spectra
from unmask.audit.sections.part_figures import sort_units
from unmask.audit.sections.parts import measure_parts
from unmask.audit.sections.sufficient_views import shuffled_labels
from unmask.config import AuditConfig, DataConfig, to_json
from unmask.data.load import load_data
from unmask.data.sources.multiview import MultiViewConfig, textures
from unmask.encoders.patchnet import PatchNet
from unmask.report.blocks import Plate
from unmask.report.html import draw_plate

DATA = DataConfig(
    data="multiview",
    options={"images": 30, "val_images": 9, "test_images": 180, "classes": 3, "size": 24, "weak_strength": 1.0},
)
CONFIG = AuditConfig(images=60)


@pytest.fixture(scope="module")
def data() -> AuditData:
    dataset = load_data(DATA, labels=True, progress=False)
    test = dataset.tests["test"].select(range(60))
    return AuditData(test.raw(range(60)), test.labels, test.ids, test.names, dataset.classes, dataset)


def detecting(name: str, known: Sequence[int], *, control: bool = False) -> Audited:
    """Matched filters of some of the six parts and one dead kernel."""
    settings = MultiViewConfig(**(DATA.options or {}))  # type: ignore[arg-type]
    patterns = torch.from_numpy(textures(settings)).flatten(0, 1)[list(known)]
    model = PatchNet(in_chans=1, width=len(known) + 1, patch=8, stride=1, num_classes=3).eval()
    with torch.no_grad():
        model.kernels.weight.zero_()
        model.kernels.weight[: len(known), 0] = 0.01 * patterns
        assert isinstance(model.head, nn.Linear)
        model.head.weight.zero_()
        model.head.weight[:, : len(known)] = 30 * F.one_hot(torch.tensor(known) // 2, 3).T
        model.head.bias.zero_()
    return Audited(name, model, lambda pixels: (pixels - 0.5) / 0.15, control)


def test_parts_are_those_that_the_detectors_were_built_for(data: AuditData) -> None:
    networks = [detecting("most", [0, 1, 2, 5]), detecting("one", [4]), detecting("control", [3], control=True)]
    finding = measure_parts(networks, data, CONFIG)
    assert finding is not None
    most, one = finding.models["most"], finding.models["one"]
    captured = [name for name, one in most.per_part.items() if one.captured]
    assert captured == ["0.1", "0.2", "1.1", "2.2"]
    assert (most.captured, most.classes_whole, most.units) == (4, 1, 5)
    assert most.purity == Purity(4, 1.0, 1.0, 1.0)
    alone = {name: one.accuracy_alone for name, one in most.per_part.items()}
    assert min(alone[part] for part in captured) > 0.95
    assert alone["1.2"] < 0.5
    assert one.captured == 1
    assert np.array(most.auroc).shape == (5, 6)
    rows = {row.quantity: row for row in finding.differences}
    assert set(rows) == {"accuracy on part 1 alone", "accuracy on part 2 alone"}
    assert all((row.model, row.baseline) == ("most", "one") for row in rows.values())
    assert rows["accuracy on part 2 alone"].low > 0
    json.dumps(to_json(finding.models), allow_nan=False)
    assert finding.section.tables[0].rows[0][:4] == ("most", "4 of 6", "0", "1 of 3")
    assert [numbers.captured_shuffled for numbers in finding.models.values()] == [0, 0, 0]


def drawn(plate: Plate) -> str:
    """What the page shows of a figure."""
    return draw_plate(plate, "x").text


def test_pictures_of_parts_say_in_words_what_they_show(data: AuditData) -> None:
    finding = measure_parts([detecting("most", [0, 1, 2, 5])], data, CONFIG)
    assert finding is not None
    assert [picture.name for picture in finding.section.plates] == ["captured", "units_0"]
    assert "most 4 of 6" in finding.section.plates[0].alt
    for picture in finding.section.plates:
        assert "0.1" in drawn(picture)


def test_units_are_shown_in_the_order_of_the_part_they_respond_to_most() -> None:
    auroc = np.array([[0.5, 0.6], [0.9, 0.5], [0.5, 0.95], [1.0, 0.5], [0.5, 0.5]])
    assert sort_units(auroc, 4).tolist() == [3, 1, 2, 0]


def test_where_parts_are_not_known_nothing_is_said(data: AuditData) -> None:
    other = replace(data, dataset=replace(data.dataset, parts=None))
    assert measure_parts([detecting("most", [0])], other, CONFIG) is None


def test_health_counts_the_dead_kernel_and_draws_every_stage(data: AuditData) -> None:
    finding = measure_health([detecting("most", [0, 1, 2, 5])], data, CONFIG)
    (stage,) = finding.models["most"].stages.values()
    assert stage.dead == pytest.approx(1 / 5)
    assert 3 < stage.centered_rank <= 4
    assert sum(stage.spectrum) == pytest.approx(1)
    json.dumps(to_json(finding.models), allow_nan=False)
    assert f"({stage.centered_rank:.1f} of 5)" in drawn(finding.section.plates[0])
    assert len(spectra({name: {"last": health(torch.rand(5, 3))} for name in "abcd"}).axes) == 6


def test_agreement_of_twins_is_whole_and_of_strangers_none(data: AuditData) -> None:
    networks = [detecting("a", [0, 2, 4]), detecting("twin", [4, 2, 0]), detecting("other", [1, 3, 5])]
    finding = measure_agreement(networks, data, CONFIG)
    assert finding is not None
    a = finding.models["a"]
    assert a.cka["twin"] == pytest.approx(1)
    assert a.cka_debiased["twin"] == pytest.approx(1)
    assert a.cka_debiased["other"] < 0.5
    parts = measure_parts(networks, data, CONFIG)
    assert parts is not None
    common = parts.models["a"].common
    assert (common["twin"].both, common["other"].both) == (3, 0)
    assert common["other"].kappa == -1
    assert parts.section.tables[1].rows[0] == ("a", "twin", "3", "1.5", "0.05")
    assert a.ensemble.gap > 0.1
    json.dumps(to_json(finding.models), allow_nan=False)
    assert "other" in drawn(finding.section.plates[0])


def test_one_network_agrees_with_nobody(data: AuditData) -> None:
    networks = [detecting("a", [0]), detecting("control", [1], control=True)]
    assert measure_agreement(networks, data, CONFIG) is None


def test_a_shuffled_label_is_any_other_class() -> None:
    labels = torch.arange(4000) % 5
    shuffled = shuffled_labels(labels, 5, seed=3)
    steps = (shuffled - labels) % 5
    counts = torch.bincount(steps, minlength=5)
    assert (int(counts[0]), int(counts.sum())) == (0, 4000)
    assert bool((counts[1:] > 850).all())  # 1000 expected, standard deviation 27
    assert bool((shuffled_labels(labels, 2 * 5, seed=3) != labels).all())
