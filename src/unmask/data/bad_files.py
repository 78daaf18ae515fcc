"""Decide whether unreadable files stop a run, and report them."""

from collections.abc import Mapping, Sequence

from unmask.config.data import DataConfig
from unmask.data.sources.source import Source
from unmask.errors import UserError


def bad_file_errors(config: DataConfig, damaged: Sequence[str], count: int, bad: Mapping[int, str]) -> list[str]:
    """Messages if damaged shards and unreadable files stop a run: the policy is "error", or nothing is left.
    Else empty."""
    stops, errors = config.on_bad_file == "error", []
    if damaged and stops:
        errors.append(f'{damaged[0]}; `on_bad_file="skip"` keeps what comes before')
    if bad and (stops or len(bad) == count):
        first = next(iter(bad.values()))
        more = f" ({len(bad)} of {count} files are unreadable)" if len(bad) > 1 else ""
        nothing = len(bad) == count
        fix = "" if nothing else '; `on_bad_file="skip"` leaves such files out'
        errors.append(f"{'no readable image: ' * nothing}{first}{more}{fix}")
    return errors


def require_readable(config: DataConfig, source: Source, bad: Mapping[int, str]) -> None:
    """Raise `UserError` if bad files must stop the run."""
    for error in bad_file_errors(config, source.damaged, len(source.names), bad):
        raise UserError(error)
