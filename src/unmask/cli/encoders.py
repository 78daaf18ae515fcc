"""`unmask encoders`: check the laws on timm models and print which hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unmask.config.validation import require_at_least, require_choice
from unmask.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """Check that masked execution is right for some models.

    Exit code 0: every law holds for all of them; 1: some law does not.

    Example: unmask encoders --check resnet18 convnext_atto vit_tiny_patch16_224
    """

    check: tuple[str, ...] = ()
    """Names of timm models, or patchnet."""
    image_size: int | None = None
    """Side of the square test images in pixels; default: the smallest that the model takes with two cells a side."""
    channels: int = 3
    """Input channels."""
    execution: Literal["auto", "dense", "packed", "filled"] = "auto"
    """How hidden cells are treated."""
    table: str | None = None
    """Also write the table to this Markdown file."""

    def __post_init__(self) -> None:
        require_at_least("channels", self.channels, 1)
        require_choice("execution", self.execution, ("auto", "dense", "packed", "filled"))
        if self.image_size is not None:
            require_at_least("image_size", self.image_size, 1)

    def run(self) -> int:
        """Print a table of laws; 1 if some law does not hold for some model."""
        from unmask.encoders.check import check_encoder, table

        if not self.check:
            raise UserError(
                "check is empty: name some models, e.g. --check resnet18 convnext_atto vit_tiny_patch16_224"
            )
        rows = []
        for name in self.check:
            row = check_encoder(name, image_size=self.image_size, channels=self.channels, execution=self.execution)
            print(table([row]).splitlines()[-1], flush=True)
            rows.append(row)
        text = table(rows)
        print()
        print(text)
        if self.table:
            Path(self.table).write_text(text, encoding="utf-8")
        return 0 if all(row.holds for row in rows) else 1
