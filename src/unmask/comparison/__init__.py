"""The comparison: arms × budgets × seeds over the stages, one resumable table."""

from unmask.comparison.run import compare

__all__ = ["compare"]
