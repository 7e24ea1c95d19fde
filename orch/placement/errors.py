"""What a caller of the placement can do wrong."""

from __future__ import annotations


class ShapeError(ValueError):
    """A column has the wrong dimensions, type or range. The message names it, what it is and what it should be."""
