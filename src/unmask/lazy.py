"""Public names that are imported on first use, and that `dir` shows before that."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, where: Mapping[str, str], *others: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package.

    Args:
        package: its name.
        where: public name → module that defines it; "" for a sub-module of the package itself.
        others: names that are imported already, for `dir`.
    """

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(where[name]), name) if where[name] else import_module(f"{package}.{name}")

    return get, lambda: sorted((*where, *others))
