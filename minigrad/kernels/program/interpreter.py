"""Interpreter of programs: all instructions in one call, each group of them on all threads.

The calling thread goes from group to group as ``thread_pool.py`` has it: workers that spin for their next part are at
hand at once, and one that has not begun, because other processes have the cores, holds up nothing.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.kernels.attention.attention_scores import ADDED, BOOLEAN, NO_MASK
from minigrad.kernels.attention.paged_attention import attend_queries, heads_together
from minigrad.kernels.attention.scaled_dot_product import as_mask
from minigrad.kernels.compiling.arguments import check_arrays
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.compiling.vector import address_of_array, array_at
from minigrad.kernels.elementwise.activations import (
    CONTRACT,
    gelu_of,
    gelu_tanh_of,
    sigmoid_of,
    silu_of,
    tanh_of,
)
from minigrad.kernels.products.few_rows import call_rows, rows_entry
from minigrad.kernels.products.quantized import finish_row, quantize_row
from minigrad.kernels.program.instructions import CACHE_WORDS, MASK_WORDS, TABLE_WORDS, WORDS, Code, Function, Split
from minigrad.kernels.rowwise.normalization import normalise_row

_LIKES = (np.empty(0, np.float32), np.empty(0, np.uint16), np.empty(0, np.int8), np.empty(0, np.uint8))
_SUMS = np.empty(0, np.int32)
_LARGE = 1 << 30  # a program is worth all threads
SMALL = 1 << 16  # bytes that one thread reads before another has begun

LINEAR, LINEAR_BFLOAT16, LINEAR_INT8_WEIGHTS, LINEAR_INT8, QUANTIZE, NORM, ELEMENTWISE, STORE, ATTEND = map(int, Code)
COPY, RELU, GELU, GELU_TANH, SILU, SIGMOID, TANH, NEGATIVE, ADD, SUBTRACT, MULTIPLY, DIVIDE = map(int, Function)
COLUMNS = int(Split.COLUMNS)


def run_program(
    instructions: np.ndarray,
    groups: np.ndarray,
    batch: int,
    caches: np.ndarray,
    tables: np.ndarray,
    masks: Sequence[tuple[np.ndarray, int]] = (),
    sharing: int = 1,
) -> None:
    """Run a program; see ``instructions.py``. Addresses are taken on trust.

    Args:
        instructions: (n, WORDS), int64.
        groups: (g, GROUP_WORDS), int64.
        batch: the number of examples.
        caches: (c, CACHE_WORDS), int64.
        tables: (t, TABLE_WORDS), int64.
        masks: of attention, each with the number of heads: boolean, True where a query may attend, or floating, added
            to the scores; broadcastable to (B, H, 1, K), where B is at least the batch.
        sharing: the most query heads that share a head of keys.

    >>> x, y = np.ones((2, 3), np.float32), np.empty((2, 3), np.float32)
    >>> addresses = [array.ctypes.data for array in (y, x, x)]
    >>> doubled = [Code.ELEMENTWISE, Function.ADD, *addresses, 1, 1, 3, *[12, 0, 0, 4] * 3]
    >>> instructions = np.zeros((1, WORDS), np.int64)
    >>> instructions[0, : len(doubled)] = doubled
    >>> groups = np.array([[0, 1, Split.EXAMPLES, 0, 0]])
    >>> run_program(instructions, groups, 2, np.zeros((0, CACHE_WORDS), np.int64), np.zeros((0, TABLE_WORDS), np.int64))
    >>> y
    array([[2., 2., 2.],
           [2., 2., 2.]], dtype=float32)
    """
    check_arrays(instructions=instructions, groups=groups, caches=caches, tables=tables)
    rows, shown = np.zeros((max(1, len(masks)), MASK_WORDS), np.int64), []
    for number, (mask, heads) in enumerate(masks):
        examples = mask.shape[0] if mask.ndim == 4 and mask.shape[0] > 1 else batch
        shown.append(as_mask(mask, (examples, heads, 1, mask.shape[-1]), _LIKES[0].dtype))
        kind = BOOLEAN if mask.dtype == np.bool_ else ADDED
        rows[number] = kind, shown[-1].ctypes.data, *shown[-1].strides[:2]
    threads = threads_for(_LARGE)
    scores = np.empty((threads, sharing * int(tables[:, 2].max(initial=0))), np.float32)
    _run(
        instructions,
        groups,
        batch,
        (caches, tables, rows),
        scores,
        _LIKES,
        _SUMS,
        _entries(instructions, caches),
        threads,
    )


def _entries(instructions: np.ndarray, caches: np.ndarray) -> np.ndarray:
    """Addresses of the products that a program needs, by the code of their instruction."""
    used = np.bincount(instructions[:, 0], minlength=len(Code))
    if used[ATTEND]:
        rounded = caches[:, 2] != 0
        used[LINEAR] += not rounded.all()
        used[LINEAR_BFLOAT16] += rounded.any()
    return np.array([rows_entry(*_PRODUCTS[code]) if used[code] else 0 for code in range(len(_PRODUCTS))])


# Activations, weights and sums of the instructions from LINEAR on
_PRODUCTS = (
    (np.float32, np.float32, np.float32),
    (np.float32, np.uint16, np.float32),
    (np.float32, np.int8, np.float32),
    (np.uint8, np.int8, np.int32),
)


@kernel()
def _run(instructions, groups, batch, places, scores, likes, sums, entries, threads):
    caches, tables, masks = places
    keys = 0
    for table in range(len(tables)):
        keys = max(keys, tables[table, 2])
    # Addresses, for arrays would count their users
    state = address_of_array(caches), address_of_array(tables), address_of_array(masks), address_of_array(scores), keys
    start, room, entry = address_of_array(instructions), scores.shape[1], address_of_array(entries)
    for number in range(len(groups)):
        first, last, split, work, work_of_key = groups[number]
        parts = threads if split == COLUMNS else min(threads, batch)
        if work + work_of_key * keys * batch < SMALL:
            parts = 1
        in_parallel(parts, _run_part, (start, first, last, batch, state, room, likes, sums, entry))


@kernel()
def _run_part(part, parts, instructions, first, last, batch, state, room, likes, sums, entry):
    floats, words, integers, naturals = likes
    entries = array_at(entry, LINEAR_INT8 + 1, np.int64)
    for number in range(first, last):
        line = array_at(instructions + number * WORDS * 8, WORDS, np.int64)
        code, given = line[0], line[1:]
        if code == LINEAR:
            _linear(part, parts, batch, given, entries[code], (floats, floats, floats))
        elif code == LINEAR_BFLOAT16:
            _linear(part, parts, batch, given, entries[code], (floats, words, floats))
        elif code == LINEAR_INT8_WEIGHTS:
            _linear(part, parts, batch, given, entries[code], (floats, integers, floats))
        elif code == LINEAR_INT8:
            _linear(part, parts, batch, given, entries[code], (naturals, integers, sums))
        elif code == ATTEND:
            _attend(part, parts, batch, given, state, room, entries, likes)
        else:
            start, end = share(batch, part, parts)
            if code == ELEMENTWISE:
                _elementwise(start, end, given, floats)
            elif code == NORM:
                _norm(start, end, given, floats)
            elif code == QUANTIZE:
                _quantize(start, end, given, likes)
            elif code == STORE:
                _store(start, end, given, state, likes)


@kernel()
def _linear(part, parts, batch, given, entry, likes):
    n, k, a, w, c, bias, scales, offsets, row_scales, a_row = (
        given[0],
        given[1],
        given[2],
        given[3],
        given[4],
        given[5],
        given[6],
        given[7],
        given[8],
        given[9],
    )
    floats = np.float32
    left, right = share(n, part, parts)
    count, w_row = right - left, k * likes[1].itemsize
    call_rows(entry, batch, count, k, a, a_row, w + left * w_row, w_row, c + left * 4, n * 4, likes)
    if bias == 0 and scales == 0:
        return
    for row in range(batch):
        finish_row(
            array_at(c + row * n * 4 + left * 4, count, floats),
            array_at(offsets + left * 4, count if offsets else 0, np.int32),
            array_at(row_scales + row * 4, 1 if offsets else 0, floats),
            array_at(scales + left * 4, count if scales else 0, floats),
            array_at(bias + left * 4, count if bias else 0, floats),
        )


@kernel()
def _quantize(start, end, given, likes):
    floats, _, _, naturals = likes
    k, source, target, step, scales = given[0], given[1], given[2], given[3], given[4]
    for row in range(start, end):
        scale = quantize_row(array_at(source + row * k * 4, k, floats), array_at(target + row * step, k, naturals))
        array_at(scales + row * 4, 1, floats)[0] = scale


@kernel()
def _norm(start, end, given, floats):
    rows, n, source, weight, bias, target, centered = (
        given[0],
        given[1],
        given[2],
        given[3],
        given[4],
        given[5],
        given[7],
    )
    eps = given[6:7].view(np.float64)[0]
    scale, shift = array_at(weight, n, floats), array_at(bias, n, floats)
    for row in range(start * rows, end * rows):
        x, y = array_at(source + row * n * 4, n, floats), array_at(target + row * n * 4, n, floats)
        normalise_row(x, scale, shift, eps, centered != 0, y)


@kernel()
def _elementwise(start, end, given, floats):
    function, to, a, b, sizes, steps = given[0], given[1], given[2], given[3], given[4:7], given[7:19]
    for example in range(start, end):
        for i in range(sizes[0]):
            for j in range(sizes[1]):
                to_row = to + example * steps[0] + i * steps[1] + j * steps[2]
                a_row = a + example * steps[4] + i * steps[5] + j * steps[6]
                b_row = b + example * steps[8] + i * steps[9] + j * steps[10]
                _apply(function, sizes[2], to_row, steps[3], a_row, steps[7], b_row, steps[11], floats)


@kernel(fastmath=CONTRACT)
def _apply(function, n, to, to_step, a, a_step, b, b_step, floats):
    """One row of an elementwise function; strides of neighbours are mostly those of contiguous arrays or 0."""
    if to_step != 4 or a_step != 4 or (b_step != 4 and b_step != 0):
        for i in range(n):
            _apply_to_row(function, 1, to + i * to_step, a + i * a_step, b + i * b_step, 1, floats)
    elif b_step == 4:
        _apply_to_row(function, n, to, a, b, 1, floats)
    else:
        _apply_to_row(function, n, to, a, b, 0, floats)


@kernel(fastmath=CONTRACT)
def _apply_to_row(function, n, to, a, b, step, floats):
    target, x = array_at(to, n, floats), array_at(a, n, floats)
    if function >= ADD:
        _combine(function, target, x, b, step, floats)
    elif function == COPY:
        for i in range(n):
            target[i] = x[i]
    elif function == SILU:
        for i in range(n):
            target[i] = silu_of(x[i])
    elif function == GELU:
        for i in range(n):
            target[i] = gelu_of(x[i])
    elif function == GELU_TANH:
        for i in range(n):
            target[i] = gelu_tanh_of(x[i])
    elif function == RELU:
        for i in range(n):
            value = x[i]
            target[i] = np.float32(0) if value <= 0 else value
    elif function == SIGMOID:
        for i in range(n):
            target[i] = sigmoid_of(x[i])
    elif function == TANH:
        for i in range(n):
            target[i] = tanh_of(x[i])
    elif function == NEGATIVE:
        for i in range(n):
            target[i] = -x[i]


@kernel(fastmath=CONTRACT)
def _combine(function, target, x, b, step, floats):
    n = len(target)
    y = array_at(b, n if step else 1, floats)
    if function == ADD:
        for i in range(n):
            target[i] = x[i] + y[i * step]
    elif function == SUBTRACT:
        for i in range(n):
            target[i] = x[i] - y[i * step]
    elif function == MULTIPLY:
        for i in range(n):
            target[i] = x[i] * y[i * step]
    elif function == DIVIDE:
        for i in range(n):
            target[i] = x[i] / y[i * step]


@kernel()
def _table_row(tables, table, example):
    """The slots of an example's positions."""
    words = array_at(tables + table * TABLE_WORDS * 8, TABLE_WORDS, np.int64)
    return array_at(words[0] + example * words[1] * 8, words[2], np.int64)


