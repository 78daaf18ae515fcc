"""All measures, in the order of the page. Adding one takes one line."""

from unmask.audit.protocol import Measure
from unmask.audit.sections.agreement import measure_agreement
from unmask.audit.sections.health import measure_health
from unmask.audit.sections.maps import measure_maps
from unmask.audit.sections.parts import measure_parts
from unmask.audit.sections.sufficient_views import measure_views

MEASURES: tuple[Measure, ...] = (measure_views, measure_parts, measure_maps, measure_agreement, measure_health)
