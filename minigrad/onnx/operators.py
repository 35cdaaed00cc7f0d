"""How each operation of the engine is written in ONNX: one table, by the operation's name.

To add an operation, add a row: a function of the graph under construction and the call, which returns the name of the
result (or a list of them). An operation that has a composed definition needs none: it is written as its parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.onnx.builder import Builder, Value
from minigrad.onnx.constants import Shape
from minigrad.onnx.sizes import Formula, Size

FIRST, LAST = -(2**63), 2**63 - 1  # ONNX's "from the beginning" and "to the end" of an axis


@dataclass(frozen=True)
class Operation:
    """One call with its arguments in the graph: values, numbers, or None."""

    name: str
    arguments: tuple[Value | Formula | int | float | None, ...]
    promoted: np.dtype[Any] | None
    params: Mapping[str, Any]
    shapes: tuple[Shape, ...]
    dtypes: tuple[np.dtype[Any], ...]


Row = Callable[[Builder, Operation], str | list[str]]


def operand(b: Builder, call: Operation, place: int, dtype: npt.DTypeLike | None = None) -> str:
    """An argument in the dtype wanted, or in that of all arguments together."""
    argument = call.arguments[place]
    wanted = np.dtype(dtype or call.promoted or call.dtypes[0])
    if isinstance(argument, Value):
        return argument.name if argument.dtype == wanted else b.cast(argument.name, wanted)
    if isinstance(argument, Formula):
        number = b.scalar(argument)
        return number if wanted == np.int64 else b.cast(number, wanted)
    assert isinstance(argument, (bool, int, float))
    return b.constant(argument, wanted)


def operands(b: Builder, call: Operation, dtype: npt.DTypeLike | None = None) -> list[str]:
    return [operand(b, call, place, dtype) for place in range(len(call.arguments))]


def shape_of(call: Operation, place: int) -> Shape:
    argument = call.arguments[place]
    return argument.shape if isinstance(argument, Value) else ()


# Element by element


def plain(kind: str, dtype: npt.DTypeLike | None = None, **attributes: Any) -> Row:
    """The same in ONNX, on arguments of one dtype."""
    return lambda b, call: b.node(kind, *operands(b, call, dtype), **attributes)


def negated(kind: str) -> Row:
    return lambda b, call: b.node("Not", b.node(kind, *operands(b, call)))


def chain(*kinds: str) -> Row:
    """One function after the other."""

    def write(b: Builder, call: Operation) -> str:
        name = operand(b, call, 0)
        for kind in kinds:
            name = b.node(kind, name)
        return name

    return write


def with_number(kind: str, number: float, *, before: str = "", after: str = "", reverse: bool = False) -> Row:
    """A number and a function: ``log(x + 1)``, ``exp(x) - 1``, ``2 ** x``."""

    def write(b: Builder, call: Operation) -> str:
        x = operand(b, call, 0)
        x = b.node(before, x) if before else x
        value = b.constant(number, call.dtypes[0])
        x = b.node(kind, *((value, x) if reverse else (x, value)))
        return b.node(after, x) if after else x

    return write


def truth(kind: str, of_numbers: str) -> Row:
    """On booleans an operation of logic, where arithmetic would not be defined."""
    return lambda b, call: b.node(kind if call.dtypes[0] == np.bool_ else of_numbers, *operands(b, call))


def _where(b: Builder, call: Operation) -> str:
    condition = operand(b, call, 0, np.bool_)
    return b.node("Where", condition, *(operand(b, call, place, call.dtypes[0]) for place in (1, 2)))


def _clip(b: Builder, call: Operation) -> str:
    x = operand(b, call, 0)
    for place, kind in ((1, "Max"), (2, "Min")):
        if call.arguments[place] is not None:
            x = b.node(kind, x, operand(b, call, place))
    return x


def _floor_divide(b: Builder, call: Operation) -> str:
    x, y = operands(b, call)
    if call.dtypes[0].kind == "f":
        return b.node("Floor", b.node("Div", x, y))
    return b.node("Div", b.node("Sub", x, b.node("Mod", x, y)), y)  # ONNX rounds integers towards 0


def _remainder(b: Builder, call: Operation) -> str:
    x, y = operands(b, call)
    if call.dtypes[0].kind != "f":
        return b.node("Mod", x, y)
    return b.node("Sub", x, b.node("Mul", b.node("Floor", b.node("Div", x, y)), y))


def _erfc(b: Builder, call: Operation) -> str:
    return b.node("Sub", b.constant(1, call.dtypes[0]), b.node("Erf", operand(b, call, 0)))


def _ndtr(b: Builder, call: Operation) -> str:
    """Φ(x) = (1 + erf(x / √2)) / 2."""
    half, one, root = (b.constant(number, call.dtypes[0]) for number in (0.5, 1, math.sqrt(0.5)))
    erf = b.node("Erf", b.node("Mul", operand(b, call, 0), root))
    return b.node("Mul", b.node("Add", erf, one), half)


def _square(b: Builder, call: Operation) -> str:
    x = operand(b, call, 0)
    return b.node("Mul", x, x)


def _relu(b: Builder, call: Operation) -> str:
    x = operand(b, call, 0)
    return b.node("Relu", x) if call.dtypes[0].kind == "f" else b.node("Max", x, b.constant(0, call.dtypes[0]))


def _log_sigmoid(b: Builder, call: Operation) -> str:
    return b.node("Neg", b.node("Softplus", b.node("Neg", operand(b, call, 0))))


def _real(b: Builder, call: Operation) -> str:
    """The argument of a predicate that ONNX has for floating numbers only."""
    floating = call.promoted is not None and call.promoted.kind == "f"
    return operand(b, call, 0, call.promoted if floating else np.float32)


def predicate(kind: str) -> Row:
    return lambda b, call: b.node(kind, _real(b, call))


def _isfinite(b: Builder, call: Operation) -> str:
    x = _real(b, call)
    return b.node("Not", b.node("Or", b.node("IsNaN", x), b.node("IsInf", x)))


def _astype(b: Builder, call: Operation) -> str:
    return operand(b, call, 0, call.dtypes[0])


def _dropout(b: Builder, call: Operation) -> str:
    if call.params["p"]:
        raise ValueError("dropout cannot be exported; export in evaluation mode")
    return operand(b, call, 0)


# Softmax and normalisation


def softmax(kind: str, of_nothing: float) -> Row:
    """ONNX's gives NaN for rows of nothing but -inf: there is nothing to attend to."""

    def write(b: Builder, call: Operation) -> str:
        dtype, axis = call.dtypes[0], call.params["axis"]
        x, lowest = operand(b, call, 0, dtype), b.constant(-np.inf, dtype)
        nothing = b.node("Equal", b.node("ReduceMax", x, b.constant([axis], np.int64), keepdims=1), lowest)
        return b.node("Where", nothing, b.constant(of_nothing, dtype), b.node(kind, x, axis=axis))

    return write


