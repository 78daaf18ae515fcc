"""Pictures: what is colored is where the numbers are, and odd inputs are drawn too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from unmask.audit.measures.occlusion import Grid
from unmask.audit.sections.image_figures import COLORS, Row, display, map_tiles, overlay, view_bars, view_tiles
from unmask.audit.sections.maps import cover
from unmask.report.audit_story import headline
from unmask.runs.records import AuditDifference, Interval


def test_overlay_tints_where_the_map_is() -> None:
    """Red where it is largest, blue where it is negative, gray where it is zero; size and place kept."""
    picture = np.full((16, 24, 3), 0.5)
    values = np.zeros((4, 6))
    values[0, 5], values[3, 0] = 2.0, -2.0
    tinted = overlay(picture, values)
    height, width = tinted.shape[:2]
    assert height * 24 == width * 16
    top, bottom, middle = tinted[0, -1], tinted[-1, 0], tinted[height // 2, width // 2]
    assert top[0] > top[2] + 0.4
    assert bottom[2] > bottom[0] + 0.4
    assert np.ptp(middle) < 0.02
    assert np.ptp(overlay(picture, np.zeros((4, 6))), axis=2).max() == 0


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_of_any_channels_are_shown(channels: int) -> None:
    """Three as color, others as their first channel."""
    pixels = torch.rand(channels, 4, 6)
    shown = display(pixels)
    assert shown.shape == (4, 6, 3)
    np.testing.assert_allclose(shown[:, :, 0], pixels[0])


def test_sets_are_drawn_where_they_are() -> None:
    """Tiles of images left out, without sets, with more sets than colors; cells cut at the border."""
    grid = Grid((10, 14), 4)
    many = np.arange(grid.cells).reshape(grid.shape)
    figure = view_tiles(
        torch.full((3, 1, 10, 14), 0.5), ["a", "b" * 40, "c"], {"net": [many, None, np.zeros(grid.shape, int)]}, grid
    )
    tile = figure.axes[3]
    drawn = tile.images[0].get_array()
    assert drawn.shape == (10, 14, 3)
    np.testing.assert_allclose(drawn[0, 4], 0.25 + 0.5 * np.array(to_rgb(COLORS[0])))
    assert np.ptp(drawn[0, 0]) < 1e-6
    assert sorted(int(text.get_text()) for text in tile.texts) == list(range(1, grid.cells))
    assert [axes.get_title() for axes in figure.axes[3:]] == [f"{grid.cells - 1} views", "left out", "0 views"]
    figure.canvas.draw()


def test_bars_are_shares_and_tell_controls() -> None:
    """2 of 4 images with one view: 50 %; an empty network draws nothing; a control is gray."""
    figure = view_bars({"net": [1, 1, 2, 4], "random weights": [1], "none": []}, {"random weights"})
    containers = figure.axes[0].containers
    assert [bar.get_height() for bar in containers[0]] == [50, 25, 0, 25]
    assert containers[0][0].get_facecolor()[:3] == to_rgb(COLORS[0])
    assert np.ptp(containers[1][0].get_facecolor()[:3]) == 0
    assert containers[2][0].get_height() == 0
    assert figure.axes[0].get_legend().get_texts()[0].get_text() == "net (n = 4)"


def test_maps_stand_side_by_side() -> None:
    """A row per image; image, then every method of every network; names above."""
    maps = tuple(tuple(np.eye(3) for _ in range(2)) for _ in range(3))
    figure = map_tiles([Row(torch.rand(1, 8, 8), "cat", maps)] * 2, ("A", "B", "C"), ("x", "y"))
    assert len(figure.axes) == 2 * 7
    assert [axes.get_title() for axes in figure.axes[:4]] == ["image", "A\nx", "A\ny", "B\nx"]


def test_cover_is_the_share_of_positions() -> None:
    """1 for a flat map, 1/12 for a single place, 1/2 for half, 0 for none; what is negative does not count."""
    maps = torch.zeros(5, 3, 4)
    maps[0], maps[1, 1, 1], maps[2, :, :2] = 0.7, 3.0, 2.0
    maps[3, 0, 0], maps[3, 1] = 1.0, -5.0
    assert cover(maps).tolist() == pytest.approx([1.0, 1 / 12, 0.5, 1 / 12, 0.0])


def test_headline_tells_the_first_difference() -> None:
    """More, fewer, no measurable difference, and no image at all."""
    found = (Interval(*ends, 40, "") for ends in ((0.5, 0.2, 0.8), (-0.5, -0.8, -0.2), (0.1, -0.1, 0.3)))
    rows = [AuditDifference.of("views", "a", "b", interval) for interval in (*found, None)]
    say = [headline([row]) for row in rows]
    assert say[0] == "a has more sufficient views than b: +0.50 [+0.20, +0.80] per image, over 40 images kept for both."
    assert say[1].startswith("a has fewer sufficient views than b: −0.50 [−0.80, −0.20]")
    assert "do not differ measurably" in say[2]
    assert say[3].startswith("No image")
    assert "network" in headline([])
    draws = replace(rows[0], measure="arms", quantity="views per image", n=5)
    parts = replace(draws, quantity="parts captured", mean=9.4, low=8.3, high=10.5)
    other = replace(parts, baseline="c")
    assert headline([draws, parts, other, rows[0]]) == (
        "a has more sufficient views than b: +0.50 [+0.20, +0.80] per image, over 5 label draws; "
        "a has more captured parts than b: +9.40 [+8.30, +10.50] of their classes."
    )
