"""Lowering: primitives of a recording as instructions on arrays that stay where they are.

Each array of the recording is of one of three kinds:

    constant   depends on what the model holds alone: parameters, tables
    input      depends on inputs beside the rows: positions, masks. Computed by the primitives themselves, at each run
    row        depends on the rows: computed by instructions. Its first axis is the batch's

Views of rows are taken of the arrays that hold them, so that whatever shows the same memory needs no instruction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine.tensor import Array, Tensor
from minigrad.kernels.program.instructions import Code, Function, Split
from minigrad.replay.recording import Call, Recorder

FLOAT = np.dtype(np.float32)
CACHE_LINE = 64  # bytes


class Unsupported(Exception):
    """A recording that cannot be replayed; the message says why."""


class Instruction(NamedTuple):
    """Instruction with its arrays, before these have addresses."""

    code: Code
    operands: tuple[int | float | Array | None, ...]
    reads: tuple[Any, ...]  # arrays, or names of other state
    writes: tuple[Any, ...]

    @property
    def split(self) -> Split:
        return Split.EXAMPLES if Code.QUANTIZE <= self.code <= Code.STORE else Split.COLUMNS


@dataclass(frozen=True)
class Later:
    """Value computed at each run: result ``index`` of a call, or an input where ``call`` is None."""

    call: int | None
    index: int


class LaterCall(NamedTuple):
    """Forward of a primitive, to be called at each run."""

    forward: Callable[..., Any]
    values: tuple[Any, ...]  # of which Later ones are computed before
    params: dict[str, Any]


class Lowering:
    """Lowering of one recording.

    Args:
        rows: (B, …), what the program is run with.
        inputs: other inputs, whose values may change from run to run.
        constants: identities of the arrays that do not change.
        lowerings: the table of primitives.
    """

    def __init__(
        self, rows: Tensor, inputs: Sequence[Tensor], constants: Container[int], lowerings: Mapping[str, Lower]
    ) -> None:
        self._lowerings = lowerings
        self.batch = len(rows)
        self.instructions: list[Instruction] = []
        self.buffers: list[Array] = []
        self.later: list[LaterCall] = []
        self.copies: list[tuple[Later, Array]] = []  # values of inputs that instructions read
        self.masks: list[tuple[Later, int]] = []  # and masks, with the number of heads
        self._constants = constants
        self._known: dict[int, Array | Later | _Constant] = {id(x.data): Later(None, i) for i, x in enumerate(inputs)}
        self._copied: dict[Later, Array] = {}
        self._calls: dict[Any, int] = {}
        self._quantized: dict[int, tuple[Array, Array]] = {}
        self.weights: list[Array] = []  # constants that instructions read
        self.derived = False  # True if instructions read copies of constants, or what was computed of them
        self.rows = np.zeros(rows.shape, FLOAT)
        self._known[id(rows.data)] = self.rows

    def run(self, recorder: Recorder, result: Tensor) -> Array:
        """Lower all calls; return the array of the result.

        Raises:
            Unsupported: a primitive has no instruction for its arguments, or an array is of no known kind.
        """
        if recorder.writes:
            raise Unsupported("a tensor was changed in place")
        for call in recorder.calls:
            kinds = {type(self._kind(arg)) for arg in call.args if isinstance(arg, (Tensor, np.ndarray))}
            if np.ndarray in kinds:
                self._lower(call)
            elif Later in kinds:
                self._postpone(call)
            elif not kinds:
                raise Unsupported(f"{call.op.name}: no array to depend on")
            else:
                for out in call.results:
                    self._known[id(out.data)] = _Constant(out.data, derived=True)
        found = self._kind(result)
        if not isinstance(found, np.ndarray):
            raise Unsupported("the result does not depend on the rows")
        return found

    def _kind(self, arg: Tensor | Array) -> Any:
        array = arg.data if isinstance(arg, Tensor) else arg
        found = self._known.get(id(array))
        if found is not None:
            return found
        if id(array) in self._constants or (array.size == 1 and isinstance(arg, np.generic)):
            return _Constant(array)
        raise Unsupported(f"an array of shape {array.shape} is neither an input nor held by the model")

    def _lower(self, call: Call) -> None:
        lower = self._lowerings.get(call.op.name, _view if call.op.view else None)
        if lower is None:
            raise Unsupported(f"{call.op.name}: no instruction")
        for arg, value in zip(call.args, call.values, strict=True):
            if isinstance(arg, Tensor) and value is not arg.data:
                raise Unsupported(f"{call.op.name}: operands of several dtypes")
        results = lower(self, call)
        for out, array in zip(call.results, results, strict=True):
            if array.shape != out.shape or array.dtype != out.dtype or array.shape[:1] != (self.batch,):
                raise Unsupported(f"{call.op.name}: a result of shape {out.shape}, without the batch's axis")
            self._known[id(out.data)] = array

    def _postpone(self, call: Call) -> None:
        """Compute a primitive at each run; equal calls, as each layer makes them, once."""
        values = []
        for arg, value in zip(call.args, call.values, strict=True):
            kind = self._kind(arg) if isinstance(arg, (Tensor, np.ndarray)) else None
            if isinstance(kind, Later) and value is not getattr(arg, "data", arg):
                raise Unsupported(f"{call.op.name}: operands of several dtypes")
            values.append(kind if isinstance(kind, Later) else value)
        key = call.op, *(value if isinstance(value, Later) else id(value) for value in values), repr(call.params)
        if key not in self._calls:
            self._calls[key] = len(self.later)
            self.later.append(LaterCall(call.op.forward, tuple(values), call.params))
        for index, out in enumerate(call.results):
            self._known[id(out.data)] = Later(self._calls[key], index)

    # For the table of primitives

    def array(self, arg: Any) -> Array:
        """Operand as an array that stays where it is."""
        if not isinstance(arg, (Tensor, np.ndarray)):
            return np.full((1,), arg, FLOAT)
        kind = self._kind(arg)
        if isinstance(kind, _Constant):
            self.derived |= kind.derived
            kind = self.weight(kind.array)
        elif isinstance(kind, Later):
            if kind not in self._copied:
                array = arg.data if isinstance(arg, Tensor) else arg
                self._copied[kind] = np.zeros(array.shape, array.dtype)
                self.copies.append((kind, self._copied[kind]))
            kind = self._copied[kind]
        if kind.dtype != FLOAT:
            raise Unsupported(f"an operand of dtype {kind.dtype}")
        return kind

    def weight(self, array: Array) -> Array:
        """Constant that instructions read."""
        self.weights.append(array)
        return array

    def fixed(self, array: Array, shape: Sequence[int]) -> Array:
        """Constant of a shape, contiguous."""
        found = np.ascontiguousarray(np.broadcast_to(array, shape))
        self.derived |= not np.may_share_memory(found, array)
        return found

    def later_value(self, arg: Tensor) -> Later:
        """Operand that depends on inputs alone."""
        kind = self._kind(arg)
        if not isinstance(kind, Later):
            raise Unsupported("a mask that is no input's")
        return kind

    def mask(self, arg: Tensor | None, heads: int) -> int:
        """Number of a mask of attention; -1 without."""
        if arg is None:
            return -1
        mask = self.later_value(arg), heads
        if mask not in self.masks:
            self.masks.append(mask)
        return self.masks.index(mask)

    def empty(self, shape: Sequence[int], dtype: Any = FLOAT) -> Array:
        """New array for what an instruction computes."""
        buffer = np.zeros(shape, dtype)
        self.buffers.append(buffer)
        return buffer

    def emit(self, code: Code, operands: Sequence[Any], reads: Sequence[Any], writes: Sequence[Any]) -> None:
        self.instructions.append(Instruction(code, tuple(operands), tuple(reads), tuple(writes)))

    def contiguous(self, array: Array) -> Array:
        """The array, copied if it is not contiguous."""
        if array.flags.c_contiguous:
            return array
        copy = self.empty(array.shape)
        self.elementwise(Function.COPY, copy, array)
        return copy

    def elementwise(self, function: Function, out: Array, a: Array, b: Array | None = None) -> None:
        """Emit a function of one operand or two, which broadcast."""
        if b is not None and function in (Function.ADD, Function.MULTIPLY) and a.size < b.size:
            a, b = b, a
        arrays = [np.broadcast_to(x, out.shape) for x in (out, a, a if b is None else b)]
        sizes, strides = _merged(out.shape[1:], [x.strides[1:] for x in arrays])
        steps = [step for x, own in zip(arrays, strides, strict=True) for step in (x.strides[0], *own)]
        given = [x for x in (a, b) if x is not None]
        self.emit(Code.ELEMENTWISE, (function, out, a, a if b is None else b, *sizes, *steps), given, [out])

    def quantized(self, x: Array) -> tuple[Array, Array]:
        """Rows as bytes and their scales, computed once for all that multiply them."""
        if id(x) not in self._quantized:
            k = x.size // self.batch
            values, scales = self.empty((self.batch, k + CACHE_LINE), np.uint8), self.empty((self.batch,))
            self.emit(Code.QUANTIZE, (k, x, values, values.strides[0], scales), [x], [values, scales])
            self._quantized[id(x)] = values, scales
        return self._quantized[id(x)]


class _Constant(NamedTuple):
    array: Array
    derived: bool = False


def _merged(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """Three axes of the same elements: those that one stride steps through are one."""
    axes: list[tuple[int, list[int]]] = []
    for size, steps in zip(shape, zip(*strides, strict=True), strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1] == [size * step for step in steps]:
            axes[-1] = (axes[-1][0] * size, list(steps))
        else:
            axes.append((size, list(steps)))
    if len(axes) > 3:
        raise Unsupported(f"an array of shape {tuple(shape)} in a layout of {len(axes)} strides")
    axes = [(1, [0] * len(strides))] * (3 - len(axes)) + axes
    return [size for size, _ in axes], [[steps[i] for _, steps in axes] for i in range(len(strides))]


def _view(lowering: Lowering, call: Call) -> list[Array]:
    """A view of the same memory; where reshaping needs a copy, of that."""
    (x, *rest), params = call.args, call.params
    source = lowering.array(x)
    if rest:
        raise Unsupported(f"{call.op.name}: a view of several arrays")
    for array in (source, lowering.contiguous(source)):
        found = call.op.forward(array, **params)
        results = list(found) if isinstance(found, (tuple, list)) else [found]
        if all(np.may_share_memory(result, array) for result in results):
            return results
    raise Unsupported(f"{call.op.name}: no view")


def _function(function: Function) -> Lower:
    def lower(lowering: Lowering, call: Call) -> list[Array]:
        out = lowering.empty(call.results[0].shape)
        lowering.elementwise(function, out, *(lowering.array(arg) for arg in call.args))
        return [out]

    return lower


def _gelu(lowering: Lowering, call: Call) -> list[Array]:
    function = Function.GELU_TANH if call.params["approximate"] == "tanh" else Function.GELU
    return _function(function)(lowering, call)


def _astype(lowering: Lowering, call: Call) -> list[Array]:
    return [lowering.array(call.args[0])]  # of no other dtype, as its result is checked


def _concat(lowering: Lowering, call: Call) -> list[Array]:
    out, axis, start = lowering.empty(call.results[0].shape), call.params["axis"], 0
    for arg in call.args:
        array = lowering.array(arg)
        stop = start + array.shape[axis]
        place: Any = [slice(None)] * out.ndim
        place[axis] = slice(start, stop)
        lowering.elementwise(Function.COPY, out[tuple(place)], array)
        start = stop
    return [out]


def _norm(lowering: Lowering, call: Call) -> list[Array]:
    x, *weights = (None if arg is None else lowering.array(arg) for arg in call.args)
    assert x is not None
    centered, n = call.op.name == "layer_norm", x.shape[-1]
    x, out = lowering.contiguous(x), lowering.empty(x.shape)
    weight, bias = [*weights, None][:2]
    weight = np.ones(n, FLOAT) if weight is None else lowering.fixed(weight, (n,))
    bias = np.zeros(n, FLOAT) if bias is None else lowering.fixed(bias, (n,))
    rows = math.prod(x.shape[1:-1])
    operands = rows, n, x, weight, bias, out, float(call.params["eps"]), int(centered)
    lowering.emit(Code.NORM, operands, [x], [out])
    return [out]


def _linear(lowering: Lowering, call: Call) -> list[Array]:
    x, weight, bias = (None if arg is None else lowering.array(arg) for arg in call.args)
    if call.params["precision"] is not None:
        raise Unsupported("linear: rounded operands")
    assert x is not None and weight is not None
    if not weight.flags.c_contiguous:
        raise Unsupported("linear: weights that are not contiguous")
    return [_emit_linear(lowering, Code.LINEAR, x, weight, bias)]


_CODES = {
    "bfloat16": Code.LINEAR_BFLOAT16,
    "int8-weights": Code.LINEAR_INT8_WEIGHTS,
    "int8": Code.LINEAR_INT8,
}


def _quantized_linear(lowering: Lowering, call: Call) -> list[Array]:
    x, bias = (None if arg is None else lowering.array(arg) for arg in call.args)
    matrix = call.params["weight"]
    assert x is not None
    scales = lowering.weight(matrix.scales) if len(matrix.scales) else None
    offsets = lowering.weight(matrix.offsets) if len(matrix.offsets) else None
    return [_emit_linear(lowering, _CODES[matrix.format], x, lowering.weight(matrix.values), bias, scales, offsets)]


def _emit_linear(
    lowering: Lowering,
    code: Code,
    x: Array,
    weight: Array,
    bias: Array | None,
    scales: Array | None = None,
    offsets: Array | None = None,
) -> Array:
    (n, k), x = weight.shape, lowering.contiguous(x)
    if x.size != lowering.batch * k:
        raise Unsupported(f"linear: several rows of an example, in shape {x.shape}")
    if bias is not None:
        bias = lowering.fixed(bias, (n,))
    out, row_scales, step = lowering.empty((*x.shape[:-1], n)), None, x.strides[0]
    rows = x
    if code == Code.LINEAR_INT8:
        rows, row_scales = lowering.quantized(x)
        step = rows.strides[0]
    operands = n, k, rows, weight, out, bias, scales, offsets, row_scales, step
    lowering.emit(code, operands, [rows, *([] if row_scales is None else [row_scales])], [out])
    return out


def attention(
    lowering: Lowering,
    query: Any,
    mask: Tensor | None,
    cache: int,
    table: int,
    groups: int,
    width: int,
    scale: float | None,
    softcap: float | None = None,
) -> Array:
    """Attention of queries (B, H, 1, D) to a cache: (B, H, 1, E)."""
    q = lowering.contiguous(lowering.array(query))
    batch, heads, length, features = q.shape
    if length != 1:
        raise Unsupported("attention: several queries of an example")
    out = lowering.empty((batch, heads, 1, width))
    scaling = features**-0.5 if scale is None else float(scale), softcap or 0.0
    operands = cache, table, lowering.mask(mask, heads), q, out, heads, groups, features, width, *scaling
    lowering.emit(Code.ATTEND, operands, [q, f"cache {cache}"], [out])
    return out


def store(lowering: Lowering, keys: Any, values: Any, cache: int, table: int) -> list[Array]:
    """Keys (B, G, 1, D) and values (B, G, 1, E) of a new position to a cache."""
    arrays = [lowering.contiguous(lowering.array(x)) for x in (keys, values)]
    sizes = [x.size // lowering.batch for x in arrays]
    lowering.emit(Code.STORE, (cache, table, *arrays, *sizes), arrays, [f"cache {cache}"])
    return arrays


Lower = Callable[[Lowering, Call], list[Array]]
LOWERINGS: dict[str, Lower] = {
    "add": _function(Function.ADD),
    "subtract": _function(Function.SUBTRACT),
    "multiply": _function(Function.MULTIPLY),
    "divide": _function(Function.DIVIDE),
    "negative": _function(Function.NEGATIVE),
    "relu": _function(Function.RELU),
    "gelu": _gelu,
    "silu": _function(Function.SILU),
    "sigmoid": _function(Function.SIGMOID),
    "tanh": _function(Function.TANH),
    "astype": _astype,
    "concat": _concat,
    "layer_norm": _norm,
    "rms_norm": _norm,
    "linear": _linear,
    "quantized_linear": _quantized_linear,
}
