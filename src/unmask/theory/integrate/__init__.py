"""Gradient flows: fixed steps, own clocks for growth, Rosenbrock for stiffness, Chebyshev for coupled systems."""

from unmask.theory.integrate.chebyshev import ChebyshevResult, chebyshev
from unmask.theory.integrate.clocks import Field, Growth, grow
from unmask.theory.integrate.descent import descend
from unmask.theory.integrate.rosenbrock import rosenbrock

__all__ = ["ChebyshevResult", "Field", "Growth", "chebyshev", "descend", "grow", "rosenbrock"]
