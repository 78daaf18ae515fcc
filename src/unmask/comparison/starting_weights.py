"""The weights that a comparison starts from: different ones for different pretrainings, the same ones all along."""

from pathlib import Path

from unmask.config import CompareConfig
from unmask.config.comparison import AUTO
from unmask.errors import UserError
from unmask.runs.files import write_json
from unmask.runs.layout import WEIGHTS_FILE
from unmask.runs.read import read_optional
from unmask.runs.trial_records import StartingWeights
from unmask.training.checkpoint import digest_of
from unmask.weights.files import read_file, resolve_weights
from unmask.weights.public import is_public_id


def require_different(config: CompareConfig) -> None:
    """Raise UserError if two of the given pretrainings have the same weights: they would count as two that vary."""
    seen: dict[str, Path] = {}
    for run in config.pretrained:
        digest = _digest(run, "pretrained")
        if (first := seen.get(digest)) is not None:
            same = "is given twice" if first.resolve() == run.resolve() else f"has the same weights as {first}"
            raise UserError(
                f"pretrained: {run} {same}: the spread over pretrainings would be that of one; leave it out, or give "
                "one with another seed"
            )
        seen[digest] = run


def require_same_weights(config: CompareConfig, out: Path) -> None:
    """Record which weights were given; of a comparison that is resumed, make sure that they are still those.

    Raises:
        UserError: the weights at a path have changed since the comparison began.
    """
    named = {f"pretrained.{index}": run for index, run in enumerate(config.pretrained)}
    if config.given not in (None, AUTO) and not is_public_id(config.given):
        named["given"] = Path(config.given)
    found = {name: _digest(path, name) for name, path in named.items()}
    before = read_optional(StartingWeights, out / WEIGHTS_FILE)
    if before is None:
        if found:
            write_json(out / WEIGHTS_FILE, StartingWeights(digests=found))
        return
    for name, path in named.items():
        if before.digests.get(name) not in (None, found[name]):
            raise UserError(
                f"{out}: `resume=True` refused, the weights of {path} are not those the comparison began with; restore "
                "them, or start over with another `out`"
            )


def _digest(path: Path, field: str) -> str:
    return digest_of(read_file(resolve_weights(path, field=field)).tensors, {})
