"""Tests for custom operations: :func:`gradcheck`, and Hypothesis strategies in ``minigrad.testing.strategies``."""

from minigrad.testing.gradcheck import GradientError, gradcheck

__all__ = ["GradientError", "gradcheck"]
