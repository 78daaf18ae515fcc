"""What to do where a training step does not fit the device's memory, said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from unmask.errors import UserError, is_out_of_memory, memory_line
from unmask.wording import plural


@contextmanager
def memory_explained(images: int, accumulate: int) -> Iterator[None]:
    """In the body, a step on so many images of this process, too little memory is a `UserError` that tells how many of
    them were computed at once, and what to make smaller."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        at_once = max(1, images // accumulate)
        pieces = f"give accumulate = {2 * accumulate} or more (now {accumulate}), or a smaller batch_size"
        smaller = "give a smaller image_size or encoder, or precision = bf16"
        advice = pieces if at_once > 1 else smaller
        raise UserError(f"{memory_line(error)} with {plural(at_once, 'image')} at once: {advice}") from None
