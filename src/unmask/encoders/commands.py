"""`unmask encoders`: run the laws on timm models and print what holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unmask.config.validation import require_at_least, require_choice


@dataclass(frozen=True, kw_only=True)
class EncodersConfig:
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


def run_encoders(config: EncodersConfig) -> int:
    """Print a table of laws; 0 if all hold for all models, 1 otherwise.

    Raises:
        UserError: no name is given.
    """
    from unmask.encoders.check import check_encoder, table
    from unmask.errors import UserError

    if not config.check:
        raise UserError("check is empty: name some models, e.g. --check resnet18 convnext_atto vit_tiny_patch16_224")
    rows = []
    for name in config.check:
        row = check_encoder(name, image_size=config.image_size, channels=config.channels, execution=config.execution)
        print(table([row]).splitlines()[-1], flush=True)
        rows.append(row)
    text = table(rows)
    print()
    print(text)
    if config.table:
        Path(config.table).write_text(text, encoding="utf-8")
    return 0 if all(row.holds for row in rows) else 1
