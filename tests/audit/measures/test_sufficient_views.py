"""Sufficient views: each set is enough by itself, planted sets are found, and batching changes nothing."""

from collections.abc import Sequence

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from unmask.audit.measures.occlusion import Answer, Ask, Grid, asking, choose_grid, fill_images
from unmask.audit.measures.sufficient_views import Views, kept_by_all, search, sufficient_views

MARGIN = 0.2


def unbatched(ask: Ask, count: int, grid: Grid, *, margin: float, evaluations: int, gap: int) -> list[Views]:
    """The twin: one image after the other, one question at a time."""
    found = []
    for image in range(count):
        one = search(grid, margin, evaluations, gap)
        shown = next(one)
        try:
            while True:
                answers = [ask(np.array([image]), cells[None]) for cells in shown]
                shown = one.send((np.concatenate([a[0] for a in answers]), np.concatenate([a[1] for a in answers])))
        except StopIteration as end:
            found.append(end.value)
    return found


def _planted(sets: Sequence[Sequence[int]], cells: int) -> Ask:
    """A network that is as sure as the largest share of a planted set that it is shown, and right at a whole one."""
    masks = np.zeros((len(sets), cells), bool)
    for mask, members in zip(masks, sets, strict=True):
        mask[list(members)] = True

    def ask(rows: NDArray[np.int64], shown: NDArray[np.bool_]) -> Answer:
        shares = (shown[:, None] & masks).sum(2) / masks.sum(1)
        return np.where(shares.max(1) >= 1, 1.0, 0.0), shares.max(1) + 0.01 * shares.sum(1)

    return ask


@st.composite
def _families(draw: st.DrawFn) -> tuple[Grid, list[list[int]]]:
    """A grid and a few disjoint sets of its cells."""
    grid = Grid((draw(st.integers(1, 9)), draw(st.integers(1, 9))), 1)
    order = draw(st.permutations(range(grid.cells)))
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    sets, start = [], 0
    for size in sizes:
        if start + size <= grid.cells:
            sets.append(order[start : start + size])
            start += size
    return grid, sets or [[order[0]]]


@given(_families())
@settings(max_examples=60, deadline=None)
def test_planted_disjoint_sets_are_found_exactly(family: tuple[Grid, list[list[int]]]) -> None:
    """Where enough is "a whole planted set", the sets found are the planted ones, whatever their form."""
    grid, sets = family
    (found,) = sufficient_views(_planted(sets, grid.cells), 1, grid, margin=MARGIN, evaluations=100_000, gap=0)
    groups = [set(np.flatnonzero(found.cells == i).tolist()) for i in range(1, found.count + 1)]
    assert sorted(map(sorted, groups)) == sorted(map(sorted, sets))
    assert found.complete
    assert found.status == "kept"


