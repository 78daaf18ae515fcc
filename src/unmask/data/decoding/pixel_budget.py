"""A limit on the pixels that the threads of a process decode at the same time: large images wait for each other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

AT_ONCE = 2**27
"""Pixels: eight images of 16 megapixels, or one larger one. A pixel takes some eight bytes while it is decoded."""


class PixelBudget:
    """Pixels that threads take before they decode an image, and return when they have shrunk it."""

    def __init__(self, pixels: int = AT_ONCE) -> None:
        self._pixels = self._free = pixels
        self._changed = threading.Condition()
        self._mine = threading.local()

    @contextmanager
    def giving_back(self) -> Iterator[None]:
        """During the body, this thread keeps what it takes. Outside of it nothing is counted."""
        self._mine.taken = 0
        try:
            yield
        finally:
            with self._changed:
                self._free += self._mine.taken
                self._changed.notify_all()
            del self._mine.taken

    def take(self, pixels: int) -> None:
        """Wait until so many pixels are free, once per body; for an image larger than the budget, until all are."""
        if getattr(self._mine, "taken", None) != 0:
            return
        wanted = min(pixels, self._pixels)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        self._mine.taken = wanted


BUDGET = PixelBudget()
"""Of this process."""
