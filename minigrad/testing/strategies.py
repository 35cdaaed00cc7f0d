"""Hypothesis strategies for property tests of operations: shapes, axes, dtypes and arrays. Needs ``hypothesis``.

Example:
    >>> from hypothesis import given
    >>> import minigrad as mg
    >>> from minigrad.testing import gradcheck, strategies
    >>> @given(strategies.arrays(strategies.shapes()))
    ... def test_tanh(x):
    ...     assert gradcheck(mg.tanh, x, order=2)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Shape
from minigrad.optional_imports import missing

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ModuleNotFoundError:
    raise missing("hypothesis", "test") from None

FLOATS: tuple[type[Any], ...] = (np.float32, np.float64)
INTEGERS: tuple[type[Any], ...] = tuple(
    np.dtype(f"{kind}{bits}").type for kind in ("int", "uint") for bits in (8, 16, 32, 64)
)


def dtypes(kinds: str = "biuf") -> st.SearchStrategy[np.dtype[Any]]:
    """Strategy for dtypes of the given NumPy kinds: b(oolean), i(nteger), u(nsigned), f(loating)."""
    return st.sampled_from([np.dtype(t) for t in (np.bool_, *INTEGERS, *FLOATS) if np.dtype(t).kind in kinds])


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 1, max_side: int = 4) -> st.SearchStrategy[Shape]:
    """Strategy for shapes; ``min_side=0`` includes empty arrays."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def broadcasting_shapes(count: int = 2, max_dims: int = 3, max_side: int = 4) -> st.SearchStrategy[tuple[Shape, ...]]:
    """Strategy for several shapes that broadcast together."""
    return hnp.mutually_broadcastable_shapes(
        num_shapes=count, min_dims=0, max_dims=max_dims, min_side=1, max_side=max_side
    ).map(lambda drawn: drawn.input_shapes)


def axes(ndim: int, several: bool = True) -> st.SearchStrategy[int | tuple[int, ...] | None]:
    """Strategy for an axis, positive or negative; with ``several`` also None and tuples of distinct axes."""
    if not ndim:
        return st.none()
    one = st.integers(-ndim, ndim - 1)
    return st.one_of(st.none(), one, hnp.valid_tuple_axes(ndim)) if several else one


def arrays(
    shape: Shape | st.SearchStrategy[Shape],
    dtype: Any = np.float64,
    low: float = -2.0,
    high: float = 2.0,
    distinct: float = 0.0,
) -> st.SearchStrategy[Array]:
    """Strategy for arrays of numbers in [low, high], contiguous or not.

    Args:
        shape: a shape or a strategy for one.
        dtype: their dtype.
        low, high: bounds of the values.
        distinct: the least distance between two elements; for functions with kinks where elements meet.
    """
    shape_strategy = st.just(shape) if isinstance(shape, tuple) else shape
    return st.composite(_draw_array)(shape_strategy, np.dtype(dtype), low, high, distinct)


def _draw_array(
    draw: st.DrawFn,
    shapes: st.SearchStrategy[Shape],
    dtype: np.dtype[Any],
    low: float,
    high: float,
    distinct: float,
) -> Array:
    shape = draw(shapes)
    # One drawn seed instead of many drawn elements: examples stay fast, and a failure prints a number to repeat it.
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype.kind == "b":
        values: Array = rng.random(shape) < 0.5
    elif dtype.kind in "iu":
        least = max(int(low), int(np.iinfo(dtype).min))
        values = rng.integers(least, int(high), shape, endpoint=True)
    elif distinct:
        size = int(np.prod(shape))
        if size * distinct > high - low:
            raise ValueError(f"distinct: {size} elements {distinct} apart do not fit into [{low}, {high}]")
        slots = rng.permutation(int((high - low) / distinct))[:size]
        values = (low + distinct * (slots + rng.uniform(0.0, 0.1, size))).reshape(shape)
    else:
        values = rng.uniform(low, high, shape)
    return restride(draw, values.astype(dtype))


def restride(draw: st.DrawFn, array: Array) -> Array:
    """Copy in a drawn memory layout: contiguous, transposed, reversed, or every second element."""
    layout = draw(st.sampled_from(["C", "F", "reversed", "stepped"]))
    if layout == "C" or not array.ndim:
        return array
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "reversed":
        return np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]