@given(_families(), st.integers(2, 80), st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_any_budget_gives_disjoint_sufficient_sets_at_a_distance(
    family: tuple[Grid, list[list[int]]], budget: int, gap: int
) -> None:
    """Never more evaluations than allowed, never a set that is not enough, never two sets nearer than the gap."""
    grid, sets = family
    ask = _planted(sets, grid.cells)
    (found,) = sufficient_views(ask, 1, grid, margin=MARGIN, evaluations=budget, gap=gap)
    assert found.evaluations <= budget
    assert 1 <= found.count <= len(sets)
    places = np.stack(np.divmod(np.arange(grid.cells), grid.shape[1]), 1)
    for i in range(1, found.count + 1):
        assert ask(np.array([0]), (found.cells == i)[None])[0][0] >= MARGIN
        for j in range(1, i):
            apart = np.abs(places[found.cells == i][:, None] - places[found.cells == j][None]).max(2)
            assert apart.min() > gap


class _Detectors(nn.Module):
    """Logit c is the sum over its parts of how far the best match of a template exceeds a threshold; a known answer."""

    def __init__(self, templates: Tensor, every: bool = False) -> None:
        super().__init__()
        self.templates = nn.Parameter(templates)  # [classes, parts, 1, p, p]
        self.every = every

    def forward(self, images: Tensor) -> Tensor:
        classes, parts = self.templates.shape[:2]
        matches = nn.functional.conv2d(images, self.templates.flatten(0, 1)).amax((2, 3)).unflatten(1, (classes, parts))
        strength = (matches - 8).clamp(min=0)
        return strength.amin(2) if self.every else strength.amax(2)


def _templates() -> Tensor:
    """Two classes with two orthogonal parts of 4 x 4 pixels each, of squared length 16."""
    rows = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    pairs = [(1, 1), (2, 2), (1, 2), (3, 3)]
    return torch.stack([torch.outer(rows[a], rows[b]) for a, b in pairs]).reshape(2, 2, 1, 4, 4)


def _scene(places: Sequence[tuple[int, tuple[int, int]]]) -> Tensor:
    """Parts of class 0 at (row, column) pixels on gray."""
    image = torch.zeros(1, 1, 32, 32)
    for part, (row, column) in places:
        image[0, :, row : row + 4, column : column + 4] += _templates()[0, part]
    return image


def _count(model: nn.Module, image: Tensor) -> Views:
    grid = choose_grid((32, 32))
    ask = asking(model, image, torch.zeros_like(image), torch.tensor([0]), grid)
    return sufficient_views(ask, 1, grid, margin=MARGIN, evaluations=2000)[0]


@pytest.mark.parametrize("places", [((4, 4), (20, 16)), ((0, 28), (28, 0)), ((6, 6), (18, 22))])
def test_hand_built_detectors_have_as_many_views_as_parts(places: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """Knows both parts: 2. Knows one: 1, at that part. Needs both: 1, of both. Cells need not fit the parts."""
    image = _scene([(0, places[0]), (1, places[1])])
    assert _count(_Detectors(_templates()), image).count == 2
    blind = _templates()
    blind[0, 1] = 0
    one = _count(_Detectors(blind), image)
    assert one.count == 1
    rows, columns = np.nonzero(one.cells.reshape(8, 8))
    (top, left) = places[0]
    assert rows.min() * 4 + 4 > top > rows.max() * 4 - 4
    assert columns.min() * 4 + 4 > left > columns.max() * 4 - 4
    both = _count(_Detectors(_templates(), every=True), image)
    assert both.count == 1
    assert both.cells.sum() >= 2


def test_images_without_an_answer_are_left_out() -> None:
    """A part of no class: the whole is not enough. A network that says class 0 to everything: the fill is."""
    assert _count(_Detectors(_templates()), torch.zeros(1, 1, 32, 32)).status == "missed"
    model = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2))
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.copy_(torch.tensor([2.0, 0.0]))
    left = _count(model, _scene([(0, (4, 4))]))
    assert (left.status, left.count, left.evaluations) == ("fill", 0, 2)
    with torch.no_grad():
        model[1].bias.fill_(torch.nan)
    assert _count(model, _scene([(0, (4, 4))])).status == "missed"


def _random_cnn() -> tuple[nn.Module, Tensor]:
    """A CNN that, random as it is, is sure of images and undecided on gray."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        options = {"channels": (8, 8, 8, 8), "stem_width": 4, "stem_type": "deep"}
        model = timm.create_model("resnet10t", in_chans=1, num_classes=3, **options).eval()
        images = torch.rand(6, 1, 16, 24)
    with torch.no_grad():
        model.fc.weight *= 500
        model.fc.bias -= model(torch.full((1, 1, 16, 24), 0.5))[0]
    return model, images


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0, 1])
def test_batches_find_what_single_questions_find(gap: int) -> None:
    """All together in batches of 7: the same sets as one question at a time, and each is enough."""
    model, images = _random_cnn()
    grid = Grid((16, 24), 5)
    fill = fill_images(images, torch.arange(6), "mean", mean=(0.5,), std=(0.3,), side=5, seed=0)
    with torch.no_grad():
        labels = model(images).argmax(1)
    ask = asking(model, images, fill, labels, grid, batch_size=7)
    setting = {"margin": MARGIN, "evaluations": 120, "gap": gap}
    together, alone = (how(ask, 6, grid, **setting) for how in (sufficient_views, unbatched))  # type: ignore[operator]
    for first, second in zip(together, alone, strict=True):
        assert first.cells.tolist() == second.cells.tolist()
        assert (first.status, first.complete, first.evaluations) == (second.status, second.complete, second.evaluations)
    kept = kept_by_all([together, alone])
    assert len(kept) >= 2
    for image in kept:
        for i in range(1, together[image].count + 1):
            seen = torch.where(
                grid.paint(torch.from_numpy(together[image].cells == i)[None]), images[image], fill[image]
            )
            with torch.no_grad():
                shares = model(seen)[0].softmax(0)
            right = float(shares[labels[image]])
            shares[labels[image]] = -1
            assert right - float(shares.max()) >= MARGIN - 1e-5


def test_more_budget_never_loses_a_set() -> None:
    """A larger budget repeats the smaller one's questions first."""
    model, images = _random_cnn()
    grid = Grid((16, 24), 4)
    with torch.no_grad():
        labels = model(images).argmax(1)
    ask = asking(model, images, torch.full_like(images, 0.5), labels, grid)
    counts = []
    for budget in (2, 10, 40, 160):
        found = sufficient_views(ask, 6, grid, margin=MARGIN, evaluations=budget)
        counts.append([one.count for one in found])
    assert all(list(image) == sorted(image) for image in zip(*counts, strict=True))
