"""Matrix product with NumPy's broadcasting, for arrays of any strides, without copying them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.kernels.compiling.arguments import FLOATS, check_floats, check_precision, check_shape
from minigrad.kernels.compiling.parallel import threads_for
from minigrad.kernels.products.blocking import multiply, packed_dtype, piece_entry, workspace

Dimension = tuple[int, int, int, int]  # a leading dimension: its size and the strides of a, b and the result


def matmul(
    a: np.ndarray,
    b: np.ndarray,
    out: np.ndarray | None = None,
    *,
    bias: np.ndarray | None = None,
    precision: str | None = None,
) -> np.ndarray:
    """Matrix product ``a @ b`` with NumPy's broadcasting, plus a row ``bias``.

    Args:
        a: (..., M, K) or (K,), float32 or float64, any strides.
        b: (..., K, N) or (K,), of the same dtype, any strides.
        out: where to put the result, of exactly its shape and dtype; a new array by default. It may overlap operands.
        bias: (N,), of the same dtype, added to every row while the row is at hand.
        precision: "bfloat16" rounds float32 operands to bfloat16, to the nearest and ties to even; products and sums
            stay float32 (Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019). None takes
            operands as they are. float64 is never rounded.

    Returns:
        (..., M, N); without M for a 1-d ``a`` and without N for a 1-d ``b``. The same input gives the same bits.

    Raises:
        TypeError: an operand is neither float32 nor float64, or the dtypes differ.
        ValueError: the shapes do not fit together, or there is no such precision.

    >>> matmul(np.eye(2, dtype=np.float32), np.array([[1, 2], [3, 4]], np.float32))
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    dtype = getattr(a, "dtype", None)
    # A small product takes but microseconds: errors are worded on demand.
    if not (type(a) is type(b) is np.ndarray) or b.dtype != dtype or dtype not in FLOATS:
        check_floats(a=a, b=b)
    if precision is not None:
        check_precision(precision)
    if bias is not None and not (
        type(bias) is np.ndarray and bias.dtype == dtype and bias.flags.c_contiguous and bias.shape == b.shape[1:] != ()
    ):
        bias = _checked_bias(a, b, bias)
    if a.ndim == 2 and b.ndim == 2:
        m, k = a.shape
        inner, n = b.shape
        if k != inner:
            raise _misfit(a, b, k, inner)
        shape = (m, n)
        result = np.empty(shape, dtype) if out is None else _target(out, shape, a, b)
        _multiply(a, b, result, (m, n, k), a.strides, b.strides, result.strides, (), bias, precision)
    else:
        result = _matmul_nd(a, b, out, bias, precision)
    if out is None or out is result:
        return result
    out[...] = result
    return out


def _matmul_nd(
    a: np.ndarray, b: np.ndarray, out: np.ndarray | None, bias: np.ndarray | None, precision: str | None
) -> np.ndarray:
    """The general case: 1-d operands and leading dimensions."""
    for name, operand in (("a", a), ("b", b)):
        if operand.ndim == 0:
            raise ValueError(f"{name} must have at least one dimension; got a scalar")
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    (m, k), (inner, n) = left.shape[-2:], right.shape[-2:]
    if k != inner:
        raise _misfit(a, b, k, inner)
    try:
        lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        raise ValueError(f"a of shape {a.shape} and b of shape {b.shape} do not broadcast") from None
    shape = lead + (m,) * (a.ndim > 1) + (n,) * (b.ndim > 1)
    result = np.empty(shape, a.dtype) if out is None else _target(out, shape, a, b)
    full = result[..., None] if b.ndim == 1 else result
    full = full[..., None, :] if a.ndim == 1 else full
    a_lead, b_lead = _lead_strides(left, len(lead)), _lead_strides(right, len(lead))
    dims = _merged(list(zip(lead, a_lead, b_lead, full.strides[:-2], strict=True)))
    (a_row, a_column), (c_row, c_column) = left.strides[-2:], full.strides[-2:]
    if dims and dims[-1][2] == 0:
        # One b serves a whole dimension: where a's matrices stand on each other, they are one tall matrix.
        size, a_step, _, c_step = dims[-1]
        if m == 1 or (a_step, c_step) == (m * a_row, m * c_row):
            if m == 1:
                a_row, c_row = a_step, c_step
            m *= size
            dims = dims[:-1]
    sizes, c_strides = (m, n, left.shape[-1]), (c_row, c_column)
    _multiply(left, right, full, sizes, (a_row, a_column), right.strides[-2:], c_strides, dims, bias, precision)
    return result


