"""FlashAttention: scaled dot-product attention in tiles that never leave the cache, with memory linear in length.

Forward, for a few queries at a time, along the keys (Dao et al., "FlashAttention", 2022, algorithm 1, with the running
maximum and sum of Milakov & Gimelshein, "Online normalizer calculation for softmax", 2018, algorithm 3):

                 keys ->                     scores  = scale Q K^T (+ mask)
             +------+------+--- -            weights = exp(scores - largest so far)
    queries  | tile | tile |                 total  += sum of weights                both first rescaled
             +------+------+--- -            sums   += weights V                     by how much largest grew

and in the end out = sums / total. From the normalizer, largest and log(total), which are not added up because their sum
would be rounded, the backward pass makes each tile again (Dao et al., algorithm 4), g being the gradient of out:

    weights = exp(scores - largest - log(total))       dV += weights^T g      delta = sum(g * out) of each query
    dscores = weights (g V^T - delta)                  dQ += dscores K        dK += dscores^T Q

Queries are packed with the scale. Products take their operands in the format of the array ``form``: as they are, or
packed and rounded to bfloat16; the rest is of the arrays' dtype. Of the tiles on the diagonal of causal attention only
visible columns are multiplied.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

from minigrad.kernels.attention.attention_scores import (
    ADDED,
    NO_MASK,
    NOTHING,
    SOMETHING,
    apply_mask,
    copy_rows,
    dropout_row,
    mask_coverage,
    multiply_panels,
    online_softmax,
)
from minigrad.kernels.attention.online_softmax import softmax_backward_row
from minigrad.kernels.compiling.compiler import SUMS, kernel
from minigrad.kernels.compiling.linking import call_at
from minigrad.kernels.compiling.parallel import in_parallel, share
from minigrad.kernels.compiling.vector import address_of_array, address_of_id, array_at
from minigrad.kernels.products.blocking import multiply_piece
from minigrad.kernels.products.packing import lane_bytes, lane_steps, pack_b, panel_width
from minigrad.kernels.products.register_tile import TILE_ROWS

# A tile's width in keys. The forward pass goes by TILE_ROWS queries, whose scores (12 kilobytes in float32) stay in the
# first-level cache. Backward goes by more, for its products sum over queries too, and read all keys once for each block
# of queries; its two tiles (66 kilobytes each) stay in the second level.
KEYS = 256
BACKWARD_KEYS = 128
BACKWARD_QUERIES = 11 * TILE_ROWS
# Reading rows in place costs less than packing them for so few queries.
FEW_QUERIES = 8

LINE = 16  # elements that regions of the workspace are rounded up to


def rounded(size: int, step: int) -> int:
    return -(-size // step) * step


def forward_regions(sizes: tuple[int, ...], strip: int, whole_heads: bool, exact: bool) -> tuple[int, ...]:
    """Elements of a thread's workspace.

    Keys transposed, values; scores, scaled queries, sums; largest, total, factor; a packed left operand.
    """
    *_, keys, features, width = sizes
    tile = (TILE_ROWS * KEYS, TILE_ROWS * features, TILE_ROWS * width, TILE_ROWS, TILE_ROWS, TILE_ROWS)
    left = 0 if exact else TILE_ROWS * max(KEYS, features)
    return rounded(keys, strip) * features, keys * rounded(width, strip), *tile, left


@kernel()
def forward(given, store, parts, whole_heads):
    in_parallel(parts, _attend, (given, store, whole_heads))


@kernel()
def _attend(part, parts, given, store, whole_heads):
    """One thread's part: whole heads of keys, or every ``parts``-th tile of queries of all heads."""
    (batch, heads, groups, queries, keys, features, width), (_, k, v, _), _, _, _, _ = given
    buffer, offsets, _, form = store
    own = address_of_array(buffer) + part * offsets[-1] * buffer.itemsize
    first, last, start, step = 0, batch * groups, part, parts
    if whole_heads:
        first, last = share(batch * groups, part, parts)
        start, step = 0, 1
    serves = heads // groups
    for unit in range(first, last):
        example, group = unit // groups, unit % groups
        keys_at = _keys(keys, features, _head(k, example, group), k[3], queries * serves, own, form)
        near_values = own + offsets[1] * buffer.itemsize
        values = _rows(keys, width, _head(v, example, group), v[3], queries * serves, near_values, buffer, form)
        for head in range(group * serves, (group + 1) * serves):
            for top in range(start * TILE_ROWS, queries, step * TILE_ROWS):
                _attend_rows(example, head, top, given, store, own, keys_at, values)


