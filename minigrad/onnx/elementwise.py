"""ONNX operators for elementwise arithmetic, comparisons and functions."""

from __future__ import annotations

import math

import numpy as np

from minigrad.onnx.builder import Builder
from minigrad.onnx.calls import Operation, Row, operand, operands, plain


def negated(kind: str) -> Row:
    return lambda b, call: b.node("Not", b.node(kind, *operands(b, call)))


def chain(*kinds: str) -> Row:
    """Composition of functions, applied in order."""

    def write(b: Builder, call: Operation) -> str:
        name = operand(b, call, 0)
        for kind in kinds:
            name = b.node(kind, name)
        return name

    return write


def with_number(kind: str, number: float, *, before: str = "", after: str = "", reverse: bool = False) -> Row:
    """Function with a constant: ``log(x + 1)``, ``exp(x) - 1``, ``2 ** x``."""

    def write(b: Builder, call: Operation) -> str:
        x = operand(b, call, 0)
        x = b.node(before, x) if before else x
        value = b.constant(number, call.dtypes[0])
        x = b.node(kind, *((value, x) if reverse else (x, value)))
        return b.node(after, x) if after else x

    return write


def truth(kind: str, of_numbers: str) -> Row:
    """Logical operator on booleans, where ONNX has no arithmetic."""
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
    """Argument of a predicate that ONNX has for floating numbers only."""
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


ELEMENTWISE: dict[str, Row] = {
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
}
