"""Claim: a comparison's intervals cover the truth in 93 to 97 % of all comparisons, and false verdicts are at most 5 %.

Simulated comparisons without a gain, over what varies in real ones. A row is one setting, in parts:

  design     pretrainings, label draws, test images: 1 to 5 pretrainings, crossed or in turn (diagonal), 3 to 15 draws,
             30 to 10,000 images; standard deviations as measured on Fashion-MNIST (10 labels), on digits, and others
  baseline   four scratch arms, the best one chosen on 30 to 3,000 validation images and three tuning draws
  overlap    label draws from pools of 2 to 50 times the budget, disjoint as long as the pool lasts
  recommend  three to eight alternatives, one recommended on validation
  groups     test and validation images in 5 to 300 groups, of which 80 % of an image's variance is the group's
  looks      draws come in until decided

`old` is the previous method: intervals over draws alone, for these encoders (below five pretrainings) and these test
images; the baseline by the validation images of the reported draws; no correction for common images; the best of many
on test images. Gain and loss are one-sided errors (nominal 2.5 %), power is for a gain of --effect points, width the
median half width in points. The claim with one pretraining is about its encoder: its rows have no spread over
pretrainings, and `other` is how often the old interval covers pretraining in general, where encoders do spread.

Mean squares are drawn from their distributions (chi-square for normal effects); tables of single images are drawn in
parts baseline, recommend, groups and looks, and go through the same functions as real ones.

Exits 1 if, beyond the Monte Carlo error (2.33 standard deviations), an interval covers less than 93 %, or false
verdicts are more than 5 %; rows above 97 % are counted and shown.

Run: python benchmarks/comparison_statistics.py [--nulls 2000] [--tenth] [--parts design baseline] [--out FILE]
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from comparison_choices import baseline_rows, groups_rows, looks_rows, recommend_rows
from comparison_rows import (
    DRAW_IMAGE,
    IMAGE,
    PRETRAINING_IMAGE,
    REST,
    SPREADS,
    Array,
    Row,
    covers,
    rates_of,
    student,
)

from unmask.inference.variance import (
    Component,
    MeanSquares,
    crossed_parts,
    diagonal_ways,
    freedom_of,
    group_parts,
    nested_parts,
    unit_parts,
    widen_for_overlap,
)

# -- design ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Design:
    """P pretrainings, S draws, n test images; crossed, or each draw with one pretraining; spreads in points."""

    pretrainings: int
    draws: int
    images: int
    crossed: bool
    spread: tuple[float, float, float]

    def variances(self) -> dict[str, float]:
        """Variances of a unit's effect, by the letters of a (pretraining), b (draw), c (image)."""
        a, b, ab = (sd**2 for sd in self.spread)
        a, ac = (0.0, 0.0) if self.pretrainings == 1 else (a, PRETRAINING_IMAGE**2)
        found = {"a": a, "b": b, "c": IMAGE**2, "ab": ab, "ac": ac, "bc": DRAW_IMAGE**2, "abc": REST**2}
        if self.crossed and self.pretrainings > 1:
            return found
        return {**found, "b": b + ab, "ab": 0.0, "abc": DRAW_IMAGE**2 + REST**2, "bc": 0.0}

    def units(self) -> dict[str, int]:
        """How many units the mean is over."""
        p, s, n = self.pretrainings, self.draws, self.images
        cells = p * s if self.crossed and p > 1 else s
        return {"a": p, "b": s, "c": n, "ab": cells, "ac": p * n, "bc": s * n, "abc": cells * n}

    def freedoms(self) -> dict[str, int]:
        """Degrees of freedom of the mean squares."""
        a, b, c = self.pretrainings - 1, self.draws - 1, self.images - 1
        if a == 0:
            return {"b": b, "c": c, "abc": b * c}
        if self.crossed:
            return {"a": a, "b": b, "c": c, "ab": a * b, "ac": a * c, "bc": b * c, "abc": a * b * c}
        b = self.draws - self.pretrainings
        return {"a": a, "b": b, "c": c, "ac": a * c, "abc": b * c}

    def expected(self) -> dict[str, float]:
        """Expected mean squares, on the scale of the mean's variance."""
        v = {name: value / self.units()[name] for name, value in self.variances().items()}
        rest = v["abc"]
        if self.pretrainings == 1:
            return {"b": v["b"] + rest, "c": v["c"] + rest, "abc": rest}
        if not self.crossed:
            low = {"b": v["b"] + rest, "ac": v["ac"] + rest, "abc": rest}
            return {**low, "a": v["a"] + v["b"] + v["ac"] + rest, "c": v["c"] + v["ac"] + rest}
        ab, ac, bc = v["ab"] + rest, v["ac"] + rest, v["bc"] + rest
        a, b, c = v["a"] + ab + ac - rest, v["b"] + ab + bc - rest, v["c"] + ac + bc - rest
        return {"a": a, "b": b, "c": c, "ab": ab, "ac": ac, "bc": bc, "abc": rest}

    def parts(self, squares: MeanSquares) -> list[list[Component]]:
        """Variance components that the package computes from the mean squares."""
        p, s, n = self.pretrainings, self.draws, self.images
        if p == 1:
            return [unit_parts(squares, s, n)]
        if self.crossed:
            return [crossed_parts(squares, p, s, n)]
        return diagonal_ways(nested_parts(squares, p, s, n), group_parts(squares, p, n), s / p)

    def old_half(self, squares: dict[str, Array]) -> Array:
        """Half widths of the old method: test images do not count, and pretrainings only from five on."""
        p, s = self.pretrainings, self.draws
        a, b, ab = (squares.get(name, np.zeros(1)) for name in ("a", "b", "ab"))
        if p < 5:
            if p == 1 or self.crossed:
                return student(s - 1) * np.sqrt(b)
            return student(s - 1) * np.sqrt((a * (p - 1) + b * (s - p)) / (s - 1))
        if not self.crossed:
            return student(p - 1) * np.sqrt(a)
        total = np.maximum.reduce([a + b - ab, a, b])
        freedom = total**2 / (a**2 / (p - 1) + b**2 / (s - 1) + ab**2 / ((p - 1) * (s - 1)))
        return student(np.clip(freedom, min(p, s) - 1, p * s - 1)) * np.sqrt(total)