@kernel()
def _attend_rows(example, head, top, given, store, own, keys_at, values):
    """Forward pass of a tile of queries, from ``top`` on."""
    (_, heads, _, queries, keys, features, width), (q, _, _, out), mask, normalizer, rule, factors = given
    causal, kind, below, seed = rule
    buffer, offsets, product, form = store
    item, strip, rows = buffer.itemsize, panel_width(buffer), min(TILE_ROWS, queries - top)
    scores, scaled, sums = own + offsets[2] * item, own + offsets[3] * item, own + offsets[4] * item
    largest, total, factor = own + offsets[5] * item, own + offsets[6] * item, own + offsets[7] * item
    packed = own + offsets[8] * item
    scaling = array_at(factor, rows, buffer)
    array_at(largest, rows, buffer)[:] = -math.inf
    array_at(total, rows, buffer)[:] = 0
    array_at(sums, rows * width, buffer)[:] = 0
    copy_rows(rows, features, _row(q, example, head, top), q[3], scaled, features * item, factors[0], buffer)
    number = (example * heads + head) * queries + top
    reach = min(keys, top + rows) if causal else keys
    for left in range(0, reach, KEYS):
        columns = min(KEYS, reach - left)
        hides = _mask_tile(mask, kind, example, head, top, left, item)
        seen = mask_coverage(kind, hides, mask[3], rows, columns)
        if seen == NOTHING:
            continue
        _score(rows, columns, features, scaled, keys_at, left, scores, KEYS * item, product, packed, form)
        wide = (columns + strip - 1) // strip * strip
        for r in range(rows):
            visible = max(0, min(columns, top + r + 1 - left)) if causal else columns
            line = array_at(scores + r * KEYS * item, wide, buffer)
            line[visible:] = -math.inf
            if seen == SOMETHING:
                apply_mask(kind, hides + r * mask[3], line[:visible])
        online_softmax(rows, wide, scores, KEYS * item, largest, total, factor, buffer)
        for r in range(rows):
            if below > 0:
                line = array_at(scores + r * KEYS * item, wide, buffer)
                dropout_row(line, seed, number + r, left, below, factors[1])
            if scaling[r] != 1:
                at = sums + r * width * item
                copy_rows(1, width, at, 0, at, 0, scaling[r], buffer)
        b, c = _from_row(values, left, form), (sums, width * item, 1, packed, form)
        multiply_panels(product, rows, width, columns, scores, KEYS * item, item, *b, *c)
    normalizers = array_at(address_of_id(normalizer) + 2 * number * item, 2 * rows, buffer)
    tops, totals = array_at(largest, rows, buffer), array_at(total, rows, buffer)
    for r in range(rows):
        normalizers[2 * r], normalizers[2 * r + 1] = tops[r], math.log(totals[r])
        mean = 1 / totals[r] if totals[r] != 0 else 0.0
        copy_rows(1, width, sums + r * width * item, 0, _row(out, example, head, top + r), 0, mean, buffer)


def backward_regions(sizes: tuple[int, ...], strip: int, whole_heads: bool, exact: bool) -> tuple[int, ...]:
    """Elements of a thread's workspace.

    Keys and values transposed, keys; weights, dscores; scaled queries, g, dqueries, delta; own dkeys and dvalues; a
    packed left operand, packed queries and g.
    """
    *_, keys, features, width = sizes
    columns, tile = rounded(keys, strip), BACKWARD_QUERIES * BACKWARD_KEYS
    rows = (BACKWARD_QUERIES * size for size in (features, width, features, 1))
    own = (0, 0) if whole_heads else (keys * features, keys * width)
    packed: tuple[int, ...] = (0, 0, 0)
    if not exact:
        longest = max(BACKWARD_QUERIES, BACKWARD_KEYS, features, width)
        right = (BACKWARD_QUERIES * rounded(size, strip) for size in (features, width))
        packed = (TILE_ROWS * longest, *right)
    return columns * features, columns * width, keys * rounded(features, strip), tile, tile, *rows, *own, *packed


@kernel()
def backward(given, store, parts, whole_heads):
    if whole_heads:
        in_parallel(parts, _differentiate, (given, store, -1))
        return
    for unit in range(given[0][0] * given[0][2]):
        in_parallel(parts, _differentiate, (given, store, unit))
        in_parallel(parts, _add_up, (given, store, unit))


