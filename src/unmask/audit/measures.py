"""All measures, in the order of the page. Another one joins by one line."""

from unmask.audit.gallery import measure_maps
from unmask.audit.protocol import Measure
from unmask.audit.views import measure_views

MEASURES: tuple[Measure, ...] = (measure_maps, measure_views)
