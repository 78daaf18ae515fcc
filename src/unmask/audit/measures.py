"""All measures, in the order of the page. Another one joins by one line."""

from unmask.audit.agreement_section import measure_agreement
from unmask.audit.gallery import measure_maps
from unmask.audit.health_section import measure_health
from unmask.audit.parts_section import measure_parts
from unmask.audit.protocol import Measure
from unmask.audit.views import measure_views

MEASURES: tuple[Measure, ...] = (measure_views, measure_parts, measure_maps, measure_agreement, measure_health)
