"""Paged attention: keys and values of many texts in one store, each text finding its own through a table.

    store   (slots, G, D)   the position of a text stands in any slot, and may be shared: by the beams of one source, by
    table   (B, K)          texts with the same beginning. To reorder, repeat or drop texts is to do so with the table.

Kwon et al., "Efficient memory management for large language model serving with PagedAttention", 2023; a page is one
position here. Decoding's queries are few, so that keys are read where they stand, each for one query at a time.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.attention.attention_scores import ADDED, BOOLEAN, NO_MASK, apply_mask
from minigrad.kernels.attention.scaled_dot_product import as_heads, as_mask
from minigrad.kernels.attention.weighted_sum import add_weighted_rows
from minigrad.kernels.compiling.arguments import FLOATS, check_arrays, check_floats, check_indices, check_shape
from minigrad.kernels.compiling.compiler import SUMS, kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.compiling.vector import address_of_array, address_of_id, array_at
from minigrad.kernels.elementwise.activations import tanh_of
from minigrad.kernels.elementwise.exponential import exp_nonpositive
from minigrad.kernels.products.few_rows import call_rows, rows_entry
from minigrad.kernels.rowwise.maximum import row_max

# Multiply-adds that one of these costs about as much as: keys come from memory, and serve one query at a time.
WORK = 4


def paged_attention(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    table: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    scale: float | None = None,
    softcap: float | None = None,
) -> np.ndarray:
    """softmax(query key^T scale + mask) value, where ``table`` says which keys and values are a text's.

    Args:
        query: (B, H, Q, D), float32 or float64, of any strides.
        keys: (slots, G, D), C-contiguous, where G divides H: each of its heads serves H / G query heads in a row. Of
            the query's dtype; or bfloat16 as the uint16 of its bits, with a float32 query.
        values: (slots, G, E), C-contiguous, of the keys' dtype.
        table: (B, K), int64: the slots of a text's positions, each of [0, slots).
        mask: boolean, True where a query may attend, or floating, added to the scores; broadcasts to (B, H, Q, K).
        scale: 1 / sqrt(D) when None.
        softcap: bound c of the scores, which become c · tanh(scores / c) before masks (Gemma 2, section 2).

    Returns:
        (B, H, Q, E), in memory as (B, Q, H, E). A query that may attend to nothing gets zeros.

    Raises:
        TypeError: arrays that are neither float32 nor float64, or not the same; a table or mask of another kind.
        ValueError: shapes that do not fit.
        IndexError: a slot that there is not.

    >>> store = np.array([[[1.0]], [[2.0]], [[4.0]]])
    >>> paged_attention(np.zeros((2, 1, 1, 1)), store, store, np.array([[0, 1], [2, 0]])).ravel()
    array([1.5, 2.5])
    """
    if not type(query) is type(keys) is type(values) is type(table) is np.ndarray:
        check_arrays(query=query, keys=keys, values=values, table=table)
    rounded = keys.dtype == values.dtype == np.uint16 and query.dtype == np.float32
    if not rounded and (not query.dtype == keys.dtype == values.dtype or query.dtype not in FLOATS):
        check_floats(query=query, keys=keys, values=values)
    batch, heads, queries, features = query.shape
    slots, groups, width = values.shape
    if keys.shape != (slots, groups, features):
        check_shape("keys", keys, (slots, groups, features))
    if not keys.flags.c_contiguous or not values.flags.c_contiguous:
        raise ValueError("keys, values must be C-contiguous")
    if heads % groups:
        raise ValueError(f"keys: its {groups} heads cannot serve {heads} query heads evenly")
    if table.ndim != 2 or len(table) != batch or table.dtype != np.int64:
        raise ValueError(f"table must be int64 of shape ({batch}, keys); got {table.dtype} {table.shape}")
    length = table.shape[1]
    out = np.empty((batch, queries, heads, width), query.dtype)
    kind = NO_MASK
    mask_place: tuple[int, ...] = (0, 0, 0, 0)
    if mask is not None:
        kind = BOOLEAN if mask.dtype == np.bool_ else ADDED
        mask = as_mask(mask, (batch, heads, queries, length), query.dtype)
        mask_place = (id(mask), *mask.strides[:3])
    query = as_heads(query)
    places = (id(query), *query.strides[:3]), mask_place
    parts = threads_for(WORK * batch * heads * queries * length * (features + width))
    scores = np.empty((parts, heads // groups * length), query.dtype)
    bounded = features**-0.5 if scale is None else float(scale), float(softcap or 0)
    entry = rows_entry(query.dtype, keys.dtype, query.dtype)
    if not _attend(places, kind, bounded, keys, values, np.ascontiguousarray(table), scores, out, entry, parts):
        check_indices("table", table, slots)
    return out.transpose(0, 2, 1, 3)


@kernel()
def _attend(places, kind, bounded, keys, values, table, scores, out, entry, parts):
    """False, and nothing computed, if the table names a slot that there is not."""
    for slots in table:
        for slot in slots:
            if not 0 <= slot < len(keys):
                return False
    in_parallel(parts, _attend_heads, (places, kind, bounded, keys, values, table, scores, out, entry))
    return True


@kernel()
def _attend_heads(part, parts, places, kind, bounded, keys, values, table, scores, out, entry):
    """One thread's part of the heads of all texts."""
    query, mask = places
    batch, queries, heads, width = out.shape
    _, groups, features = keys.shape
    store, sizes, scaling = (
        (address_of_array(keys), address_of_array(values), groups),
        (features, width),
        (out.dtype.type(bounded[0]), out.dtype.type(bounded[1])),
    )
    together = heads_together(batch * queries, heads, groups, parts)
    units = heads // together
    like, total = array_at(store[0], 0, keys), array_at(store[0], 0, out)
    first, last = share(batch * units, part, parts)
    for unit in range(first, last):
        example, head = unit // units, unit % units * together
        for row in range(queries):
            at, to = _row(query, example, head, row), address_of_array(out[example, row, head])
            hiding = kind, _row(mask, example, head, row) if kind != NO_MASK else 0, mask[2]
            wanted = at, query[2], to, width * out.itemsize, together
            group = head // (heads // groups)
            attend_queries(
                wanted, sizes, table[example], store, group, scores[part], hiding, scaling, like, total, entry
            )


