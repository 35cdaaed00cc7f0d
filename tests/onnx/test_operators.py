"""Every operation that can be exported, against onnxruntime: at the example's size, and at another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F
from minigrad.nn.functional.dropout import seeded_dropout
from minigrad.onnx.operators import TABLE
from minigrad.onnx.recording import Recorder

pytestmark = pytest.mark.peers

rng = np.random.default_rng(0)
Case = tuple[Callable[..., Any], tuple[np.ndarray, ...]]


def reals(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return rng.uniform(0.1, 0.9, shape).astype(np.float32)


def integers(*shape: int, low: int = -4, high: int = 5) -> np.ndarray:
    return rng.integers(low, high, shape)


def flags(*shape: int) -> np.ndarray:
    return rng.random(shape) < 0.5


SPECIAL = np.array([[0.0, np.nan, 1.0], [np.inf, -np.inf, 2.0]], np.float32)
SCORES = np.where(flags(3, 4, 5), reals(3, 4, 5), -np.inf).astype(np.float32)
SCORES[1, 2] = -np.inf

UNARY = ["negative", "positive", "square", "abs", "sign", "floor", "ceil"]
UNARY += ["exp", "exp2", "expm1", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "asinh"]
UNARY += ["erf", "erfc", "ndtr", "relu", "sigmoid", "log_sigmoid", "softplus"]
ON_POSITIVE = ["log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "asin", "acos", "atanh"]
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "remainder", "floor_divide"]
COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
LOGIC = ["logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor"]

CASES: dict[str, Case] = {
    **{name: (getattr(mg, name), (reals(3, 5),)) for name in UNARY},
    **{name: (getattr(mg, name), (positive(3, 5),)) for name in ON_POSITIVE},
    **{name: (getattr(mg, name), (reals(3, 1, 5), positive(4, 1))) for name in BINARY},
    **{name: (getattr(mg, name), (integers(3, 5), integers(3, 1))) for name in COMPARISONS},
    **{name: (getattr(mg, name), (flags(3, 5), flags(5))) for name in LOGIC},
    "acosh": (lambda x: mg.acosh(x + 1), (positive(3, 5),)),
    "pow": (mg.pow, (positive(3, 5), reals(5))),
    "power of a number": (lambda x: x**3 + 2.0**x, (reals(3, 5),)),
    "add to integers": (lambda x: x + 2, (integers(3, 5),)),
    "add to booleans": (mg.add, (flags(3, 5), flags(3, 5))),
    "multiply booleans": (mg.multiply, (flags(3, 5), flags(3, 5))),
    "promote integers": (mg.multiply, (integers(3, 5), reals(5))),
    "divide integers": (mg.divide, (integers(3, 5), integers(5, low=1))),
    "floor_divide integers": (mg.floor_divide, (integers(3, 5), np.array([1, -2, 3, -4, 5]))),
    "remainder of integers": (mg.remainder, (integers(3, 5), np.array([1, -2, 3, -4, 5]))),
    "clip": (lambda x: mg.clip(x, -0.5, 0.5), (reals(3, 5),)),
    "clip integers from below": (lambda x: mg.clip(x, 0), (integers(3, 5),)),
    "relu of integers": (mg.relu, (integers(3, 5),)),
    "astype": (lambda x: mg.astype(x, mg.int64), (reals(3, 5) * 3,)),
    "astype to booleans": (lambda x: x.astype(mg.bool), (integers(3, 5, low=0, high=2),)),
    "logical_not": (mg.logical_not, (integers(3, 5),)),
    "bitwise_invert": (mg.bitwise_invert, (flags(3, 5),)),
    "bitwise_and of integers": (mg.bitwise_and, (integers(3, 5), integers(3, 5))),
    "isnan": (mg.isnan, (SPECIAL,)),
    "isinf": (mg.isinf, (SPECIAL,)),
    "isfinite": (mg.isfinite, (SPECIAL,)),
    "isfinite of integers": (mg.isfinite, (integers(3, 5),)),
    "where": (lambda c, x: mg.where(c, x, -np.inf), (flags(3, 5), reals(3, 1))),
    "where of numbers": (lambda c: mg.where(c, 1.5, 0), (flags(3, 5),)),
    "gelu": (F.gelu, (reals(3, 5),)),
    "gelu by tanh": (lambda x: F.gelu(x, "tanh"), (reals(3, 5),)),
    "silu": (F.silu, (reals(3, 5),)),
    "dropout of nothing": (lambda x: seeded_dropout(x, 0.0, 0), (reals(3, 5),)),
    "softmax": (lambda x: mg.softmax(x, 1), (reals(3, 4, 5),)),
    "softmax of nothing": (mg.softmax, (SCORES,)),
    "log_softmax": (mg.log_softmax, (reals(3, 4, 5),)),
    "log_softmax of nothing": (mg.log_softmax, (np.full((3, 4), -np.inf, np.float32),)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (5,), w, b), (reals(3, 4, 5), reals(5), reals(5))),
    "layer_norm without parameters": (lambda x: F.layer_norm(x, (5,), eps=1e-3), (reals(3, 5),)),
    "rms_norm": (lambda x, w: F.rms_norm(x, (5,), w), (reals(3, 5), reals(5))),
    "matmul": (mg.matmul, (reals(3, 1, 4, 5), reals(2, 5, 6))),
    "matmul by a matrix": (mg.matmul, (reals(3, 4, 5), reals(5, 6))),
    "matmul of vectors": (mg.matmul, (reals(5), reals(5))),
    "vecdot": (mg.vecdot, (reals(3, 5), reals(3, 5))),
    "linear": (F.linear, (reals(3, 4, 5), reals(6, 5), reals(6))),
    "linear without bias": (F.linear, (reals(3, 5), reals(6, 5))),
    "einsum": (lambda x, y: mg.einsum("bqhd,bkhd->bhqk", x, y), (reals(3, 4, 2, 5), reals(3, 6, 2, 5))),
    "sum": (lambda x: mg.sum(x, axis=(0, 2)), (reals(3, 4, 5),)),
    "sum of everything": (mg.sum, (reals(3, 5),)),
    "sum of booleans": (lambda x: mg.sum(x, axis=1, keepdims=True), (flags(3, 5),)),
    "sum of a scalar": (lambda x: mg.sum(mg.sum(x)), (reals(3, 5),)),
    "prod": (lambda x: mg.prod(x, axis=0), (reals(3, 5),)),
    "mean": (lambda x: mg.mean(x, axis=-1, keepdims=True), (reals(3, 5),)),
    "mean of integers": (lambda x: mg.mean(x, axis=-1), (integers(3, 5),)),
    "var and std": (lambda x: (mg.var(x, axis=1), mg.std(x, axis=1)), (reals(3, 5),)),
    "max": (lambda x: mg.max(x, axis=1), (reals(3, 5),)),
    "min": (lambda x: mg.min(x, axis=(0, 1)), (integers(3, 5),)),
    "logsumexp": (lambda x: mg.logsumexp(x, axis=1), (reals(3, 5),)),
    "any": (lambda x: mg.any(x, axis=1), (flags(3, 5),)),
    "any of numbers": (lambda x: mg.any(x, axis=1), (np.array([[0, 0], [0.5, 0], [0, 0]], np.float32),)),
    "all": (lambda x: mg.all(x, axis=0, keepdims=True), (flags(3, 5),)),
    "count_nonzero": (lambda x: mg.count_nonzero(x, axis=1), (integers(3, 5),)),
    "argmax": (lambda x: mg.argmax(x, axis=1), (reals(3, 5),)),
    "argmin": (lambda x: mg.argmin(x, axis=0, keepdims=True), (reals(3, 5),)),
    "cumsum": (lambda x: mg.cumulative_sum(x, axis=1), (reals(3, 5),)),
    "cumsum of booleans": (lambda x: mg.cumulative_sum(x, axis=1) - 1, (flags(3, 5),)),
    "reshape": (lambda x: x.reshape(x.shape[0] * 4, 5), (reals(3, 4, 5),)),
    "reshape to two unknown sizes": (lambda x: x.reshape(5, 4, x.shape[0], x.shape[0]), (reals(3, 3, 4, 5),)),
    "reshape of nothing": (lambda x: x[:, :0].reshape(0, x.shape[0]), (reals(3, 5),)),
    "expand_dims": (lambda x: mg.expand_dims(x, (0, 2)), (reals(3, 5),)),
    "squeeze": (lambda x: mg.squeeze(x, 1)[None], (reals(3, 1, 5),)),
    "broadcast_to": (lambda x: mg.broadcast_to(x[:, None], (2, x.shape[0], 4, 5)), (reals(3, 5),)),
    "permute_dims": (lambda x: x.transpose(2, 0, -2), (reals(3, 4, 5),)),
    "flip": (lambda x: (mg.flip(x), mg.flip(x, axis=1)), (reals(3, 5),)),
    "concat": (lambda x, y: mg.concat([x, y, x], axis=1), (reals(3, 5), integers(3, 2))),
    "stack": (lambda x: mg.stack([x, x * 2], axis=1), (reals(3, 5),)),
    "split": (lambda x: mg.split(x, [1, 4], axis=1), (reals(3, 5),)),
    "unstack": (lambda x: mg.unstack(x, axis=1), (reals(3, 5),)),
    "pad": (lambda x: mg.pad(x, ((1, 0), (0, 2)), constant_values=1.5), (reals(3, 5),)),
    "tril": (lambda x: mg.tril(x, 1), (reals(3, 4, 5),)),
    "triu": (lambda x: mg.triu(x), (reals(3, 4, 5),)),
    "getitem": (lambda x: x[1:, None, ::2, ..., -1], (reals(3, 4, 2, 5),)),
    "getitem from the end": (lambda x: (x[-1], x[:, -2:], x[::-1, 3:0:-1], x[..., 1, None]), (reals(3, 5),)),
    "getitem by unknown sizes": (lambda x: (x[x.shape[0] - 2], x[1 : x.shape[0] - 1]), (reals(3, 5),)),
    "take": (lambda x, i: mg.take(x, i, axis=1), (reals(3, 5), integers(2, 3, low=0, high=5))),
    "take by an index array": (lambda x, i: x[:, i], (reals(3, 5), np.array([[0, -1], [2, 2]]))),
    "embedding": (lambda i, w: F.embedding(i, w), (integers(3, 4, low=0, high=5), reals(5, 2))),
    "embedding of small integers": (F.embedding, (integers(3, 4, low=0, high=5).astype(np.int32), reals(5, 2))),
    "take_along_axis": (mg.take_along_axis, (reals(3, 5), integers(3, 2, low=0, high=5))),
    "take_along_axis broadcast": (
        lambda x, i: mg.take_along_axis(x, i, axis=1),
        (reals(3, 5, 1), integers(1, 2, 4, low=0, high=5)),
    ),
    "one_hot": (lambda i: mg.one_hot(i, 5), (integers(3, 4, low=0, high=5),)),
}
SQUARE = {"reshape to two unknown sizes"}  # whose second axis has the size of the first


@pytest.mark.parametrize("name", CASES)
def test_an_operation_gives_in_onnxruntime_what_it_gives_here(name: str, check: Any) -> None:
    function, inputs = CASES[name]
    check(function, *inputs, input_names=[f"x{place}" for place in range(len(inputs))], tolerance=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_an_operation_of_dynamic_size_gives_the_same_at_another_size(name: str, check: Any) -> None:
    function, inputs = CASES[name]
    size = len(inputs[0])
    longer = [np.concatenate([array, array[::-1]]) if len(array) == size else array for array in inputs]
    dynamic = [{0: "size"} if len(array) == size else {} for array in inputs]
    names = [f"x{place}" for place in range(len(inputs))]
    if name in SQUARE:
        dynamic[0][1] = "size"
        longer[0] = np.concatenate([longer[0], longer[0]], axis=1)
    check(function, *inputs, others=[longer], dynamic=dynamic, input_names=names)


def test_every_row_of_the_table_has_been_compared() -> None:
    called = set()
    for function, inputs in CASES.values():
        trace = Recorder({}, TABLE).run(function, [mg.tensor(array) for array in inputs])
        called |= {step.op for step in trace.steps}
    assert called == set(TABLE)
