"""Numerical calculus along an axis: differences, gradients, integrals, interpolation, convolution."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minigrad.engine.tensor import Array
from minigrad.ops.arguments import as_integer, axis_index, axis_indices, shape_of
from minigrad.ops.comparisons import isfinite, not_equal, where
from minigrad.ops.elementwise import multiply, subtract
from minigrad.ops.indexing import getitem
from minigrad.ops.joining import concat
from minigrad.ops.operands import as_floats, as_operands
from minigrad.ops.primitive import primitive
from minigrad.ops.reductions import sum
from minigrad.ops.scans import sliced
from minigrad.ops.shape import broadcast_to, flip, reshape
from minigrad.ops.sorting import searchsorted

__all__ = ["convolve", "correlate", "diff", "gradient", "interp", "trapezoid"]

Mode = Literal["full", "same", "valid"]


def diff(x: Any, /, n: int = 1, axis: int = -1, *, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbouring elements along ``axis``, ``n`` times; of booleans, True where they differ.

    Args:
        x: at least one axis.
        n: the order of the difference.
        axis: the axis.
        prepend, append: values before and after ``x``; numbers are broadcast.

    Example:
        >>> import minigrad as mg
        >>> mg.diff(mg.tensor([1.0, 4.0, 9.0, 16.0]), n=2)
        tensor([2., 2.])
    """
    if as_integer(n, "n") < 0:
        raise ValueError(f"n: expected 0, 1, 2, …, got {n}")
    given = as_operands("prepend", "append", prepend=prepend, x=x, append=append)
    x = given[1]
    axis = axis_index(axis, x.ndim)
    if not n:
        return x
    parts = [part if part is x or part.ndim else _slice_of(part, x, axis) for part in given if part is not None]
    x = concat(parts, axis=axis) if len(parts) > 1 else x
    for _ in range(min(n, x.shape[axis])):  # the result is empty then
        later, earlier = sliced(x, axis, 1, None), sliced(x, axis, None, -1)
        x = not_equal(later, earlier) if x.dtype.kind == "b" else subtract(later, earlier)
    return x


def _slice_of(number: Any, x: Any, axis: int) -> Any:
    return broadcast_to(number, tuple(1 if i == axis else size for i, size in enumerate(x.shape)))


