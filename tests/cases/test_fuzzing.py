"""A tenth of the campaign that benchmarks/results/fuzzing.md records: no altered file is read as something else."""

import pytest

from fuzz.judge import Kind, survey
from fuzz.kinds import KINDS
from fuzz.records import PAGES

SLOW = {kind.name for kind in PAGES} | {"run resumed from a damaged checkpoint"}
"""Kinds of which a case takes a tenth of a second or more: fewer of them."""


@pytest.mark.slow
@pytest.mark.case("of 1,680 altered run files 79 ended in a traceback, of 220 checkpoints 96")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_altered_file_is_read_as_it_stands_or_refused_in_a_line(kind: Kind) -> None:
    """The campaign's seed gives other cases than this one."""
    tally = survey(kind, 3 if kind.name in SLOW else 20, start=1000)
    assert not tally.failures, [verdict for verdict, _ in tally.failures]
