"""Scaled dot-product attention in tiles: scores are made, used and forgotten in cache, so memory is linear in length.

Forward, for a few queries at a time, along the keys (Dao et al., "FlashAttention", 2022, algorithm 1, with the running
maximum and sum of Milakov & Gimelshein, "Online normalizer calculation for softmax", 2018, algorithm 3):

                 keys ->                     scores  = scale Q K^T (+ mask)
             +------+------+--- -            weights = exp(scores - largest so far)
    queries  | tile | tile |                 total  += sum of weights                both first rescaled
             +------+------+--- -            sums   += weights V                     by how much largest grew

and in the end out = sums / total, logsumexp = largest + log(total). From that the backward pass makes each tile again
(Dao et al., algorithm 4), g being the gradient of out:

    weights = exp(scores - logsumexp)        dV += weights^T g      delta = sum(g * out) of each query
    dscores = weights (g V^T - delta)        dQ += dscores K        dK += dscores^T Q

Queries are packed with the scale. Of the tiles on the diagonal of causal attention only what is seen is multiplied.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.arguments import check_floats, check_shape
from minigrad.kernels.blocks import THREAD_ROOM, workspace
from minigrad.kernels.compiler import SUMS, kernel
from minigrad.kernels.dropouts import check_dropout, drop_below
from minigrad.kernels.exponential import exponential
from minigrad.kernels.parallel import in_parallel, share, threads_for
from minigrad.kernels.scores import (
    ADDED,
    BOOLEAN,
    NO_MASK,
    NOTHING,
    SOMETHING,
    apply_mask,
    copy_rows,
    drop,
    look,
    multiply_panels,
    pack_transposed,
    soften,
    strip_of,
)
from minigrad.kernels.tiles import TILE_ROWS, TILE_VECTORS
from minigrad.kernels.vector import address_of_array, address_of_id, array_at, lanes_of

# A tile's width in keys. The forward pass goes by TILE_ROWS queries, whose scores (12 kilobytes in float32) stay in the
# first-level cache. Backward goes by more, for its products sum over queries too; both of its tiles fit the second.
KEYS = 256
BACKWARD_KEYS = 128
BACKWARD_QUERIES = 6 * TILE_ROWS
# Reading rows in place costs less than laying them side by side for so few queries.
FEW_QUERIES = 8

_LINE = 16  # elements that regions of the workspace are rounded up to


def attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """softmax(query key^T scale + mask) value, without ever writing the scores out.

    Args:
        query: (..., H, Q, D), float32 or float64, of any strides; copied only if features are no neighbours.
        key: (..., G, K, D), where G divides H: each of its heads serves H / G query heads in a row.
        value: (..., G, K, E).
        mask: boolean, True where a query may attend, or floating, added to the scores; broadcasts to (..., H, Q, K).
        causal: whether the query at position q sees only keys up to position q.
        scale: 1 / sqrt(D) when None.
        dropout: the probability with which weights are dropped; the others are divided by 1 - dropout.
        seed: of [0, 2**63), says which. They are those that ``kernels.dropout`` drops in an array (..., H, Q, K).

    Returns:
        out (..., H, Q, E), in memory as (..., Q, H, E), and logsumexp (..., H, Q) of the scores for the backward pass.
        A query that may attend to nothing gets zeros, and logsumexp -inf.

    Raises:
        TypeError: arrays that are neither float32 nor float64, or not the same; a mask of integers.
        ValueError: shapes that do not fit, a dropout or a seed out of range.

    >>> x = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> out, _ = attention(x, x, x, causal=True, scale=0.0)
    >>> out
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    call = _Call.of(query, key, value, mask, causal, scale, dropout, seed)
    batch, heads, _, queries, _, _, width = call.sizes
    out = np.empty((batch, queries, heads, width), query.dtype).transpose(0, 2, 1, 3)
    logsumexp = np.empty((batch, heads, queries), query.dtype)
    if logsumexp.size:
        call.run(_forward, _forward_regions, 1, (out,), logsumexp)
    return call.restored(out), call.restored(logsumexp)


