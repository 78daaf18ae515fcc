"""The colors of classes in pictures of masks: background black, the others as far apart as can be."""

import colorsys

_APART = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Of Okabe and Ito (2008), distinguishable by all common color vision."""
_GOLDEN = 0.6180339887


def class_colors(count: int) -> list[tuple[int, int, int]]:
    """Red, green and blue of so many classes, the first black; for few classes colors that all eyes distinguish."""
    colors = [(0, 0, 0), *((int(c[1:3], 16), int(c[3:5], 16), int(c[5:], 16)) for c in _APART)]
    for index in range(len(colors), count):
        parts = colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.5 + 0.5 * (index % 2), 0.95 - 0.35 * (index % 3) / 2)
        colors.append((round(255 * parts[0]), round(255 * parts[1]), round(255 * parts[2])))
    return colors[:count]