@kernel()
def _differentiate(part, parts, given, store, shared):
    """One thread's part: whole heads of keys, or every ``parts``-th tile of queries of the ``shared`` one."""
    (batch, heads, groups, queries, keys, features, width), (_, k, v, _, _, _, dk, dv), _, _, _, _ = given
    buffer, offsets, _, form = store
    item = buffer.itemsize
    own = address_of_array(buffer) + part * offsets[-1] * item
    first, last = share(batch * groups, part, parts)
    start, step = 0, 1
    if shared >= 0:
        first, last, start, step = shared, shared + 1, part, parts
    serves = heads // groups
    for unit in range(first, last):
        example, group = unit // groups, unit % groups
        k_at, v_at = _head(k, example, group), _head(v, example, group)
        keys_at = _keys(keys, features, k_at, k[3], queries * serves, own, form)
        pack_b(keys, width, v_at, v[3], item, own + offsets[1] * item, form)
        near = _rows(keys, features, k_at, k[3], queries * serves, own + offsets[2] * item, buffer, form)
        dkeys, dvalues = (_head(dk, example, group), dk[3]), (_head(dv, example, group), dv[3])
        if shared >= 0:
            dkeys, dvalues = (own + offsets[9] * item, features * item), (own + offsets[10] * item, width * item)
            array_at(dkeys[0], keys * features, buffer)[:] = 0
            array_at(dvalues[0], keys * width, buffer)[:] = 0
        for head in range(group * serves, (group + 1) * serves):
            for top in range(start * BACKWARD_QUERIES, queries, step * BACKWARD_QUERIES):
                _differentiate_rows(example, head, top, given, store, own, keys_at, near, dkeys, dvalues)


@kernel()
def _differentiate_rows(example, head, top, given, store, own, keys_at, near, dkeys, dvalues):
    """Backward pass of a tile of queries, from ``top`` on: its summands of all gradients."""
    (_, heads, _, queries, keys, features, width), (q, _, _, g, out, dq, _, _), mask, normalizer, rule, factors = given
    causal, kind, below, seed = rule
    buffer, offsets, product, form = store
    item, strip, rows = buffer.itemsize, panel_width(buffer), min(BACKWARD_QUERIES, queries - top)
    tile_row, q_row, g_row = BACKWARD_KEYS * item, features * item, width * item
    weights, dscores = own + offsets[3] * item, own + offsets[4] * item
    packed_q, packed_g, dqueries = own + offsets[5] * item, own + offsets[6] * item, own + offsets[7] * item
    delta, packed = array_at(own + offsets[8] * item, rows, buffer), own + offsets[11] * item
    number = (example * heads + head) * queries + top
    normalizers = array_at(address_of_id(normalizer) + 2 * number * item, 2 * rows, buffer)
    copy_rows(rows, features, _row(q, example, head, top), q[3], packed_q, q_row, factors[0], buffer)
    copy_rows(rows, width, _row(g, example, head, top), g[3], packed_g, g_row, 1.0, buffer)
    near_q = _rows(rows, features, packed_q, q_row, rows, own + offsets[12] * item, buffer, form)
    near_g = _rows(rows, width, packed_g, g_row, rows, own + offsets[13] * item, buffer, form)
    array_at(dqueries, rows * features, buffer)[:] = 0
    for r in range(rows):
        changes = array_at(packed_g + r * g_row, width, buffer)
        delta[r] = _dot(changes, array_at(_row(out, example, head, top + r), width, buffer))
    reach = min(keys, top + rows) if causal else keys
    for left in range(0, reach, BACKWARD_KEYS):
        columns = min(BACKWARD_KEYS, reach - left)
        hides = _mask_tile(mask, kind, example, head, top, left, item)
        seen = mask_coverage(kind, hides, mask[3], rows, columns)
        if seen == NOTHING:
            continue
        for row in range(0, rows, TILE_ROWS):
            height = min(TILE_ROWS, rows - row)
            wide = min(columns, top + row + height - left) if causal else columns
            if wide <= 0:
                continue
            tile = weights + row * tile_row, tile_row
            _score(height, wide, features, packed_q + row * q_row, keys_at, left, *tile, product, packed, form)
            value = lane_steps(width, form) * item
            a, b = (packed_g + row * g_row, g_row, item), (own + offsets[1] * item + left * value, strip * value)
            c = (dscores + row * tile_row, tile_row, 0, packed, form)
            multiply_panels(product, height, wide, width, *a, *b, strip * item, *c)
            padded = (wide + strip - 1) // strip * strip
            for r in range(row, row + height):
                visible = max(0, min(columns, top + r + 1 - left)) if causal else columns
                weight = array_at(weights + r * tile_row, BACKWARD_KEYS, buffer)
                dscore = array_at(dscores + r * tile_row, BACKWARD_KEYS, buffer)
                weight[visible:padded] = -math.inf
                dscore[visible:padded] = 0
                if seen == SOMETHING:
                    apply_mask(kind, hides + r * mask[3], weight[:visible])
                if below > 0:
                    dropout_row(dscore[:padded], seed, number + r, left, below, factors[1])
                largest, logarithm = normalizers[2 * r], normalizers[2 * r + 1]
                if largest == -math.inf:  # weights are 0 for a query with nothing to attend
                    largest, logarithm = buffer.dtype.type(math.inf), buffer.dtype.type(0)
                row_at, changes_at = weights + r * tile_row, dscores + r * tile_row
                softmax_backward_row(padded, row_at, changes_at, largest, logarithm, delta[r], buffer)
                if below > 0:
                    dropout_row(weight[:padded], seed, number + r, left, below, factors[1])
                if causal:
                    # A tile of keys, below, may reach farther than these queries do.
                    weight[padded : padded + TILE_ROWS] = 0
                    dscore[padded : padded + TILE_ROWS] = 0
            a, b = (dscores + row * tile_row, tile_row, item), _from_row(near, left, form)
            c = (dqueries + row * q_row, q_row, 1, packed, form)
            multiply_panels(product, height, features, wide, *a, *b, *c)
        for column in range(0, columns, TILE_ROWS):
            height = min(TILE_ROWS, columns - column)
            # The first tile with a query that sees any of these keys.
            unseen = max(0, left + column - top) // TILE_ROWS * TILE_ROWS if causal else 0
            at = unseen * tile_row + column * item
            a, b = (weights + at, item, tile_row), _from_row(near_g, unseen, form)
            c = (dvalues[0] + (left + column) * dvalues[1], dvalues[1], 1, packed, form)
            multiply_panels(product, height, width, rows - unseen, *a, *b, *c)
            a, b = (dscores + at, item, tile_row), _from_row(near_q, unseen, form)
            c = (dkeys[0] + (left + column) * dkeys[1], dkeys[1], 1, packed, form)
            multiply_panels(product, height, features, rows - unseen, *a, *b, *c)
    copy_rows(rows, features, dqueries, q_row, _row(dq, example, head, top), dq[3], factors[0], buffer)