def attention_backward(
    g: np.ndarray,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    out: np.ndarray,
    logsumexp: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``attention`` with respect to query, key and value.

    Args:
        g: the gradient with respect to ``out``, of its shape and dtype.
        out, logsumexp: what ``attention`` gave for the other arguments.

    Returns:
        dquery, dkey, dvalue: in the shapes of query, key and value, in memory as (..., Q, H, D).
    """
    call = _Call.of(query, key, value, mask, causal, scale, dropout, seed)
    check_floats(query=query, g=g, out=out, logsumexp=logsumexp)
    check_shape("g", g, out.shape)
    batch, heads, groups, queries, keys, features, width = call.sizes
    shapes = ((batch, queries, heads, features), (batch, keys, groups, features), (batch, keys, groups, width))
    gradients = [np.zeros(shape, query.dtype).transpose(0, 2, 1, 3) for shape in shapes]
    if logsumexp.size:
        given = [_with_near_features(_as_heads(array)) for array in (g, out)]
        call.run(_backward, _backward_regions, 3, (*given, *gradients), np.ascontiguousarray(logsumexp))
    dquery, dkey, dvalue = (call.restored(gradient) for gradient in gradients)
    return dquery, dkey, dvalue


class _Call(NamedTuple):
    """The arguments of a call, checked and brought to four dimensions."""

    lead: tuple[int, ...]
    ndim: int
    sizes: tuple[int, ...]  # batch, heads of queries, heads of keys, queries, keys, features, width of values
    arrays: tuple[np.ndarray, ...]  # query, key, value
    mask: np.ndarray | None
    rule: tuple[int, int, int, int]  # causal?, kind of mask, dropout's limit for random bits, seed
    factors: tuple[float, float]  # scale of scores, and of weights that are not dropped

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
    ) -> _Call:
        check_floats(query=query, key=key, value=value)
        check_dropout(dropout, seed)
        ndim = max(query.ndim, key.ndim, value.ndim)
        if min(query.ndim, key.ndim, value.ndim) < 2:
            raise ValueError(f"query, key, value must be matrices; got {query.shape}, {key.shape}, {value.shape}")
        if query.shape[-1] != key.shape[-1]:
            raise ValueError(f"key must have the query's {query.shape[-1]} features; got shape {key.shape}")
        if key.shape[-2] != value.shape[-2]:
            raise ValueError(f"value must have the key's {key.shape[-2]} positions; got shape {value.shape}")
        lead = query.shape[:-3]
        if not (lead == key.shape[:-3] == value.shape[:-3] and key.shape[-3:-2] == value.shape[-3:-2]):
            query, key, value, lead = _broadcast(query, key, value)
        q, k, v = (_with_near_features(_as_heads(array)) for array in (query, key, value))
        batch, heads, queries, features = q.shape
        groups, keys, width = v.shape[1:]
        if groups == 0 or heads % groups:
            raise ValueError(f"key: its {groups} heads cannot serve {heads} query heads evenly")
        kind = NO_MASK
        if mask is not None:
            kind = BOOLEAN if mask.dtype == np.bool_ else ADDED
            mask = _as_mask(mask, (*lead, heads, queries, keys), q.dtype)
        scale = features**-0.5 if scale is None else scale
        return cls(
            lead,
            ndim,
            (batch, heads, groups, queries, keys, features, width),
            (q, k, v),
            mask,
            (int(causal), kind, int(drop_below(dropout)) if dropout else 0, seed),
            (float(scale), 1 / (1 - dropout) if dropout < 1 else 0.0),
        )

    def run(
        self,
        kernel: Callable[..., None],
        regions_of: Callable[..., tuple[int, ...]],
        products: int,
        others: tuple[np.ndarray, ...],
        logsumexp: np.ndarray,
    ) -> None:
        """Call a kernel with the workspace that it needs, on as many threads as are worth it."""
        batch, heads, groups, queries, keys, features, width = self.sizes
        work = products * batch * heads * queries * (keys + 1) * (features + width + 1)
        parts = threads_for(work // 2 if self.rule[0] else work)
        units = batch * groups
        whole = units % parts == 0 or units >= 4 * parts
        dtype = logsumexp.dtype
        regions = regions_of(self.sizes, TILE_VECTORS * lanes_of(dtype), whole)
        need = sum(regions)
        room = workspace(dtype) if need <= THREAD_ROOM else np.empty(need * parts, dtype)
        places = tuple((id(array), *array.strides[:3]) for array in (*self.arrays, *others))
        mask = (0, 0, 0, 0) if self.mask is None else (id(self.mask), *self.mask.strides[:3])
        kernel(self.sizes, places, mask, id(logsumexp), self.rule, self.factors, room, regions, parts, whole)

    def restored(self, array: np.ndarray) -> np.ndarray:
        """A result (batch, heads, ...) with the dimensions that the arguments had."""
        if self.ndim == 4:
            return array
        return array.reshape(*self.lead, *array.shape[1:]) if self.ndim > 2 else array[0, 0]


def _as_heads(array: np.ndarray) -> np.ndarray:
    """(batch, heads, length, features)."""
    if array.ndim == 4:
        return array
    return array.reshape(-1, *array.shape[-3:]) if array.ndim > 4 else array[(None,) * (4 - array.ndim)]


def _with_near_features(array: np.ndarray) -> np.ndarray:
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


def _as_mask(mask: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
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
    return _as_heads(mask)


def _rounded(size: int, step: int) -> int:
    return -(-size // step) * step


def _forward_regions(sizes: tuple[int, ...], strip: int, whole_heads: bool) -> tuple[int, ...]:
    """Elements of a thread's workspace: packed keys and values; scores, queries, sums; largest and total."""
    *_, keys, features, width = sizes
    columns = _rounded(keys, strip)
    tile = (TILE_ROWS * KEYS, TILE_ROWS * features, TILE_ROWS * width, 2 * TILE_ROWS)
    return tuple(_rounded(size, _LINE) for size in (columns * features, keys * width, *tile))


@kernel()
def _forward(sizes, places, mask, logsumexp, rule, factors, room, regions, parts, whole_heads):
    in_parallel(parts, _attend, (sizes, places, mask, logsumexp, rule, factors, room, regions, whole_heads))


@kernel()
def _attend(part, parts, sizes, places, mask, logsumexp, rule, factors, room, regions, whole_heads):
    """One thread's part: whole heads of keys, or of all heads every so manieth tile of queries."""
    batch, heads, groups, queries, keys, features, width = sizes
    item, serves = room.itemsize, heads // groups
    keys_at = _region(part, 0, regions, room)
    first, last, start, step = 0, batch * groups, part, parts
    if whole_heads:
        first, last = share(batch * groups, part, parts)
        start, step = 0, 1
    for unit in range(first, last):
        example, group = unit // groups, unit % groups
        pack_transposed(keys, features, _head(places[1], example, group), places[1][3], keys_at, room)
        values, value_row = _near_rows(
            keys, width, _head(places[2], example, group), places[2][3], queries * serves, part, 1, regions, room
        )
        for head in range(group * serves, (group + 1) * serves):
            for top in range(start * TILE_ROWS, queries, step * TILE_ROWS):
                _attend_rows(
                    example, head, top, sizes, places, mask, logsumexp, rule, factors, keys_at, values, value_row, part,
                    regions, room,
                )


@kernel()
def _attend_rows(
    example, head, top, sizes, places, mask, logsumexp, rule, factors, keys_at, values, value_row, part, regions, room
):
    """A few queries from ``top`` on."""
    _, heads, _, queries, keys, features, width = sizes
    causal, kind, below, seed = rule
    item, strip, rows = room.itemsize, strip_of(room), min(TILE_ROWS, queries - top)
    number = (example * heads + head) * queries + top
    scores, packed, sums, state = (_region(part, 2, regions, room), _region(part, 3, regions, room), _region(part, 4, regions, room), _region(part, 5, regions, room))
    largest, total = array_at(state, rows, room), array_at(state + TILE_ROWS * item, rows, room)
    largest[:] = -math.inf
    total[:] = 0
    array_at(sums, rows * width, room)[:] = 0
    copy_rows(rows, features, _head(places[0], example, head) + top * places[0][3], places[0][3], packed, features * item, factors[0], room)
    reach = min(keys, top + rows) if causal else keys
    for left in range(0, reach, KEYS):
        columns = min(KEYS, reach - left)
        mask_at = _mask_tile(mask, kind, example, head, top, left, item)
        seen = look(kind, mask_at, mask[3], rows, columns)
        if seen == NOTHING:
            continue
        multiply_panels(
            rows, columns, features, packed, features * item, item,
            keys_at + left * features * item, strip * features * item, strip * item, scores, KEYS * item, 0, room,
        )
        for r in range(rows):
            line = array_at(scores + r * KEYS * item, columns, room)
            own = max(0, min(columns, top + r + 1 - left)) if causal else columns
            if seen == SOMETHING:
                apply_mask(kind, mask_at + r * mask[3], line[:own])
            largest[r], total[r], factor = soften(line, own, largest[r], total[r])
            if below > 0:
                drop(line[:own], seed, number + r, left, below, factors[1])
            if factor != 1:
                weighted = array_at(sums + r * width * item, width, room)
                for i in range(width):
                    weighted[i] *= factor
        multiply_panels(
            rows, width, columns, scores, KEYS * item, item,
            values + left * value_row, strip * item, value_row, sums, width * item, 1, room,
        )
    out, out_row = _head(places[3], example, head) + top * places[3][3], places[3][3]
    logarithms = array_at(address_of_id(logsumexp) + number * item, rows, room)
    for r in range(rows):
        logarithms[r] = largest[r] + math.log(total[r])
        mean = 1 / total[r] if total[r] != 0 else 0.0
        copy_rows(1, width, sums + r * width * item, 0, out + r * out_row, 0, mean, room)


def _backward_regions(sizes: tuple[int, ...], strip: int, whole_heads: bool) -> tuple[int, ...]:
    """As for forward: keys and values transposed, keys; weights, dscores, queries, g, dqueries, delta; own dK and dV."""
    *_, keys, features, width = sizes
    columns, tile = _rounded(keys, strip), BACKWARD_QUERIES * BACKWARD_KEYS
    packed = (columns * features, columns * width, keys * features)
    rows = tuple(BACKWARD_QUERIES * size for size in (features, width, features, 1))
    own = (0, 0) if whole_heads else (keys * features, keys * width)
    return tuple(_rounded(size, _LINE) for size in (*packed, tile, tile, *rows, *own))


@kernel()
def _backward(sizes, places, mask, logsumexp, rule, factors, room, regions, parts, whole_heads):
    units = sizes[0] * sizes[2]
    if whole_heads:
        in_parallel(
            parts, _differentiate, (-1, sizes, places, mask, logsumexp, rule, factors, room, regions)
        )
    else:
        for unit in range(units):
            in_parallel(
                parts, _differentiate, (unit, sizes, places, mask, logsumexp, rule, factors, room, regions)
            )
            in_parallel(parts, _add_up, (unit, sizes, places, room, regions))


@kernel()
def _differentiate(part, parts, shared_unit, sizes, places, mask, logsumexp, rule, factors, room, regions):
    """One thread's part: whole heads of keys, or every so manieth tile of queries of a shared one."""
    batch, heads, groups, queries, keys, features, width = sizes
    item, serves = room.itemsize, heads // groups
    keys_at, values_at = _region(part, 0, regions, room), _region(part, 1, regions, room)
    first, last = share(batch * groups, part, parts)
    start, step = 0, 1
    if shared_unit >= 0:
        first, last, start, step = shared_unit, shared_unit + 1, part, parts
    for unit in range(first, last):
        example, group = unit // groups, unit % groups
        k, v = _head(places[1], example, group), _head(places[2], example, group)
        pack_transposed(keys, features, k, places[1][3], keys_at, room)
        pack_transposed(keys, width, v, places[2][3], values_at, room)
        rows_at, key_row = _near_rows(keys, features, k, places[1][3], queries * serves, part, 2, regions, room)
        dkeys, dkey_row = _head(places[6], example, group), places[6][3]
        dvalues, dvalue_row = _head(places[7], example, group), places[7][3]
        if shared_unit >= 0:
            dkeys, dkey_row = _region(part, 9, regions, room), features * item
            dvalues, dvalue_row = _region(part, 10, regions, room), width * item
            array_at(dkeys, keys * features, room)[:] = 0
            array_at(dvalues, keys * width, room)[:] = 0
        for head in range(group * serves, (group + 1) * serves):
            for top in range(start * BACKWARD_QUERIES, queries, step * BACKWARD_QUERIES):
                _differentiate_rows(
                    example, head, top, sizes, places, mask, logsumexp, rule, factors, keys_at, values_at,
                    rows_at, key_row, dkeys, dkey_row, dvalues, dvalue_row, part, regions, room,
                )


@kernel(fastmath=SUMS)
def _differentiate_rows(
    example, head, top, sizes, places, mask, logsumexp, rule, factors, keys_at, values_at, rows_at, key_row,
    dkeys, dkey_row, dvalues, dvalue_row, part, regions, room,
):
    """What some queries from ``top`` on contribute to all gradients."""
    _, heads, _, queries, keys, features, width = sizes
    causal, kind, below, seed = rule
    item, strip, rows = room.itemsize, strip_of(room), min(BACKWARD_QUERIES, queries - top)
    number = (example * heads + head) * queries + top
    tile_row = BACKWARD_KEYS * item
    weights, dscores = _region(part, 3, regions, room), _region(part, 4, regions, room)
    packed, g = _region(part, 5, regions, room), _region(part, 6, regions, room)
    dqueries = _region(part, 7, regions, room)
    delta = array_at(_region(part, 8, regions, room), rows, room)
    logarithms = array_at(address_of_id(logsumexp) + number * item, rows, room)
    copy_rows(rows, features, _head(places[0], example, head) + top * places[0][3], places[0][3], packed, features * item, factors[0], room)
    copy_rows(rows, width, _head(places[3], example, head) + top * places[3][3], places[3][3], g, width * item, 1.0, room)
    array_at(dqueries, rows * features, room)[:] = 0
    out = _head(places[4], example, head) + top * places[4][3]
    for r in range(rows):
        given, result = array_at(g + r * width * item, width, room), array_at(out + r * places[4][3], width, room)
        total = room.dtype.type(0)
        for i in range(width):
            total += given[i] * result[i]
        delta[r] = total
    reach = min(keys, top + rows) if causal else keys
    for left in range(0, reach, BACKWARD_KEYS):
        columns = min(BACKWARD_KEYS, reach - left)
        mask_at = _mask_tile(mask, kind, example, head, top, left, item)
        seen = look(kind, mask_at, mask[3], rows, columns)
        if seen == NOTHING:
            continue
        for row in range(0, rows, TILE_ROWS):
            height = min(TILE_ROWS, rows - row)
            wide = min(columns, top + row + height - left) if causal else columns
            if wide <= 0:
                continue
            multiply_panels(
                height, wide, features, packed + row * features * item, features * item, item,
                keys_at + left * features * item, strip * features * item, strip * item,
                weights + row * tile_row, tile_row, 0, room,
            )
            multiply_panels(
                height, wide, width, g + row * width * item, width * item, item,
                values_at + left * width * item, strip * width * item, strip * item,
                dscores + row * tile_row, tile_row, 0, room,
            )
            for r in range(row, row + height):
                own = max(0, min(columns, top + r + 1 - left)) if causal else columns
                weight = array_at(weights + r * tile_row, columns, room)
                dscore = array_at(dscores + r * tile_row, columns, room)
                weight[own:] = 0
                dscore[own:] = 0
                weight, dscore = weight[:own], dscore[:own]
                if logarithms[r] == -math.inf:
                    weight[:] = 0
                    dscore[:] = 0
                    continue
                if seen == SOMETHING:
                    apply_mask(kind, mask_at + r * mask[3], weight)
                if below > 0:
                    drop(dscore, seed, number + r, left, below, factors[1])
                for i in range(own):
                    weight[i] = exponential(weight[i] - logarithms[r])
                for i in range(own):
                    dscore[i] = weight[i] * (dscore[i] - delta[r])
                if below > 0:
                    drop(weight, seed, number + r, left, below, factors[1])
            multiply_panels(
                height, features, wide, dscores + row * tile_row, tile_row, item,
                rows_at + left * key_row, strip * item, key_row, dqueries + row * features * item, features * item, 1, room,
            )
        for column in range(0, columns, TILE_ROWS):
            height = min(TILE_ROWS, columns - column)
            # The first tile of queries with one that sees any of these keys.
            unseen = max(0, left + column - top) // TILE_ROWS * TILE_ROWS if causal else 0
            multiply_panels(
                height, width, rows - unseen, weights + unseen * tile_row + column * item, item, tile_row,
                g + unseen * width * item, strip * item, width * item,
                dvalues + (left + column) * dvalue_row, dvalue_row, 1, room,
            )
            multiply_panels(
                height, features, rows - unseen, dscores + unseen * tile_row + column * item, item, tile_row,
                packed + unseen * features * item, strip * item, features * item,
                dkeys + (left + column) * dkey_row, dkey_row, 1, room,
            )
    copy_rows(rows, features, dqueries, features * item, _head(places[5], example, head) + top * places[5][3], places[5][3], factors[0], room)


@kernel()
def _add_up(part, parts, unit, sizes, places, room, regions):
    """The sum of all threads' dK and dV of a shared head."""
    _, _, groups, _, keys, features, width = sizes
    first, last = share(keys, part, parts)
    for which, size, region in ((6, features, 9), (7, width, 10)):
        target = _head(places[which], unit // groups, unit % groups)
        for row in range(first, last):
            total = array_at(target + row * places[which][3], size, room)
            for other in range(parts):
                own = array_at(_region(other, region, regions, room) + row * size * room.itemsize, size, room)
                for i in range(size):
                    total[i] += own[i]


@kernel()
def _head(place, example, head):
    """The address of a head: ``place`` has the id of an array and its strides."""
    return address_of_id(place[0]) + example * place[1] + head * place[2]


@kernel()
def _mask_tile(mask, kind, example, head, top, left, item):
    if kind == NO_MASK:
        return 0
    return _head(mask, example, head) + top * mask[3] + left * (item if kind == ADDED else 1)


@kernel()
def _region(part, index, regions, room):
    """The address of a region of a thread's workspace."""
    before, all_regions = 0, 0
    for number in range(len(regions)):
        before += regions[number] if number < index else 0
        all_regions += regions[number]
    return address_of_array(room) + (part * all_regions + before) * room.itemsize


@kernel()
def _near_rows(rows, columns, source, source_row, uses, part, region, regions, room):
    """Where rows lie side by side, and how far apart: in place, unless packing them pays."""
    near = columns * room.itemsize
    if source_row == near or uses <= FEW_QUERIES:
        return source, source_row
    target = _region(part, region, regions, room)
    copy_rows(rows, columns, source, source_row, target, near, 1.0, room)
    return target, near
