"""All measures, in the order of the page. Another one joins by one line."""

from unmask.audit.protocol import Measure

MEASURES: tuple[Measure, ...] = ()