def _half(parts: list[list[Component]]) -> float:
    components, *others = parts
    return float(student(freedom_of(components, *others))) * float(np.sqrt(sum(one.variance for one in components)))


def design_row(name: str, design: Design, nulls: int, effect: float, rng: np.random.Generator) -> Row:
    """Intervals of `nulls` comparisons with this design."""
    freedoms = design.freedoms()
    drawn = {
        key: value * rng.chisquare(freedoms[key], nulls) / freedoms[key] for key, value in design.expected().items()
    }
    truth = sum(value / design.units()[key] for key, value in design.variances().items())
    mean = rng.normal(0, np.sqrt(truth), nulls)
    half = np.array([_half(design.parts({key: float(v[i]) for key, v in drawn.items()})) for i in range(nulls)])
    old = design.old_half(drawn)
    other = None
    if design.pretrainings == 1:
        general = mean + rng.normal(0, design.spread[0], nulls)
        other = covers(general - old, general + old)
    kind = "" if design.pretrainings == 1 else " crossed" if design.crossed else " in turn"
    setting = f"{name}, {design.pretrainings} x {design.draws}{kind}, {design.images} images"
    rates = [rates_of(mean - one, mean + one, effect) for one in (old, half)]
    return Row("design", setting, nulls, rates[0], rates[1], float(np.median(half)), other)


def design_rows(nulls: int, effect: float) -> Iterator[Callable[[], Row]]:
    """Rows of 1a to 1c."""
    for name, spread in SPREADS.items():
        for pretrainings in (1, 2, 3, 4, 5):
            for draws in (3, 5, 10, 15):
                for crossed in (True, False) if pretrainings > 1 else (True,):
                    if not crossed and draws <= pretrainings:
                        continue
                    for images in (30, 200, 764, 10_000):
                        design = Design(pretrainings, draws, images, crossed, spread)
                        rng = np.random.default_rng([pretrainings, draws, images, crossed, *map(ord, name)])
                        yield lambda n=name, d=design, r=rng: design_row(n, d, nulls, effect, r)


# -- overlap -----------------------------------------------------------------------------------------------------------


