"""How many training images come with their labels: per class, in all, as a share, or all of them."""

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from unmask.errors import UserError
from unmask.wording import plural

Budget = int | str
"""10: this many per class. "total:200": this many in all, per class in proportion to its images, at least one.
"10%": this share of each class, at least one image. "all". In a comparison that chooses labels in several ways also
"random:200", "balanced:200" and "chosen:200": this many in all, see `Labels`."""
_SYNTAX = "a number per class, total:NUMBER, a share such as 10%, or all"
Labels = Literal["random", "balanced", "chosen"]
"""How a total of images is selected: at random; at random with the same number per class; by the features of the
pretrained encoder, as `unmask choose` does. Only the second needs the classes of unlabeled images."""
LABELS: tuple[Labels, ...] = get_args(Labels)


@dataclass(frozen=True)
class Amount:
    """A parsed budget; the value is a number of images, or a share of each class."""

    kind: Literal["class", "total", "share", "all"] | Labels
    value: float = 1.0

    @property
    def labels(self) -> Labels | None:
        """How the images are selected, if a comparison asks for that."""
        return next((one for one in LABELS if one == self.kind), None)


def parse_budget(budget: Budget, field: str = "budget") -> Amount:
    """Parse a budget.

    Raises:
        UserError: it is not a budget; the message begins with `field`.
    """
    if isinstance(budget, int):
        if budget >= 1 and not isinstance(budget, bool):
            return Amount("class", budget)
    elif budget == "all":
        return Amount("all")
    elif (total := re.fullmatch(r"(total|random|balanced|chosen):(\d{1,9})", budget)) and int(total[2]) >= 1:
        return Amount(total[1], int(total[2]))  # type: ignore[arg-type]
    elif (share := re.fullmatch(r"(\d{1,2}(?:\.\d{1,6})?)%", budget)) and float(share[1]) > 0:
        return Amount("share", float(share[1]) / 100)
    raise UserError(f"{field} = {budget!r} is out of range: expected {_SYNTAX}")


def in_ways(budgets: Sequence[Budget], labels: Sequence[Labels]) -> tuple[Budget, ...]:
    """Each total for every way to select its images: ("total:50",) → ("random:50", "chosen:50"), which stay unchanged.

    Raises:
        UserError: a budget is not a total.
    """
    found: list[Budget] = []
    for budget in budgets:
        amount = parse_budget(budget, "budgets")
        if amount.kind != "total" and amount.labels is None:
            raise UserError(
                f"labels: {' '.join(labels)} need equal totals, but one of the budgets is {budget}: give totals, e.g. "
                '`budgets=("total:50", "total:100")`'
            )
        found += [budget] if amount.labels else [f"{way}:{amount.value:.0f}" for way in labels]
    return tuple(found)


def is_chosen(budget: Budget) -> bool:
    """Whether an encoder chooses the images of a budget."""
    return parse_budget(budget).kind == "chosen"


def without_encoder(budget: Budget | None) -> Budget | None:
    """A budget whose images can be selected before any encoder is pretrained: as many random ones for chosen ones."""
    return f"random:{parse_budget(budget).value:.0f}" if budget is not None and is_chosen(budget) else budget


def class_counts(budget: Budget, sizes: Sequence[int]) -> list[int]:
    """Labeled images per class, for classes of `sizes` images; 0 for a class without images.

    A larger budget of the same kind takes as many or more of each class: totals are dealt out one by one, each to the
    class with the largest images / (2 taken + 1) (Sainte-Laguë's rule), after one to each; balanced ones to the class
    with the fewest taken that has more. A number per class may exceed the size of a class. For images selected at
    random or by features it is the expected number.
    """
    amount = parse_budget(budget)
    if amount.kind == "class":
        return [int(amount.value) if size else 0 for size in sizes]
    if amount.kind == "all":
        return list(sizes)
    if amount.kind == "share":
        return [max(1, round(amount.value * size)) if size else 0 for size in sizes]
    if amount.kind == "balanced":
        return _level(int(amount.value), sizes)
    taken = [min(1, size) for size in sizes]
    waiting = [(-size / 3, index) for index, size in enumerate(sizes) if size > 1]
    heapq.heapify(waiting)
    for _ in range(min(int(amount.value), sum(sizes)) - sum(taken)):
        _, index = heapq.heappop(waiting)
        taken[index] += 1
        if taken[index] < sizes[index]:
            heapq.heappush(waiting, (-sizes[index] / (2 * taken[index] + 1), index))
    return taken


def _level(total: int, sizes: Sequence[int]) -> list[int]:
    """The total dealt out to classes of these sizes, as evenly as their images allow."""
    taken = [0] * len(sizes)
    for _ in range(min(total, sum(sizes))):
        taken[min((n, i) for i, n in enumerate(taken) if n < sizes[i])[1]] += 1
    return taken


def labeled_count(budget: Budget, sizes: Sequence[int]) -> int:
    """Labeled images in all; see `class_counts`."""
    return budget * len(sizes) if isinstance(budget, int) else sum(class_counts(budget, sizes))


def budget_name(budget: Budget) -> str:
    """The budget in names of files: b10, total200, share10, all."""
    return f"b{budget}" if isinstance(budget, int) else budget.replace(":", "").replace("%", "percent")


def labels_in_words(budget: Budget) -> str:
    """The budget in words: "10 labels per class", "200 labels in all", "10% of the labels", "all labels"."""
    amount = parse_budget(budget)
    if amount.kind == "class":
        return f"{plural(int(amount.value), 'label')} per class"
    if amount.kind == "total" or amount.labels:
        return f"{plural(int(amount.value), 'label')} in all{_found(amount)}"
    return "all labels" if amount.kind == "all" else f"{budget} of the labels"


def _found(amount: Amount) -> str:
    """How the images are selected, in words."""
    words = {None: "", "random": " at random", "balanced": " balanced by class", "chosen": " chosen by features"}
    return words[amount.labels]


def in_order(budgets: Sequence[Budget]) -> list[Budget]:
    """Numbers per class in rising order; labels selected in several ways, one way after another; others as given."""
    places = [(LABELS.index(one.labels), one.value) for one in map(parse_budget, budgets) if one.labels is not None]
    if places and len(places) == len(budgets):
        return [budget for _, budget in sorted(zip(places, budgets, strict=True), key=lambda pair: pair[0])]
    numbers = [one for one in budgets if isinstance(one, int)]
    return [*sorted(numbers)] if len(numbers) == len(budgets) else list(budgets)


def totals(budgets: Sequence[Budget]) -> tuple[Budget, ...]:
    """Budgets for tasks without classes: a number counts images in all."""
    return tuple(map(in_all, budgets))


def in_all(budget: Budget) -> Budget:
    """A number as a total of images; another budget unchanged."""
    return f"total:{budget}" if isinstance(budget, int) else budget