def _multiply(
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    sizes: tuple[int, int, int],
    a_strides: tuple[int, ...],
    b_strides: tuple[int, ...],
    c_strides: tuple[int, ...],
    dims: Sequence[Dimension],
    bias: np.ndarray | None,
    precision: str | None,
) -> None:
    """Call the kernel, which wants C's columns to be neighbours: for the transposed product where its rows are."""
    (m, n, k), (a_row, a_column), (b_row, b_column), (c_row, c_column) = sizes, a_strides, b_strides, c_strides
    work = m * n * (k + 1)
    for size, *_ in dims:
        work *= size
    if work == 0:
        return
    if c_row == c.itemsize and (n == 1 or c_column != c_row):
        if bias is not None:  # a column now: no row that the kernel could add
            _multiply(a, b, c, sizes, a_strides, b_strides, c_strides, dims, None, precision)
            c += bias
            return
        a, b, m, n = b, a, n, m
        a_row, a_column, b_row, b_column, c_row = b_column, b_row, a_column, a_row, c_column
        dims = [(size, b_step, a_step, c_step) for size, a_step, b_step, c_step in dims]
    packed = packed_dtype(c.dtype, precision)
    batch = np.array(dims, np.int64).ravel() if dims else _NO_BATCH
    multiply(
        id(a),
        id(b),
        id(c),
        m,
        n,
        k,
        a_row,
        a_column,
        b_row,
        b_column,
        c_row,
        0 if bias is None else id(bias),
        batch,
        workspace(packed),
        piece_entry(packed),
        threads_for(max(work, work // min(m, n) * c.itemsize)),  # few rows take as long as to read the matrix
    )


_NO_BATCH = np.empty(0, np.int64)


def _checked_bias(a: np.ndarray, b: np.ndarray, bias: np.ndarray) -> np.ndarray:
    check_floats(a=a, bias=bias)
    check_shape("bias", bias, b.shape[-1:] if b.ndim > 1 else (1,))
    return np.ascontiguousarray(bias)


def _misfit(a: np.ndarray, b: np.ndarray, columns: int, rows: int) -> ValueError:
    return ValueError(f"a of shape {a.shape} and b of shape {b.shape} do not fit: {columns} columns meet {rows} rows")


def _target(out: np.ndarray, shape: tuple[int, ...], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``out`` itself, or a stand-in to copy from where it overlaps an operand or neither rows nor columns are runs."""
    if out.dtype != a.dtype:
        raise TypeError(f"out must have the dtype of the operands, {a.dtype}; got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out must have the shape of the product, {shape}; got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable; got a read-only array")
    ends = out.strides[-2:] if a.ndim > 1 and b.ndim > 1 else out.strides[-1:]
    if out.itemsize in ends and not np.may_share_memory(out, a) and not np.may_share_memory(out, b):
        return out
    return np.empty(shape, out.dtype)


def _lead_strides(array: np.ndarray, count: int) -> list[int]:
    """Strides of the ``count`` broadcast leading dimensions, 0 where ``array`` repeats."""
    own = [0 if size == 1 else stride for size, stride in zip(array.shape[:-2], array.strides[:-2], strict=True)]
    return [0] * (count - len(own)) + own


def _merged(dims: Sequence[Dimension]) -> list[Dimension]:
    """Without dimensions of size 1, and with two neighbours as one where a single stride steps through both."""
    merged: list[Dimension] = []
    for size, a_step, b_step, c_step in dims:
        if size == 1:
            continue
        if merged and merged[-1][1:] == (size * a_step, size * b_step, size * c_step):
            merged[-1] = (merged[-1][0] * size, a_step, b_step, c_step)
        else:
            merged.append((size, a_step, b_step, c_step))
    return merged
