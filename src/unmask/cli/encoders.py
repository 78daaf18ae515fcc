"""`unmask encoders`: check the laws on timm models and print which hold."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unmask.cli.elsewhere import print_job_script
from unmask.config.cluster import ClusterConfig
from unmask.config.validation import require_choices, require_least
from unmask.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """Check that masked execution is correct for the given models.

    Exit code 0: every law holds for all of them; 1: some law fails.

    Example: unmask encoders --check resnet18 convnext_atto vit_tiny_patch16_224
    """

    check: tuple[str, ...] = ()
    """Names of timm models, or patchnet."""
    image_size: int | None = None
    """Side of the square test images in pixels. Default: the smallest that the model takes with two cells per side."""
    channels: int = 3
    """Input channels."""
    execution: Literal["auto", "dense", "packed", "filled"] = "auto"
    """How hidden cells are kept out of the encoder."""
    table: str | None = None
    """Also write the table to this Markdown file."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    dry_run: bool = False
    """Print the job script that --on would submit, and stop."""

    def __post_init__(self) -> None:
        require_least(self, channels=1, image_size=1)
        require_choices(self)

    def run(self) -> int:
        """Print a table of laws; returns 1 if some law fails for some model."""
        from unmask.comparison.place import open_place
        from unmask.encoders.check import CheckRow, check_piece, table
        from unmask.runs.files import write_whole

        if self.dry_run:
            return print_job_script(self.cluster)
        if not self.check:
            raise UserError(
                "check is empty: name some models, e.g. --check resnet18 convnext_atto vit_tiny_patch16_224"
            )
        if self.table and Path(self.table).is_dir():
            raise UserError(f"table = {self.table!r} is a folder: name a file in it")
        pieces = [(check_piece, (name, self.image_size, self.channels, self.execution)) for name in self.check]
        found: dict[int, CheckRow] = {}
        try:
            with open_place(self.cluster, None, jobs=1) as place:
                for index, row in place.run(pieces):
                    print(table([row]).splitlines()[-1], flush=True)
                    found[index] = row
        finally:
            if found:  # else an earlier table stays as it is
                text = table([found[index] for index in sorted(found)])
                print(f"\n{text}")
                if self.table:
                    write_whole(Path(self.table), text)
        return 0 if all(row.holds for row in found.values()) else 1