@kernel()
def heads_together(queries, heads, groups, parts):
    """Number of heads that read keys together: those that share them, unless threads would be left without."""
    return heads // groups if queries * groups % parts == 0 or queries * groups >= 4 * parts else 1


@kernel()
def attend_queries(wanted, sizes, slots, store, group, scores, hiding, scaling, like, total, entry):
    """Attention of a few queries (R, D) that share a group's keys and values, in these slots: targets (R, E).

    ``wanted`` is the address of the first query, the stride of queries in bytes, the same of targets, and R; ``sizes``
    D and E; ``store`` the addresses of keys (slots, G, D) and values (slots, G, E), whose elements are ``like``'s, and
    G. ``hiding`` is the kind of a mask, the address of its row for the first query and the stride of rows; ``scaling``
    the factor of the scores and their bound, or 0. There is room for R · K scores. All else has ``total``'s elements.
    ``entry`` is ``rows_entry`` of these types.
    """
    (query, query_row, target, target_row, count), (features, width) = wanted, sizes
    (keys, values, groups), (kind, mask, mask_row) = store, hiding
    length, item = len(slots), total.itemsize
    at = address_of_array(scores)
    row, key_bytes, value_bytes = length * item, features * like.itemsize, width * like.itemsize
    start = 0
    while start < length:
        run, step = _run_of_slots(slots, start)
        place = keys + (slots[start] * groups + group) * key_bytes
        step *= groups * key_bytes
        likes = total, like, total
        call_rows(entry, count, run, features, query, query_row, place, step, at + start * item, row, likes)
        start += run
    for i in range(count):
        _weigh(scores[i * length : (i + 1) * length], kind, mask + i * mask_row, scaling)
        array_at(target + i * target_row, width, total)[:] = 0
    start = 0
    while start < length:
        run, step = _run_of_slots(slots, start)
        place = values + (slots[start] * groups + group) * value_bytes
        step *= groups * value_bytes
        add_weighted_rows(count, run, width, at + start * item, row, place, step, target, target_row, like, total)
        start += run


@kernel()
def _run_of_slots(slots, start):
    """Number of slots from ``start`` on with one distance, and that: a prompt's are neighbours, later ones a batch."""
    if start + 1 >= len(slots):
        return 1, 1
    step, stop = slots[start + 1] - slots[start], start + 2
    while stop < len(slots) and slots[stop] - slots[stop - 1] == step:
        stop += 1
    return stop - start, step


@kernel(fastmath=SUMS)
def _weigh(scores, kind, mask, scaling):
    """Weights of attention from products, in place: the softmax of what is scaled, bounded and masked."""
    factor, bound = scaling
    if bound:
        for k in range(len(scores)):
            scores[k] = bound * tanh_of(scores[k] * factor / bound)
    else:
        for k in range(len(scores)):
            scores[k] *= factor
    if kind != NO_MASK:
        apply_mask(kind, mask, scores)
    total = _exponentiate(scores)
    mean = 1 / total if total != 0 else total
    for k in range(len(scores)):
        scores[k] *= mean


@kernel(fastmath=SUMS)
def _exponentiate(scores):
    """Exponentials of scores relative to the largest, in place, and their sum; 0 where all are hidden."""
    top, total = row_max(scores), scores.dtype.type(0)
    if math.isinf(top):  # all weight is on +inf if there is one
        for k in range(len(scores)):
            if not math.isnan(scores[k]):
                scores[k] = top > 0 and scores[k] == top
            total += scores[k]
        return total
    for k in range(len(scores)):
        scores[k] = exp_nonpositive(scores[k] - top)
        total += scores[k]
    return total


@kernel()
def _row(place, example, head, row):
    return address_of_id(place[0]) + example * place[1] + head * place[2] + row * place[3]
