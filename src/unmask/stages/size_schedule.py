"""Check before any work whether an encoder takes the image sizes of a schedule."""

import torch

from unmask.config.schedule import Schedule
from unmask.encoders.protocol import Encoder
from unmask.encoders.sizes import require_divisible
from unmask.encoders.stages import evaluating, first_kernel
from unmask.errors import UserError, is_out_of_memory


def require_sizes(encoder: Encoder, sizes: Schedule[tuple[int, int]], *, teacher: bool = False) -> None:
    """Run an encoder, or a teacher, once on a blank image of each size but the last.

    Raises:
        UserError: a size is not divisible by the cell, is a single mask cell, or is not accepted by the network.
    """
    what = "the teacher's stride" if teacher else "the mask cell"
    for size in dict.fromkeys(sizes.values[:-1]):
        try:
            require_divisible(size, encoder.cell, f"{what} of {encoder.cell} pixels")
        except UserError as error:
            raise UserError(f"size_schedule: {error}") from None
        grid = size[0] // encoder.cell, size[1] // encoder.cell
        if grid == (1, 1) and not teacher:
            raise UserError(
                f"size_schedule: {size[0]}x{size[1]} is one mask cell of {encoder.cell} pixels: start with larger ones"
            )
        _run_once(encoder, size, grid)


def _run_once(encoder: Encoder, size: tuple[int, int], grid: tuple[int, int]) -> None:
    like = first_kernel(encoder.model)
    blank = like.new_zeros(1, like.shape[1], *size)
    try:
        with torch.no_grad(), evaluating(encoder.model):
            encoder(blank, torch.zeros(1, *grid, dtype=torch.bool, device=like.device))
    except (RuntimeError, ValueError, LookupError, AttributeError, TypeError, AssertionError) as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"size_schedule: {type(encoder.model).__name__} is made for one image size and cannot take "
            f"{size[0]}x{size[1]} ({reason}): leave size_schedule out, or choose another encoder"
        ) from error
