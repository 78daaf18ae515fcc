"""Gradient flows: fixed steps, separate clocks for growth, Rosenbrock for stiffness, Chebyshev for coupled systems."""

from unmask.theory.integrate.dormand_prince import Field, Growth, grow
from unmask.theory.integrate.gradient_descent import descend
from unmask.theory.integrate.rkc import ChebyshevResult, chebyshev
from unmask.theory.integrate.rosenbrock import rosenbrock

__all__ = ["ChebyshevResult", "Field", "Growth", "chebyshev", "descend", "grow", "rosenbrock"]