def _layer_norm(b: Builder, call: Operation) -> str:
    weight, bias = (None if call.arguments[place] is None else operand(b, call, place) for place in (1, 2))
    if weight is None:
        weight = b.expand(b.constant([1], call.dtypes[0]), (1,), call.shapes[0][-1:])
    return b.node("LayerNormalization", operand(b, call, 0), weight, bias, axis=-1, epsilon=call.params["eps"])


# Products


def _linear(b: Builder, call: Operation) -> str:
    product = b.node("MatMul", operand(b, call, 0), b.node("Transpose", operand(b, call, 1), perm=[1, 0]))
    return product if call.arguments[2] is None else b.node("Add", product, operand(b, call, 2))


def _vecdot(b: Builder, call: Operation) -> str:
    return b.node("ReduceSum", b.node("Mul", *operands(b, call)), b.constant([-1], np.int64), keepdims=0)


# Reductions and scans


def reduction(kind: str, *through: npt.DTypeLike) -> Row:
    """Over some axes or all; ``through``: the dtypes that the argument is brought to, where not to the result's."""

    def write(b: Builder, call: Operation) -> str:
        axis, ndim, result = call.params["axis"], len(shape_of(call, 0)), call.dtypes[0]
        axes = range(ndim) if axis is None or not ndim else axis if isinstance(axis, tuple) else (axis,)
        first, *others = through or (result,)
        x = operand(b, call, 0, first)
        for dtype in others:
            x = b.cast(x, dtype)
        if axes:
            x = b.node(kind, x, b.constant(list(axes), np.int64), keepdims=int(call.params["keepdims"]))
        return x if not through or others[-1:] == [result] else b.cast(x, result)

    return write