@kernel()
def _store(start, end, given, state, likes):
    caches, tables, _, _, _ = state
    cache, table = array_at(caches + given[0] * CACHE_WORDS * 8, CACHE_WORDS, np.int64), given[1]
    floats, words, _, _ = likes
    for example in range(start, end):
        slots = _table_row(tables, table, example)
        slot = slots[len(slots) - 1]
        for which in range(2):
            n = given[4 + which]
            source = given[2 + which] + example * n * 4
            if cache[2]:
                bits = array_at(source, n, np.uint32)
                target = array_at(cache[which] + slot * n * 2, n, words)
                for i in range(n):
                    target[i] = _bfloat16(bits[i])
            else:
                values, kept = array_at(source, n, floats), array_at(cache[which] + slot * n * 4, n, floats)
                for i in range(n):
                    kept[i] = values[i]


@kernel()
def _bfloat16(bits):
    """As ``to_bfloat16``."""
    carried = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    is_nan = bits & np.uint32(0x7FFFFFFF) > np.uint32(0x7F800000)
    return np.uint16((bits | np.uint32(1 << 22) if is_nan else carried) >> np.uint32(16))


@kernel()
def _attend(part, parts, batch, given, state, room, entries, likes):
    caches, tables, masks, scores, _ = state
    cache = array_at(caches + given[0] * CACHE_WORDS * 8, CACHE_WORDS, np.int64)
    mask = array_at(masks + max(given[2], 0) * MASK_WORDS * 8, MASK_WORDS, np.int64)
    kind = mask[0] if given[2] >= 0 else np.int64(NO_MASK)
    heads, groups, features, width = given[5], given[6], given[7], given[8]
    numbers = given[9:11].view(np.float64)
    scaling = np.float32(numbers[0]), np.float32(numbers[1])
    floats, words, _, _ = likes
    store, sizes, shared = (cache[0], cache[1], groups), (features, width), heads // groups
    together = heads_together(batch, heads, groups, parts)
    units = heads // together
    first, last = share(batch * units, part, parts)
    for unit in range(first, last):
        example, head = unit // units, unit % units * together
        slots = _table_row(tables, given[1], example)
        place = (example * heads + head) * 4
        wanted = given[3] + place * features, features * 4, given[4] + place * width, width * 4, together
        hiding = kind, mask[1] + example * mask[2] + head * mask[3], mask[3]
        own = array_at(scores + part * room * 4, together * len(slots), floats)
        if cache[2]:
            entry = entries[LINEAR_BFLOAT16]
            attend_queries(wanted, sizes, slots, store, head // shared, own, hiding, scaling, words, floats, entry)
        else:
            entry = entries[LINEAR]
            attend_queries(wanted, sizes, slots, store, head // shared, own, hiding, scaling, floats, floats, entry)
