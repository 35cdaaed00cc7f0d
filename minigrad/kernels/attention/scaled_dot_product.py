"""Scaled dot-product attention of arrays of any shape and stride, by the kernels of ``flash_attention.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.attention.attention_scores import ADDED, BOOLEAN, NO_MASK
from minigrad.kernels.attention.flash_attention import (
    LINE,
    backward,
    backward_regions,
    forward,
    forward_regions,
)
from minigrad.kernels.compiling.arguments import FLOATS, check_floats, check_numbers, check_precision, check_shape
from minigrad.kernels.compiling.parallel import threads_for
from minigrad.kernels.compiling.vector import lanes_of
from minigrad.kernels.elementwise.dropout import check_dropout, drop_below
from minigrad.kernels.products.blocking import THREAD_BUFFER, packed_dtype, piece_entry, workspace
from minigrad.kernels.products.register_tile import TILE_VECTORS


def scaled_dot_product_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: int = 0,
    precision: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """softmax(query key^T scale + mask) value, in memory linear in length.

    Args:
        query: (..., H, Q, D), float32 or float64, of any strides; copied only if features are no neighbours.
        key: (..., G, K, D), where G divides H: each of its heads serves H / G query heads in a row.
        value: (..., G, K, E).
        mask: boolean, True where a query may attend, or floating, added to the scores; broadcasts to (..., H, Q, K).
        causal: whether the query at position q sees only keys up to position q.
        scale: 1 / sqrt(D) when None.
        dropout: the probability with which weights are dropped; the others are divided by 1 - dropout.
        seed: a signed integer of 64 bits, says which: those that ``kernels.dropout`` drops in an array (..., H, Q, K).
        precision: "bfloat16" rounds the operands of both products in float32; see ``kernels.matmul``. Scores, their
            softmax and all sums stay float32.

    Returns:
        out (..., H, Q, E), in memory as (..., Q, H, E), and for the backward pass (..., H, Q, 2): each query's largest
        score, and the logarithm of the sum of exponentials relative to it. A query that may attend to nothing gets
        zeros, and -inf twice.

    Raises:
        TypeError: arrays that are neither float32 nor float64, or not the same; a mask of integers.
        ValueError: shapes that do not fit, a dropout or a seed out of range, an unknown precision.

    >>> x = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> out, _ = scaled_dot_product_attention(x, x, x, causal=True, scale=0.0)
    >>> out
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    call = _Call.of(query, key, value, mask, causal, scale, dropout, seed, precision)
    batch, heads, _, queries, _, _, width = call.sizes
    out = np.empty((batch, queries, heads, width), query.dtype).transpose(0, 2, 1, 3)
    normalizer = np.empty((batch, heads, queries, 2), query.dtype)
    if normalizer.size:
        call.run(forward, forward_regions, 1, (out,), normalizer)
    return call.restored(out), call.restored(normalizer)


