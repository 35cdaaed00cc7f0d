"""Instruction set of programs: one step of decoding as data.

An instruction is a row of WORDS integers: its code, then the operands below. Arrays are given by address, strides count
bytes, and numbers stand as the bits of a float64. Everything is float32 but what is quantised. The first axis of all
arrays is the batch's, whose size is given when the program runs: no instruction mixes examples.

    code          operands
    LINEAR        columns N, inner size K, then addresses: rows (B, K), weights (N, K), result (B, N), bias; 0 for none
    LINEAR_…      the same with weights of a format, then the addresses of their scales, and for int8 of their offsets
                  and of the rows' scales; the rows are a QUANTIZE's, at that distance in bytes
    QUANTIZE      size K, rows (B, K), result, the distance of its rows, their scales (B,)
    NORM          rows of an example, size N, source, weight or 0, bias or 0, result, eps, if the mean is subtracted
    ELEMENTWISE   function, result, operands a and b, three sizes after the batch's, four strides of each array
    STORE         cache, table, keys (B, G, D), values (B, G, E), G · D, G · E
    ATTEND        cache, table, mask or -1, queries (B, H, D), result (B, H, E), H, G, D, E, scale,
                  bound of the scores or 0

Instructions are run in groups. Those of a group are independent of each other, or each depends on rows of the same
example alone: so no thread has to wait within a group.
"""

from __future__ import annotations

from enum import IntEnum

WORDS = 24


class Code(IntEnum):
    """Codes of instructions."""

    LINEAR = 0
    LINEAR_BFLOAT16 = 1
    LINEAR_INT8_WEIGHTS = 2
    LINEAR_INT8 = 3
    QUANTIZE = 4
    NORM = 5
    ELEMENTWISE = 6
    STORE = 7
    ATTEND = 8


class Function(IntEnum):
    """Functions of ELEMENTWISE: the first of one operand, the others of two."""

    COPY = 0
    RELU = 1
    GELU = 2
    GELU_TANH = 3
    SILU = 4
    SIGMOID = 5
    TANH = 6
    NEGATIVE = 7
    ADD = 8
    SUBTRACT = 9
    MULTIPLY = 10
    DIVIDE = 11


class Split(IntEnum):
    """Division of a group among threads."""

    EXAMPLES = 0
    COLUMNS = 1


# Of the array of caches: addresses of the stores of keys and of values, and if they hold bfloat16.
CACHE_WORDS = 3
# Of tables: address, row stride in elements, and number of positions.
TABLE_WORDS = 3
# Of masks: their kind, as in ``attention_scores.py``, address, and strides of examples and heads.
MASK_WORDS = 4
# Of groups: the first instruction, the first behind, their split, the bytes that they read, and those that they read of
# each key of each example.
GROUP_WORDS = 5
