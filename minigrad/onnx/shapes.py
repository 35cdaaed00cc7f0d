"""ONNX operators for shapes, joining and splitting, and indexing."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.onnx.builder import Builder
from minigrad.onnx.calls import Operation, Row, operand, operands, shape_of, whole
from minigrad.onnx.sizes import Size

FIRST, LAST = -(2**63), 2**63 - 1  # ONNX's "from the beginning" and "to the end" of an axis

# Shapes


def _reshape(b: Builder, call: Operation) -> str:
    return b.reshape(whole(b, call), shape_of(call, 0), call.shapes[0])


def _broadcast_to(b: Builder, call: Operation) -> str:
    return b.expand(whole(b, call), shape_of(call, 0), call.shapes[0])


def _permute_dims(b: Builder, call: Operation) -> str:
    ndim = len(call.shapes[0])
    return b.node("Transpose", whole(b, call), perm=[axis % ndim for axis in call.params["axes"]])


def _flip(b: Builder, call: Operation) -> str:
    axis = call.params["axis"]
    axes = range(len(call.shapes[0])) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return b.slice(whole(b, call), [(each, LAST, FIRST, -1) for each in axes])


def _concat(b: Builder, call: Operation) -> str:
    return b.node("Concat", *operands(b, call, call.dtypes[0]), axis=call.params["axis"])


def _split(b: Builder, call: Operation) -> list[str]:
    axis = call.params["axis"]
    parts = b.sizes(shape[axis] for shape in call.shapes)
    return b.nodes("Split", len(call.shapes), whole(b, call), parts, axis=axis)


def _unstack(b: Builder, call: Operation) -> list[str]:
    axis, count = call.params["axis"], len(call.shapes)
    parts = b.nodes("Split", count, whole(b, call), b.constant([1] * count, np.int64), axis=axis)
    return [b.node("Squeeze", part, b.constant([axis], np.int64)) for part in parts]


def _pad(b: Builder, call: Operation) -> str:
    widths, values = call.params["widths"], {value for pair in call.params["values"] for value in pair}
    if len(values) > 1:
        raise ValueError(f"pad: ONNX pads with one value, got {sorted(values)}")
    places = b.sizes([before for before, _ in widths] + [after for _, after in widths])
    return b.node("Pad", whole(b, call), places, b.constant(values.pop() if values else 0, call.dtypes[0]))


def triangle(upper: int) -> Row:
    def write(b: Builder, call: Operation) -> str:
        return b.node("Trilu", whole(b, call), b.scalar(call.params["k"]), upper=upper)

    return write


# Indexing


def _getitem(b: Builder, call: Operation) -> str:
    shape = shape_of(call, 0)
    index = call.params["index"] if isinstance(call.params["index"], tuple) else (call.params["index"],)
    free = len(shape) - sum(part is not None and part is not ... for part in index)
    parts: list[Any] = []
    for part in index if any(part is ... for part in index) else (*index, ...):
        parts += [slice(None)] * free if part is ... else [part]
    cuts: list[tuple[int, Size, Size, int]] = []
    gone: list[int] = []
    added: list[int] = []
    axis = 0
    for part in parts:
        if part is None:
            added.append(axis - len(gone) + len(added))
            continue
        if not isinstance(part, slice):
            cuts.append((axis, part, LAST if part == -1 else part + 1, 1))
            gone.append(axis)
        elif part != slice(None):
            step = 1 if part.step is None else part.step
            start, stop = (0, LAST) if step > 0 else (LAST, FIRST)
            cuts.append(
                (axis, start if part.start is None else part.start, stop if part.stop is None else part.stop, step)
            )
        axis += 1
    name = b.slice(whole(b, call), cuts)
    name = b.node("Squeeze", name, b.constant(gone, np.int64)) if gone else name
    return b.node("Unsqueeze", name, b.constant(added, np.int64)) if added else name


def _take(b: Builder, call: Operation) -> str:
    if call.params["batch"]:
        raise ValueError("indices of each example of a vmap cannot be exported")
    return b.node("Gather", whole(b, call), operand(b, call, 1, np.int64), axis=call.params["axis"])


def _take_along_axis(b: Builder, call: Operation) -> str:
    axis = call.params["axis"]
    shape, picked = list(shape_of(call, 0)), list(shape_of(call, 1))
    wide = list(call.shapes[0])
    wide[axis] = shape[axis]
    x = b.expand(whole(b, call), tuple(shape), tuple(wide))
    indices = b.expand(operand(b, call, 1, np.int64), tuple(picked), call.shapes[0])
    return b.node("GatherElements", x, indices, axis=axis)


def _one_hot(b: Builder, call: Operation) -> str:
    indices = b.node("Unsqueeze", operand(b, call, 0, np.int64), b.constant([-1], np.int64))
    hot = b.node("Equal", indices, b.constant(np.arange(call.params["num_classes"]), np.int64))
    return b.cast(hot, call.dtypes[0])


SHAPES: dict[str, Row] = {
    # shapes
    "reshape": _reshape,
    "broadcast_to": _broadcast_to,
    "permute_dims": _permute_dims,
    "flip": _flip,
    "concat": _concat,
    "split": _split,
    "unstack": _unstack,
    "pad": _pad,
    "tril": triangle(upper=0),
    "triu": triangle(upper=1),
    # indexing
    "getitem": _getitem,
    "take": _take,
    "embedding": _take,
    "take_along_axis": _take_along_axis,
    "one_hot": _one_hot,
}