def extreme(kind: str) -> Row:
    return lambda b, call: b.node(
        kind, operand(b, call, 0), axis=call.params["axis"], keepdims=int(call.params["keepdims"])
    )


def _cumsum(b: Builder, call: Operation) -> str:
    x, axis = operand(b, call, 0, call.dtypes[0]), b.constant(call.params["axis"], np.int64)
    return b.node("CumSum", x, axis, reverse=int(call.params["reverse"]))


# Shapes


def _reshape(b: Builder, call: Operation) -> str:
    return b.reshape(_whole(b, call), shape_of(call, 0), call.shapes[0])


def _broadcast_to(b: Builder, call: Operation) -> str:
    return b.expand(_whole(b, call), shape_of(call, 0), call.shapes[0])


def _permute_dims(b: Builder, call: Operation) -> str:
    ndim = len(call.shapes[0])
    return b.node("Transpose", _whole(b, call), perm=[axis % ndim for axis in call.params["axes"]])


def _flip(b: Builder, call: Operation) -> str:
    axis = call.params["axis"]
    axes = range(len(call.shapes[0])) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return b.slice(_whole(b, call), [(each, LAST, FIRST, -1) for each in axes])


def _whole(b: Builder, call: Operation) -> str:
    """The first argument, in its own dtype."""
    return operand(b, call, 0, call.dtypes[0])


def _concat(b: Builder, call: Operation) -> str:
    return b.node("Concat", *operands(b, call, call.dtypes[0]), axis=call.params["axis"])


def _split(b: Builder, call: Operation) -> list[str]:
    axis = call.params["axis"]
    parts = b.sizes(shape[axis] for shape in call.shapes)
    return b.nodes("Split", len(call.shapes), _whole(b, call), parts, axis=axis)


def _unstack(b: Builder, call: Operation) -> list[str]:
    axis, count = call.params["axis"], len(call.shapes)
    parts = b.nodes("Split", count, _whole(b, call), b.constant([1] * count, np.int64), axis=axis)
    return [b.node("Squeeze", part, b.constant([axis], np.int64)) for part in parts]


def _pad(b: Builder, call: Operation) -> str:
    widths, values = call.params["widths"], {value for pair in call.params["values"] for value in pair}
    if len(values) > 1:
        raise ValueError(f"pad: ONNX pads with one value, got {sorted(values)}")
    places = b.sizes([before for before, _ in widths] + [after for _, after in widths])
    return b.node("Pad", _whole(b, call), places, b.constant(values.pop() if values else 0, call.dtypes[0]))


def triangle(upper: int) -> Row:
    def write(b: Builder, call: Operation) -> str:
        return b.node("Trilu", _whole(b, call), b.scalar(call.params["k"]), upper=upper)

    return write


# Picking


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
    name = b.slice(_whole(b, call), cuts)
    name = b.node("Squeeze", name, b.constant(gone, np.int64)) if gone else name
    return b.node("Unsqueeze", name, b.constant(added, np.int64)) if added else name


def _take(b: Builder, call: Operation) -> str:
    if call.params["batch"]:
        raise ValueError("indices of each example of a vmap cannot be exported")
    return b.node("Gather", _whole(b, call), operand(b, call, 1, np.int64), axis=call.params["axis"])


def _take_along_axis(b: Builder, call: Operation) -> str:
    axis = call.params["axis"]
    shape, picked = list(shape_of(call, 0)), list(shape_of(call, 1))
    whole = list(call.shapes[0])
    whole[axis] = shape[axis]
    x = b.expand(_whole(b, call), tuple(shape), tuple(whole))
    indices = b.expand(operand(b, call, 1, np.int64), tuple(picked), call.shapes[0])
    return b.node("GatherElements", x, indices, axis=axis)


def _one_hot(b: Builder, call: Operation) -> str:
    indices = b.node("Unsqueeze", operand(b, call, 0, np.int64), b.constant([-1], np.int64))
    hot = b.node("Equal", indices, b.constant(np.arange(call.params["num_classes"]), np.int64))
    return b.cast(hot, call.dtypes[0])


