"""The comparison: arms × budgets × label draws over the stages, one resumable table."""

from unmask.comparison.run import compare

__all__ = ["compare"]
