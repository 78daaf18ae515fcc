"""What to do where a training does not fit the device's memory, said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from unmask.config import OptimiserConfig
from unmask.errors import UserError, is_out_of_memory, memory_line


@contextmanager
def memory_explained(config: OptimiserConfig, processes: int) -> Iterator[None]:
    """In the body too little memory is a `UserError` that tells how many images were computed at once."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        at_once = max(1, config.batch_size // config.accumulate // processes)
        pieces = f"give accumulate = {2 * config.accumulate} or more (now {config.accumulate}), or a smaller batch_size"
        smaller = "give a smaller image_size or encoder" + ", or precision = bf16" * (config.precision == "no")
        advice = pieces if at_once > 1 else smaller
        count = f"{at_once} image{'s' * (at_once > 1)}"
        raise UserError(f"{memory_line(error)} with {count} at once: {advice}") from None
