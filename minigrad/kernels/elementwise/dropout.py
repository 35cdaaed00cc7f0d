"""Dropout without a stored mask, which is recomputed from (seed, row, column).

Columns are those of the last axis, rows those of all others. A row's key is the output of the generator
SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014, figure 17), started at the
seed, after ``row + 1`` steps. Its two halves go with the column into a mixing function of 32 bits: ``lowbias32`` by
Chris Wellons ("Prospecting for hash functions", 2018), found by search for the least correlation between bits that go
in and bits that come out. Columns enter it far apart, as multiples of 2**32 / golden ratio. All is plain arithmetic on
32 bits, which LLVM turns into vector code.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from minigrad.kernels.compiling.arguments import check_floats, check_integers, check_numbers
from minigrad.kernels.compiling.compiler import intrinsic, kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.compiling.vector import I32

WORK = 4  # multiply-adds that one element costs about as much as

_GOLDEN, _MIX_1, _MIX_2 = (
    np.uint64(constant) for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


@kernel()
def row_key(seed, row):
    """The key of a row, two numbers of 32 bits; only for use inside kernels. ``seed`` and ``row`` are integers."""
    z = np.uint64(seed) + (np.uint64(row) + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    z = z ^ (z >> np.uint64(31))
    return np.uint32(z), np.uint32(z >> np.uint64(32))


@intrinsic
def random_bits(typingctx, key, column):
    """32 random bits, as a uint32, for a column of the row of that key; only for use inside kernels.

    Written as instructions because Numba's own arithmetic would widen every step to 64 bits.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        low, high = cgutils.unpack_tuple(builder, arguments[0])
        x = builder.add(builder.mul(builder.trunc(arguments[1], I32), ir.Constant(I32, 0x9E3779B9)), low)
        x = builder.mul(_folded(builder, x, 16), ir.Constant(I32, 0x7FEB352D))
        # The second half of the key, added halfway, so that no two rows are the same numbers in another order.
        x = builder.add(_folded(builder, x, 15), high)
        return _folded(builder, builder.mul(x, ir.Constant(I32, 0x846CA68B)), 16)

    return types.uint32(key, types.int64), generate


def _folded(builder: ir.IRBuilder, x: ir.Value, bits: int) -> ir.Value:
    return builder.xor(x, builder.lshr(x, ir.Constant(I32, bits)))


def drop_below(p: float) -> np.uint32:
    """The number that random bits are below with probability ``p``, but for p = 1: an element that has them is dropped.

    >>> int(drop_below(0.25)) == 2**30
    True
    """
    return np.uint32(min(round(p * 2.0**32), 2**32 - 1))


def seed_from_row(seed: int, row: int) -> int:
    """The seed whose mask begins with row ``row`` of the mask of ``seed``: for a part of an array.

    >>> import numpy as np
    >>> x = np.ones((5, 100))
    >>> bool((dropout(x[3:], 0.5, seed_from_row(7, 3)) == dropout(x, 0.5, 7)[3:]).all())
    True
    """
    return (seed + row * int(_GOLDEN) + 2**63) % 2**64 - 2**63


def dropout(x: np.ndarray, p: float, seed: int) -> np.ndarray:
    """Each element 0 with probability ``p``, else divided by 1 - p. With another array in the place of ``x`` the same
    elements are dropped: so it is its own backward, ``dx = dropout(g, p, seed)``.

    Args:
        x: (..., n), float32 or float64.
        p: of [0, 1].
        seed: a signed integer of 64 bits.

    Raises:
        TypeError: neither float32 nor float64.
        ValueError: ``p`` or ``seed`` is out of range.

    >>> kept = dropout(np.ones(1000), 0.5, seed=1)
    >>> sorted(set(kept.tolist())), bool((kept == dropout(np.ones(1000), 0.5, seed=1)).all())
    ([0.0, 2.0], True)
    """
    check_floats(x=x)
    check_dropout(p, seed)
    y = np.empty(x.shape, x.dtype)
    if p == 1:
        y[...] = 0
    elif x.size:
        n = x.shape[-1] if x.ndim else 1
        rows = np.ascontiguousarray(x).reshape(-1, n)
        _dropout(rows, drop_below(p), x.dtype.type(1 / (1 - p)), seed, y.reshape(-1, n), threads_for(WORK * x.size))
    return y


def check_dropout(p: float, seed: int) -> None:
    """TypeError unless they are numbers, ValueError unless the probability and the seed are in range."""
    check_numbers(p=p)
    check_integers(seed=seed)
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in [0, 1]; got {p}")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed must be in [-2**63, 2**63); got {seed}")


@kernel()
def _dropout(x, below, scale, seed, y, parts):
    in_parallel(parts, _dropout_rows, (x, below, scale, seed, y))


@kernel()
def _dropout_rows(part, parts, x, below, scale, seed, y):
    # x, y: (rows, n)
    size = x.size
    n = x.shape[1]
    # Shares of elements, not of rows, for one row may be all there is.
    first, last = share(size, part, parts)
    row, start = first // n, first % n
    while first < last:
        key = row_key(seed, row)
        stop = min(n, start + last - first)
        source, target = x[row, start:stop], y[row, start:stop]
        for i in range(len(source)):
            scaled = source[i] * scale
            target[i] = scaled if random_bits(key, start + i) >= below else x.dtype.type(0)
        first += stop - start
        row, start = row + 1, 0