@kernel(fastmath=SUMS)  # only here: reassociation would undo the argument reduction of exponentials
def _dot(a, b):
    total = a.dtype.type(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@kernel()
def _add_up(part, parts, given, store, shared):
    """Reduction of all threads' dkeys and dvalues of a shared head."""
    (_, _, groups, _, keys, features, width), (_, _, _, _, _, _, dk, dv), _, _, _, _ = given
    buffer, offsets, _, _ = store
    first, last = share(keys, part, parts)
    for place, size, offset in ((dk, features, offsets[9]), (dv, width, offsets[10])):
        for row in range(first, last):
            total = array_at(_row(place, shared // groups, shared % groups, row), size, buffer)
            for other in range(parts):
                start = other * offsets[-1] + offset + row * size
                for i in range(size):
                    total[i] += buffer[start + i]


@kernel()
def _head(place, example, head):
    """The address of a head; ``place`` is an array's id and its strides."""
    return address_of_id(place[0]) + example * place[1] + head * place[2]


@kernel()
def _row(place, example, head, row):
    return _head(place, example, head) + row * place[3]


@kernel()
def _keys(keys, features, source, source_row, uses, target, form):
    """Address and stride of a head's keys, transposed and packed unless few queries use them; and whether they are."""
    item = lane_bytes(form)
    packed = uses > FEW_QUERIES or item != form.itemsize
    if packed:
        pack_b(keys, features, source, source_row, item, target, form)
    return target if packed else source, source_row, packed


@kernel()
def _score(rows, columns, features, queries_at, keys_at, left, target, target_row, product, room, form):
    """Scores of a tile, rounded alike in both passes, so that the weights of the backward pass sum to 1 too."""
    at, step, packed = keys_at
    item, strip, near = lane_bytes(form), panel_width(form), features * lane_bytes(form)
    if packed:
        panel = lane_steps(features, form) * item
        b, c = (at + left * panel, strip * panel, strip * item), (target, target_row, 0, room, form)
        multiply_panels(product, rows, columns, features, queries_at, near, item, *b, *c)
    else:
        strides = near, item, item, step, target_row
        arguments = queries_at, at + left * step, 0, target, (rows, columns, features), strides, 0, 0, 0, form
        call_at(product, multiply_piece, arguments)


@kernel()
def _mask_tile(mask, kind, example, head, top, left, item):
    if kind == NO_MASK:
        return 0
    return _row(mask, example, head, top) + left * (item if kind == ADDED else 1)


@kernel()
def _rows(rows, columns, source, source_row, uses, target, buffer, form):
    """Rows as the right operand of a product: their address, bytes from panel to panel and from row to row.

    Exact ones are copied unless they are contiguous or few queries use them; others are packed.
    """
    item, strip, near = lane_bytes(form), panel_width(form), columns * buffer.itemsize
    if item != form.itemsize:
        pack_b(columns, rows, source, item, source_row, target, form)
        return target, strip * lane_steps(rows, form) * item, strip * item
    if source_row == near or uses <= FEW_QUERIES:
        return source, strip * item, source_row
    copy_rows(rows, columns, source, source_row, target, near, 1.0, buffer)
    return target, strip * item, near


@kernel()
def _from_row(operand, row, form):
    """A right operand from a row on, which begins a group."""
    at, panel, step = operand
    return at + lane_steps(row, form) * step, panel, step