TABLE: dict[str, Row] = {
    # arithmetic
    "add": truth("Or", "Add"),
    "subtract": plain("Sub"),
    "multiply": truth("And", "Mul"),
    "divide": plain("Div"),
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "pow": plain("Pow"),
    "negative": plain("Neg"),
    "positive": chain(),
    "square": _square,
    "reciprocal": plain("Reciprocal"),
    "abs": plain("Abs"),
    "sign": plain("Sign"),
    "maximum": truth("Or", "Max"),
    "minimum": truth("And", "Min"),
    "clip": _clip,
    "floor": plain("Floor"),
    "ceil": plain("Ceil"),
    "astype": _astype,
    # comparisons and logic
    "equal": plain("Equal"),
    "not_equal": negated("Equal"),
    "less": plain("Less"),
    "less_equal": plain("LessOrEqual"),
    "greater": plain("Greater"),
    "greater_equal": plain("GreaterOrEqual"),
    "logical_and": plain("And", np.bool_),
    "logical_or": plain("Or", np.bool_),
    "logical_xor": plain("Xor", np.bool_),
    "logical_not": plain("Not", np.bool_),
    "bitwise_and": truth("And", "BitwiseAnd"),
    "bitwise_or": truth("Or", "BitwiseOr"),
    "bitwise_xor": truth("Xor", "BitwiseXor"),
    "bitwise_invert": truth("Not", "BitwiseNot"),
    "isnan": predicate("IsNaN"),
    "isinf": predicate("IsInf"),
    "isfinite": _isfinite,
    "where": _where,
    # functions of real numbers
    "exp": plain("Exp"),
    "exp2": with_number("Pow", 2, reverse=True),
    "expm1": with_number("Sub", 1, before="Exp"),
    "log": plain("Log"),
    "log1p": with_number("Add", 1, after="Log"),
    "log2": with_number("Mul", 1 / math.log(2), before="Log"),
    "log10": with_number("Mul", 1 / math.log(10), before="Log"),
    "sqrt": plain("Sqrt"),
    "rsqrt": chain("Sqrt", "Reciprocal"),
    "sin": plain("Sin"),
    "cos": plain("Cos"),
    "tan": plain("Tan"),
    "asin": plain("Asin"),
    "acos": plain("Acos"),
    "atan": plain("Atan"),
    "sinh": plain("Sinh"),
    "cosh": plain("Cosh"),
    "tanh": plain("Tanh"),
    "asinh": plain("Asinh"),
    "acosh": plain("Acosh"),
    "atanh": plain("Atanh"),
    "erf": plain("Erf"),
    "erfc": _erfc,
    "ndtr": _ndtr,
    # activations
    "relu": _relu,
    "sigmoid": plain("Sigmoid"),
    "log_sigmoid": _log_sigmoid,
    "softplus": plain("Softplus"),
    "gelu": lambda b, call: b.node("Gelu", operand(b, call, 0), approximate=call.params["approximate"]),
    "dropout": _dropout,
    "softmax": softmax("Softmax", 0.0),
    "log_softmax": softmax("LogSoftmax", -np.inf),
    "layer_norm": _layer_norm,
    # products
    "matmul": plain("MatMul"),
    "vecdot": _vecdot,
    "linear": _linear,
    # reductions and scans
    "sum": reduction("ReduceSum"),
    "prod": reduction("ReduceProd"),
    "mean": reduction("ReduceMean"),
    "max": reduction("ReduceMax"),
    "min": reduction("ReduceMin"),
    "logsumexp": reduction("ReduceLogSumExp"),
    "any": reduction("ReduceMax", np.bool_, np.int32),
    "all": reduction("ReduceMin", np.bool_, np.int32),
    "count_nonzero": reduction("ReduceSum", np.bool_, np.int64),
    "argmax": extreme("ArgMax"),
    "argmin": extreme("ArgMin"),
    "cumsum": _cumsum,
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
    # picking
    "getitem": _getitem,
    "take": _take,
    "embedding": _take,
    "take_along_axis": _take_along_axis,
    "one_hot": _one_hot,
}
