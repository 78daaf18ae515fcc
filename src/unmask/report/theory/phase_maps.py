"""Maps of the theory laboratory: phases over two parameters, and correlations of kernels with features."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from unmask.report.palette import BLUE, GRAY, INK, ORANGE
from unmask.theory.axes import Axis
from unmask.theory.sweep_measures import PHASES, Row

_LOOKS = dict(zip(PHASES, ((GRAY, "x"), (ORANGE, "^"), (BLUE, "s")), strict=True))
"""Distinguished by lightness and marker as well as by hue."""


def draw_phases(axes: Axes, rows: Sequence[Row], over: Sequence[Axis], words: Mapping[str, str]) -> None:
    """Phases over one or two parameters; over the mask ratio also the predicted boundaries (seeds averaged)."""
    names = [name for name, _ in over]
    x = "mask_ratio" if "mask_ratio" in names or not names else names[0]
    y = next((name for name in names if name != x), None)
    for phase, (color, marker) in _LOOKS.items():
        mine = [row for row in rows if row["phase"] == phase]
        heights = [float(row[y]) if y else float(PHASES.index(phase)) for row in mine]
        places = [float(row.get(x, 0.0)) for row in mine]
        axes.scatter(places, heights, c=color, marker=marker, s=26, linewidths=1.4, label=phase)
    if x == "mask_ratio":
        _boundaries(axes, rows, y)
    axes.set_xlabel(words.get(x, x.replace("_", " ")))
    if y:
        axes.set_ylabel(words.get(y, y.replace("_", " ")))
    else:
        axes.set_yticks(range(len(PHASES)), PHASES)
    axes.legend(fontsize=10, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1)


def _boundaries(axes: Axes, rows: Sequence[Row], y: str | None) -> None:
    for column, dash, label in (
        ("predicted_alone", "-", "predicted: end of growing alone"),
        ("predicted_together", "--", "predicted: end of growing together"),
    ):
        if y is None:
            axes.axvline(_mean(rows, column), color=INK, linestyle=dash, label=label)
            continue
        heights = sorted({float(row[y]) for row in rows})
        bound = [_mean([row for row in rows if row[y] == height], column) for height in heights]
        axes.plot(bound, heights, dash, color=INK, label=label)


def draw_correlations(axes: Axes, rows: Sequence[Row], column: str, unit: float | None) -> None:
    """⟨w_r, v_f⟩ of the first seed and point, kernels down, features across.

    Kernels of MRP are sorted by their strongest feature after training, in both matrices; those of SL are grouped by
    class, as its fixed head has them.

    Args:
        axes: axes to draw on.
        rows: rows of the measure `correlations`.
        column: which matrix.
        unit: what 1 means; colors end at 3 of it. None: 1, and colors end at the largest correlation (more negative
            values are drawn like its negative).
    """
    kernels, features = (1 + max(int(row[name]) for row in rows) for name in ("kernel", "feature"))
    rows = rows[: kernels * features]
    order = range(kernels)
    if column in ("start", "mrp"):
        after = [[float(row["mrp"]) for row in rows[r * features : (r + 1) * features]] for r in range(kernels)]
        order = sorted(range(kernels), key=lambda r: after[r].index(max(after[r])))  # type: ignore[assignment]
    matrix = [[float(row[column]) for row in rows[r * features : (r + 1) * features]] for r in order]
    bound = 3.0 * unit if unit else max(max(line) for line in matrix)
    scale = unit or 1.0
    scaled = [[v / scale for v in line] for line in matrix]
    image = axes.imshow(scaled, aspect="auto", cmap="RdBu_r", vmin=-bound / scale, vmax=bound / scale)
    image.set_interpolation("nearest")
    axes.set_xlabel("feature")
    axes.set_ylabel("kernel")
    axes.figure.colorbar(image, ax=axes)


def _mean(rows: Sequence[Row], column: str) -> float:
    return sum(float(row[column]) for row in rows) / len(rows)
