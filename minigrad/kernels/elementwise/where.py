"""Selection between two arrays by a mask, without branches, which a random mask would mispredict."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.arguments import check_arrays, check_floats, check_shape
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for

WORK = 4  # multiply-adds that one element costs about as much as


def where(condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a`` where the condition holds, ``b`` elsewhere.

    Args:
        condition: any shape, booleans.
        a, b: of that shape or 0-d, both float32 or both float64.

    Raises:
        TypeError: a dtype is another.
        ValueError: a shape is another.

    >>> where(np.array([True, False]), np.array([1.0, 2.0]), np.array(0.0))
    array([1., 0.])
    """
    check_arrays(condition=condition)
    if condition.dtype != bool:
        raise TypeError(f"condition must be a boolean array; got {condition.dtype}")
    check_floats(a=a, b=b)
    for name, array in (("a", a), ("b", b)):
        if array.ndim:
            check_shape(name, array, condition.shape)
    chosen = np.empty(condition.shape, a.dtype)
    if chosen.size:
        flat = (np.ascontiguousarray(array).reshape(-1) for array in (condition, a, b))
        _where(*flat, a.ndim > 0, b.ndim > 0, chosen.reshape(-1), threads_for(WORK * chosen.size))
    return chosen


@kernel()
def _where(condition, a, b, whole_a, whole_b, chosen, parts):
    in_parallel(parts, _where_part, (condition, a, b, whole_a, whole_b, chosen))


@kernel()
def _where_part(part, parts, condition, a, b, whole_a, whole_b, chosen):
    # condition, chosen: (size,); a, b: (size,) where whole, else (1,)
    first, last = share(len(chosen), part, parts)
    mask, target = condition[first:last], chosen[first:last]
    if whole_a and whole_b:
        left, right = a[first:last], b[first:last]
        for i in range(len(target)):
            yes, no = left[i], right[i]
            target[i] = yes if mask[i] else no
    elif whole_a:
        left, no = a[first:last], b[0]
        for i in range(len(target)):
            yes = left[i]
            target[i] = yes if mask[i] else no
    elif whole_b:
        yes, right = a[0], b[first:last]
        for i in range(len(target)):
            no = right[i]
            target[i] = yes if mask[i] else no
    else:
        yes, no = a[0], b[0]
        for i in range(len(target)):
            target[i] = yes if mask[i] else no
