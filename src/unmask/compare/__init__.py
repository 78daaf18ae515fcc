"""The comparison: arms × budgets × seeds over the stages, one resumable table."""

from unmask.compare.run import compare

__all__ = ["compare"]