def _along(values: Any, axis: int, ndim: int) -> Any:
    """Reshape a one-dimensional array along one of ``ndim`` axes; anything else is unchanged."""
    return reshape(values, tuple(-1 if i == axis else 1 for i in range(ndim))) if len(shape_of(values)) == 1 else values


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Trapezoidal integral along ``axis``.

    Args:
        y: the values of the function.
        x: the sample points, of the shape of ``y``, or of the length of the axis.
        dx: their distance, where ``x`` is not given.
        axis: the axis.

    Example:
        >>> import minigrad as mg
        >>> mg.trapezoid(mg.tensor([1.0, 2.0, 3.0]), dx=2.0)
        tensor(8.)
    """
    y, x = as_floats("x", y=y, x=x)
    axis = axis_index(axis, y.ndim)
    width = dx if x is None else diff(_along(x, axis, y.ndim), axis=axis)
    return sum(width * (sliced(y, axis, 1, None) + sliced(y, axis, None, -1)) / 2, axis=axis)


def gradient(f: Any, *varargs: Any, axis: int | tuple[int, ...] | None = None, edge_order: int = 1) -> Any:
    """Numerical gradient of sampled values: central differences inside, one-sided ones at the edges.

    Args:
        f: the values, at least ``edge_order + 1`` along each axis.
        varargs: the distance of the points, or their coordinates; one for all axes or one for each; 1 by default.
        axis: the axes; all by default.
        edge_order: 1 or 2, how accurate the edges are.

    Returns:
        An array of the shape of ``f``; a tuple of them for several axes.

    Source: B. Fornberg, "Generation of Finite Difference Formulas on Arbitrarily Spaced Grids", 1988.
    """
    f, *given = as_floats(f=f, **{f"varargs[{i}]": spacing for i, spacing in enumerate(varargs)})
    axes = tuple(range(f.ndim)) if axis is None else axis_indices(axis, f.ndim)
    spacings = given * len(axes) if len(given) == 1 else given or [1.0] * len(axes)
    if len(spacings) != len(axes):
        raise ValueError(
            f"varargs: expected a spacing for each of {len(axes)} axes, or one for all, got {len(varargs)}"
        )
    if edge_order not in (1, 2):
        raise ValueError(f"edge_order: expected 1 or 2, got {edge_order}")
    slopes = tuple(_slope(f, spacing, a, edge_order) for a, spacing in zip(axes, spacings, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    size = f.shape[axis]
    if size < edge_order + 1:
        raise ValueError(f"f: expected at least {edge_order + 1} elements along axis {axis}, got {size}")
    if len(shape_of(spacing)):
        if shape_of(spacing) != (size,):
            raise ValueError(f"varargs: expected {size} coordinates along axis {axis}, got shape {shape_of(spacing)}")
        widths = _along(diff(spacing), axis, f.ndim)
    else:
        widths = multiply(np.ones(tuple(size - 1 if i == axis else 1 for i in range(f.ndim)), f.dtype), spacing)
    slopes = diff(f, axis=axis) / widths  # between each two points
    if size == 2:
        return concat((slopes, slopes), axis=axis)
    (before, behind), (left, right) = (
        (sliced(values, axis, None, -1), sliced(values, axis, 1, None)) for values in (slopes, widths)
    )
    if len(shape_of(spacing)):
        inside = (before * right + behind * left) / (left + right)
    else:  # the middle has no effect
        inside = subtract(sliced(f, axis, 2, None), sliced(f, axis, None, -2)) / (2 * spacing)
    first, last = sliced(slopes, axis, 0, 1), sliced(slopes, axis, -1, None)
    if edge_order == 2:
        first = 2 * first - sliced(inside, axis, 0, 1)
        last = 2 * last - sliced(inside, axis, -1, None)
    return concat((first, inside, last), axis=axis)


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """Linear interpolation of the points (xp, fp) at ``x``; differentiable in all three.

    Args:
        x: the coordinates to evaluate at, any shape.
        xp: the points' coordinates, one-dimensional and increasing.
        fp: the points' values, of the shape of ``xp``.
        left, right: the value before the first and behind the last point; by default the first and last value.

    Example:
        >>> import minigrad as mg
        >>> mg.interp([0.5, 3.0], [0.0, 1.0, 2.0], [0.0, 10.0, 20.0])
        tensor([ 5., 20.])
    """
    x, xp, fp, left, right = as_floats("left", "right", x=x, xp=xp, fp=fp, left=left, right=right)
    count = xp.size
    if xp.shape != (count,) or fp.shape != (count,) or not count:
        raise ValueError(f"xp, fp: expected two one-dimensional arrays of one size, got {xp.shape} and {fp.shape}")
    lower = np.clip(searchsorted(xp, x, side="right").data - 1, 0, max(count - 2, 0))
    upper = np.minimum(lower + 1, count - 1)
    start, end, first, last = getitem(xp, lower), getitem(xp, upper), getitem(fp, lower), getitem(fp, upper)
    slope = (last - first) / where(start == end, 1, end - start)
    # A line goes on from its finite end, and a point that is hit has its own value.
    from_end = (~isfinite(first) & (x != start)) | (x == end)
    value, distance = where(from_end, last, first), where(from_end, x - end, x - start)
    inside = value + where((first == last) | ((distance == 0) & ~isfinite(slope)), 0, slope) * distance
    inside = where(x < xp[0], fp[0] if left is None else left, inside)
    return where(x > xp[-1], fp[-1] if right is None else right, inside)


@primitive(dtypes="numeric")
def _convolve(a: Array, v: Array, /, valid: bool) -> Array:
    """Convolution by windows: at every overlap of ``a`` and ``v``, or only where ``v`` lies within ``a``."""
    return np.convolve(a, v, "valid" if valid else "full")


_convolve.vjp(
    a=lambda g, v, valid: _convolve(g, flip(v), not valid),
    v=lambda g, a, valid: flip(_convolve(a, flip(g), True)) if valid else _convolve(g, flip(a), True),
)
_convolve.name = "convolve"


def convolve(a: Any, v: Any, /, mode: Mode = "full") -> Any:
    """Discrete convolution of two one-dimensional arrays, cₖ = Σ aᵢ vₖ₋ᵢ.

    Args:
        a, v: one-dimensional, not empty.
        mode: ``"full"``: wherever they overlap, M + N - 1 elements. ``"same"``: the middle max(M, N) of them.
            ``"valid"``: where one covers the other, the middle max(M, N) - min(M, N) + 1.

    Example:
        >>> import minigrad as mg
        >>> mg.convolve(mg.tensor([1.0, 2.0, 3.0]), mg.tensor([1.0, 1.0]))
        tensor([1., 3., 5., 3.])
    """
    a, v = as_operands(a=a, v=v)
    for name, x in (("a", a), ("v", v)):
        if x.ndim != 1 or not x.size:
            raise ValueError(f"{name}: expected one dimension and at least one element, got shape {x.shape}")
    if not isinstance(mode, str) or mode not in ("full", "same", "valid"):
        raise ValueError(f"mode: expected 'full', 'same' or 'valid', got {mode!r}")
    longer, shorter = (a, v) if a.size >= v.size else (v, a)
    if mode == "same":
        start = (shorter.size - 1) // 2
        return _convolve(longer, shorter, False)[start : start + longer.size]
    return _convolve(longer, shorter, mode == "valid")


def correlate(a: Any, v: Any, /, mode: Mode = "valid") -> Any:
    """Cross-correlation of two one-dimensional arrays, cₖ = Σ aᵢ₊ₖ vᵢ; modes as in :func:`convolve`."""
    a, v = as_operands(a=a, v=v)
    return flip(correlate(v, a, mode)) if v.size > a.size else convolve(a, flip(v), mode)