def overlap_row(times: int, draws: int, images: int, nulls: int, effect: float) -> Row:
    """1e: draws of 10 images from a pool `times` as large; each image's label has its own effect on the result."""
    rng = np.random.default_rng([times, draws, images])
    budget, sd = 10, 2.5
    mean, half, old = np.empty(nulls), np.empty(nulls), np.empty(nulls)
    overlap, rest = 0.0, (DRAW_IMAGE**2 + REST**2) / (draws * images)
    for i in range(nulls):
        pool = rng.normal(0, sd * np.sqrt(budget), times * budget)
        chosen = np.concatenate([rng.permutation(times * budget) for _ in range(-(-draws // times))])
        taken = chosen[: draws * budget].reshape(draws, budget)
        counts = np.bincount(taken.ravel(), minlength=pool.size)
        overlap = float((counts * (counts - 1)).sum() / (draws * (draws - 1) * budget))
        values = pool[taken].mean(axis=1) + rng.normal(0, np.sqrt(0.5**2 + rest * draws), draws)
        common = IMAGE**2 / images
        squares = {
            "b": float(values.var(ddof=1)) / draws,
            "c": (common + rest) * float(rng.chisquare(images - 1)) / (images - 1),
            "abc": rest * float(rng.chisquare((draws - 1) * (images - 1))) / ((draws - 1) * (images - 1)),
        }
        mean[i] = float(values.mean()) + rng.normal(0, np.sqrt(common))
        half[i] = _half([widen_for_overlap(unit_parts(squares, draws, images), overlap, draws)])
        old[i] = float(student(draws - 1)) * np.sqrt(squares["b"])
    setting = f"pool {times} x budget, {draws} draws, {images} images"
    rates = [rates_of(mean - one, mean + one, effect) for one in (old, half)]
    return Row("overlap", setting, nulls, rates[0], rates[1], float(np.median(half)))


def overlap_rows(nulls: int, effect: float) -> Iterator[Callable[[], Row]]:
    """Rows of 1e."""
    for images in (200, 10_000):
        for times in (2, 3, 5, 10, 50):
            for draws in (3, 5, 10, 15):
                yield lambda t=times, d=draws, n=images: overlap_row(t, d, n, nulls, effect)


PARTS = {
    "design": design_rows,
    "baseline": baseline_rows,
    "overlap": overlap_rows,
    "recommend": recommend_rows,
    "groups": groups_rows,
    "looks": looks_rows,
}


def run(parts: list[str], nulls: int, effect: float, every: int) -> list[Row]:
    """Every row of the parts, or each `every`-th; prints them as they come."""
    rows = []
    for part in parts:
        print(f"{'':55s}{'old: gain, loss, covers, power':>28s} |   new: gain, loss, covers, power, width", flush=True)
        for index, make in enumerate(PARTS[part](nulls, effect)):
            if index % every == every // 2:
                rows.append(make())
                print(rows[-1].line(), flush=True)
    return rows


def summary(rows: list[Row], seconds: float) -> str:
    """Summarize the figures in one line."""
    worst = max(rows, key=lambda row: row.wrong)
    covers = [row.new[2] for row in rows]
    old = [row.old for row in rows if row.old is not None]
    return (
        f"comparison_statistics: {len(rows)} rows of {rows[0].nulls} nulls in {seconds:.0f} s; new coverage "
        f"{100 * min(covers):.1f} to {100 * max(covers):.1f} %, false verdicts at most {100 * worst.wrong:.1f} % "
        f"({worst.part}: {worst.setting}); {sum(row.short() for row in rows)} rows short, "
        f"{sum(row.careful() for row in rows)} above 97 %; old coverage {100 * min(one[2] for one in old):.1f} to "
        f"{100 * max(one[2] for one in old):.1f} %, false verdicts up to {100 * max(sum(one[:2]) for one in old):.1f} %"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the grid; return 0 if every row holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nulls", type=int, default=2000)
    parser.add_argument("--effect", type=float, default=3.0, help="points, for the power")
    parser.add_argument("--tenth", action="store_true", help="every tenth row, with a tenth of the nulls")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--out", type=Path, help="write the rows here too")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    nulls, every = (options.nulls // 10, 10) if options.tenth else (options.nulls, 1)
    rows = run(options.parts, nulls, options.effect, every)
    last = summary(rows, time.monotonic() - started)
    if options.out is not None:
        options.out.write_text("\n".join([*(row.line() for row in rows), last, ""]), encoding="utf-8")
    print(last)
    return 1 if any(row.short() for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
