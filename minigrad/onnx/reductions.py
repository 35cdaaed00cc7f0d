"""ONNX operators for softmax and norms, products, reductions and scans."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minigrad.onnx.builder import Builder
from minigrad.onnx.calls import Operation, Row, operand, operands, plain, shape_of

# Softmax and normalisation


def softmax(kind: str, of_nothing: float) -> Row:
    """Softmax with zeros for rows of nothing but -inf, where ONNX's gives NaN."""

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
    """Reduction over some axes or all; ``through``: the dtypes to cast the argument to, other than the result's."""

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


REDUCTIONS: dict[str, Row] = {
    # softmax and normalisation
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
}