def scaled_dot_product_attention_backward(
    g: np.ndarray,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    out: np.ndarray,
    normalizer: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: int = 0,
    precision: str | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``scaled_dot_product_attention`` with respect to query, key and value.

    Args:
        g: the gradient with respect to ``out``, of its shape and dtype.
        out, normalizer: what ``scaled_dot_product_attention`` gave for the other arguments.

    Returns:
        dquery, dkey, dvalue: in the shapes of query, key and value, in memory as (..., Q, H, D).
    """
    call = _Call.of(query, key, value, mask, causal, scale, dropout, seed, precision)
    check_floats(query=query, g=g, out=out, normalizer=normalizer)
    batch, heads, groups, queries, keys, features, width = call.sizes
    rows = (*call.lead, heads, queries)[-(call.ndim - 1) :]
    for name, array, last in (("g", g, width), ("out", out, width), ("normalizer", normalizer, 2)):
        check_shape(name, array, (*rows, last))
    shapes = ((batch, queries, heads, features), (batch, keys, groups, features), (batch, keys, groups, width))
    gradients = [np.zeros(shape, query.dtype).transpose(0, 2, 1, 3) for shape in shapes]
    if normalizer.size:
        given = (as_heads(g), as_heads(out))
        call.run(backward, backward_regions, 3, (*given, *gradients), np.ascontiguousarray(normalizer))
    return call.restored(gradients[0]), call.restored(gradients[1]), call.restored(gradients[2])


class _Call(NamedTuple):
    """The arguments of a call, checked and brought to four dimensions."""

    lead: tuple[int, ...]
    ndim: int
    sizes: tuple[int, ...]  # batch, heads of queries, heads of keys, queries, keys, features, width of values
    arrays: tuple[np.ndarray, ...]  # query, key, value
    mask: np.ndarray | None
    rule: tuple[int, int, int, int]  # causal?, kind of mask, dropout's limit for random bits, seed
    factors: tuple[float, float]  # scale of scores, and of weights that are not dropped
    precision: str | None

    @classmethod
    def of(
        cls,
        query: np.ndarray,
        key: np.ndarray,
        value: np.ndarray,
        mask: np.ndarray | None,
        causal: bool,
        scale: float | None,
        dropout: float,
        seed: int,
        precision: str | None,
    ) -> _Call:
        # Decoding's calls take but microseconds: errors are worded on demand.
        arrays = type(query) is type(key) is type(value) is np.ndarray
        if not arrays or not query.dtype == key.dtype == value.dtype or query.dtype not in FLOATS:
            check_floats(query=query, key=key, value=value)
        if scale is not None and type(scale) is not float:
            check_numbers(scale=scale)
        if precision is not None:
            check_precision(precision)
        if dropout != 0 or seed != 0:
            check_dropout(dropout, seed)
        ndim = max(query.ndim, key.ndim, value.ndim)
        if min(query.ndim, key.ndim, value.ndim) < 2:
            raise ValueError(f"query, key, value must be matrices; got {query.shape}, {key.shape}, {value.shape}")
        if query.shape[-1] != key.shape[-1]:
            raise ValueError(f"key must have the query's {query.shape[-1]} features; got shape {key.shape}")
        if key.shape[-2] != value.shape[-2]:
            raise ValueError(f"value must have the key's {key.shape[-2]} positions; got shape {value.shape}")
        lead = query.shape[:-3]
        if not (
            lead == key.shape[:-3] == value.shape[:-3]
            and query.shape[-3:-2] >= key.shape[-3:-2] == value.shape[-3:-2]  # as many heads or more
        ):
            query, key, value, lead = _broadcast(query, key, value)
        q, k, v = (as_heads(query), as_heads(key), as_heads(value))
        batch, heads, queries, features = q.shape
        groups, keys, width = v.shape[1:]
        if heads % groups if groups else heads:
            raise ValueError(f"key: its {groups} heads cannot serve {heads} query heads evenly")
        kind = NO_MASK
        if mask is not None:
            kind = BOOLEAN if mask.dtype == np.bool_ else ADDED
            mask = as_mask(mask, (*lead, heads, queries, keys), q.dtype)
        scale = features**-0.5 if scale is None else scale
        return cls(
            lead,
            ndim,
            (batch, heads, groups, queries, keys, features, width),
            (q, k, v),
            mask,
            (int(causal), kind, int(drop_below(dropout)) if dropout else 0, seed),
            (float(scale), 1 / (1 - dropout) if dropout < 1 else 0.0),
            precision,
        )

    def run(
        self,
        kernel: Callable[..., None],
        regions_of: Callable[..., tuple[int, ...]],
        products: int,
        others: tuple[np.ndarray, ...],
        normalizer: np.ndarray,
    ) -> None:
        """Call a kernel with its workspace and number of threads."""
        batch, heads, groups, queries, keys, features, width = self.sizes
        work = products * batch * heads * queries * (keys + 1) * (features + width + 1)
        parts = threads_for(work // 2 if self.rule[0] else work)
        units = batch * groups
        whole = units % parts == 0 or units >= 4 * parts
        dtype = normalizer.dtype
        packed = packed_dtype(dtype, self.precision)
        offsets = [0]  # of a thread's regions; the last one is the size of all
        for size in regions_of(self.sizes, TILE_VECTORS * lanes_of(dtype), whole, packed == dtype):
            offsets.append(offsets[-1] + -(-size // LINE) * LINE)
        buffer = workspace(dtype) if offsets[-1] <= THREAD_BUFFER else np.empty(offsets[-1] * parts, dtype)
        places = []
        for array in (*self.arrays, *others):
            places.append((id(array), *array.strides[:3]))
        mask = (0, 0, 0, 0) if self.mask is None else (id(self.mask), *self.mask.strides[:3])
        given = (self.sizes, tuple(places), mask, id(normalizer), self.rule, self.factors)
        kernel(given, (buffer, tuple(offsets), piece_entry(packed), np.empty(0, packed)), parts, whole)

    def restored(self, array: np.ndarray) -> np.ndarray:
        """A result (batch, heads, ...) with the dimensions that the arguments had."""
        if self.ndim == 4:
            return array
        return array.reshape(*self.lead, *array.shape[1:]) if self.ndim > 2 else array[0, 0]


def as_heads(array: np.ndarray) -> np.ndarray:
    """(batch, heads, length, features), the features being neighbours."""
    if array.ndim != 4:
        array = array.reshape(-1, *array.shape[-3:]) if array.ndim > 4 else array[(None,) * (4 - array.ndim)]
    return array if array.strides[3] == array.itemsize or array.shape[3] == 1 else np.ascontiguousarray(array)


def _broadcast(*arrays: np.ndarray) -> tuple[Any, ...]:
    """Query, key and value with common leading dimensions, keys with as many heads as values; and those dimensions."""
    shapes = [(1,) * (3 - array.ndim) + array.shape for array in arrays]
    try:
        lead = np.broadcast_shapes(*(shape[:-3] for shape in shapes))
        (groups,) = np.broadcast_shapes(*(shape[-3:-2] for shape in shapes[1:]))
    except ValueError:
        raise ValueError(f"shapes of query, key, value do not fit: {', '.join(str(a.shape) for a in arrays)}") from None
    heads = groups if shapes[0][-3] == 1 else shapes[0][-3]
    wide = [
        np.broadcast_to(array, (*lead, count, *array.shape[-2:]))
        for array, count in zip(arrays, (heads, groups, groups), strict=True)
    ]
    return *wide, lead


def as_mask(mask: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """(batch, heads, Q, K) with neighbouring keys, of booleans or the dtype of the scores; repeated, not copied."""
    if mask.dtype.kind not in "bf":
        raise TypeError(f"mask must be boolean or floating; got {mask.dtype}")
    if mask.dtype.kind == "f":
        mask = mask.astype(dtype, copy=False)
    if mask.ndim == 0 or mask.shape[-1] != shape[-1] or mask.strides[-1] != mask.itemsize:
        keys = mask.shape[-1] if mask.ndim and mask.shape[-1] != 1 else shape[-1]
        mask = np.ascontiguousarray(np.broadcast_to(mask, (*mask.shape[:-1], keys)))
    try:
        mask = np.broadcast_to(mask, shape)
    except ValueError:
        raise ValueError(f"mask must broadcast to {shape}; got {mask.shape}") from None
    return as_heads(mask)
