"""How many training images come with their labels: per class, in all, as a share, or all of them."""

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unmask.errors import UserError
from unmask.wording import plural

Budget = int | str
"""10: so many of each class. "total:200": so many in all, of each class in proportion to its images, at least one.
"10%": this share of each class, at least one image. "all"."""
_SYNTAX = "a number per class, total:NUMBER, a share such as 10%, or all"


@dataclass(frozen=True)
class Amount:
    """A budget, taken apart; the value is a number of images, or a share of each class."""

    kind: Literal["class", "total", "share", "all"]
    value: float = 1.0


def parse_budget(budget: Budget, field: str = "budget") -> Amount:
    """What a budget asks for.

    Raises:
        UserError: it is none; the message begins with `field`.
    """
    if isinstance(budget, int):
        if budget >= 1 and not isinstance(budget, bool):
            return Amount("class", budget)
    elif budget == "all":
        return Amount("all")
    elif (total := re.fullmatch(r"total:(\d{1,9})", budget)) and int(total[1]) >= 1:
        return Amount("total", int(total[1]))
    elif (share := re.fullmatch(r"(\d{1,2}(?:\.\d{1,6})?)%", budget)) and float(share[1]) > 0:
        return Amount("share", float(share[1]) / 100)
    raise UserError(f"{field} = {budget!r} is out of range: allowed is {_SYNTAX}")


def class_counts(budget: Budget, sizes: Sequence[int]) -> list[int]:
    """Labeled images of each class, of `sizes` images; 0 of a class that has none.

    A larger budget of the same kind takes as many or more of each class: totals are dealt out one by one, each to the
    class with the largest images / (2 taken + 1) (Sainte-Laguë's rule), after one to each. A number per class may
    exceed what a class has.
    """
    amount = parse_budget(budget)
    if amount.kind == "class":
        return [int(amount.value) if size else 0 for size in sizes]
    if amount.kind == "all":
        return list(sizes)
    if amount.kind == "share":
        return [max(1, round(amount.value * size)) if size else 0 for size in sizes]
    taken = [min(1, size) for size in sizes]
    waiting = [(-size / 3, index) for index, size in enumerate(sizes) if size > 1]
    heapq.heapify(waiting)
    for _ in range(min(int(amount.value), sum(sizes)) - sum(taken)):
        _, index = heapq.heappop(waiting)
        taken[index] += 1
        if taken[index] < sizes[index]:
            heapq.heappush(waiting, (-sizes[index] / (2 * taken[index] + 1), index))
    return taken


def labeled_count(budget: Budget, sizes: Sequence[int]) -> int:
    """Labeled images in all; see `class_counts`."""
    return budget * len(sizes) if isinstance(budget, int) else sum(class_counts(budget, sizes))


def budget_name(budget: Budget) -> str:
    """The budget in names of files: b10, total200, share10, all."""
    return f"b{budget}" if isinstance(budget, int) else budget.replace(":", "").replace("%", "percent")


def short_words(budget: Budget) -> str:
    """The budget over a column: "10 per class", "200 in all", "10% of each class", "all labels"."""
    amount = parse_budget(budget)
    if amount.kind == "class":
        return f"{budget} per class"
    if amount.kind == "total":
        return f"{amount.value:.0f} in all"
    return "all labels" if amount.kind == "all" else f"{budget} of each class"


def labels_in_words(budget: Budget) -> str:
    """The budget in a sentence: "10 labels per class", "200 labels in all", "10% of the labels", "all labels"."""
    amount = parse_budget(budget)
    if amount.kind == "class":
        return f"{plural(int(amount.value), 'label')} per class"
    if amount.kind == "total":
        return f"{plural(int(amount.value), 'label')} in all"
    return "all labels" if amount.kind == "all" else f"{budget} of the labels"


def in_order(budgets: Sequence[Budget]) -> list[Budget]:
    """Numbers per class in rising order; where other budgets are among them, as they are given."""
    numbers = [one for one in budgets if isinstance(one, int)]
    return [*sorted(numbers)] if len(numbers) == len(budgets) else list(budgets)
