"""Arguments of functions as tensors: precision of Python's numbers, integers where floats are computed, errors."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F

EXACT = [0.1, 0.3, 0.9]  # float32 rounds each of them
x, square = np.array([0.2, 0.7, 0.4]), np.array([[2.0, 0.1, 0.3], [0.1, 3.0, 0.2], [0.3, 0.2, 4.0]])
indices = np.array([0, 2, 1])

# Functions of a float64 tensor and of numbers in a list
BESIDE: dict[str, Callable[[Any], Any]] = {
    "add": lambda v: mg.add(x, v),
    "dot": lambda v: mg.dot(mg.tensor(x), v),
    "dot the other way": lambda v: mg.dot(v, mg.tensor(x)),
    "inner": lambda v: mg.inner(v, x),
    "vdot": lambda v: mg.vdot(x, v),
    "outer": lambda v: mg.outer(v, x),
    "kron": lambda v: mg.kron(x, v),
    "cross": lambda v: mg.cross(x, v),
    "matmul": lambda v: mg.matmul(square, v),
    "tensordot": lambda v: mg.tensordot(square, v, axes=1),
    "vecdot": lambda v: mg.vecdot(square, v),
    "einsum": lambda v: mg.einsum("i,i->i", x, v),
    "solve": lambda v: mg.linalg.solve(square, v),
    "lstsq": lambda v: mg.linalg.lstsq(square, v).solution,
    "multi_dot": lambda v: mg.linalg.multi_dot([square, square, v]),
    "allclose": lambda v: mg.asarray(mg.allclose(np.array(EXACT), v, rtol=0, atol=1e-12)),
    "array_equal": lambda v: mg.asarray(mg.array_equal(np.array(EXACT), v)),
    "isin": lambda v: mg.isin(np.array(EXACT), v),
    "searchsorted": lambda v: mg.searchsorted(v, np.array(EXACT), side="right"),
    "digitize": lambda v: mg.digitize(np.array(EXACT), v),
    "where": lambda v: mg.where(x > 0.3, x, v),
    "concat": lambda v: mg.concat([x, v]),
    "stack": lambda v: mg.stack([v, x]),
    "hstack": lambda v: mg.hstack([v, x]),
    "vstack": lambda v: mg.vstack([x, v]),
    "dstack": lambda v: mg.dstack([x, v]),
    "column_stack": lambda v: mg.column_stack([x, v]),
    "append": lambda v: mg.append(x, v),
    "diff": lambda v: mg.diff(x, prepend=v),
    "trapezoid": lambda v: mg.trapezoid(x, v),
    "gradient": lambda v: mg.gradient(x, v),
    "interp": lambda v: mg.interp(x, v, x),
    "convolve": lambda v: mg.convolve(x, v),
    "average": lambda v: mg.average(x, weights=v),
    "clip": lambda v: mg.clip(x, v, None),
    "put_along_axis": lambda v: mg.put_along_axis(x, indices, v, axis=0),
    "linear": lambda v: F.linear(square, v),
    "mse_loss": lambda v: F.mse_loss(x, v),
    "cosine_similarity": lambda v: F.cosine_similarity(x, v, axis=0),
    "kl_div": lambda v: F.kl_div(x, v),
    "cross_entropy": lambda v: F.cross_entropy(square, indices, weight=v),
    "layer_norm": lambda v: F.layer_norm(square, 3, v),
}


@pytest.mark.parametrize("name", BESIDE)
def test_numbers_in_lists_take_the_precision_of_the_tensor_beside_them(name: str) -> None:
    function = BESIDE[name]
    result, expected = function(EXACT), function(np.array(EXACT))
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy(), expected.numpy())


@pytest.mark.parametrize("scalar", [np.int64(3), np.uint8(3), np.int32(3), np.float64(3.0), np.bool_(True)])
@pytest.mark.parametrize("op", [operator.add, operator.truediv, operator.mul, operator.pow, operator.sub])
def test_numpys_scalars_are_weak(op: Callable[..., Any], scalar: Any) -> None:
    if isinstance(scalar, np.bool_) and op in (operator.sub, operator.pow):
        scalar = np.int16(1)
    array, number = np.full(3, 2, np.float32), scalar.item()
    for result, expected in (
        (op(mg.asarray(array), scalar), op(array, number)),
        (op(scalar, mg.asarray(array)), op(number, array)),
    ):
        assert result.dtype == mg.float32
        assert result.tolist() == expected.tolist()
    assert (mg.ones((2, 3)) / np.prod((2, 3))).dtype == mg.float32
    assert (mg.ones(2, dtype=mg.int8) + np.int64(3)).dtype == mg.int8


SMALL = np.array([200, 100, 50], np.uint8)
COMPUTED: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "gradient": (mg.gradient, (SMALL,)),
    "gradient at coordinates": (mg.gradient, (SMALL, np.array([1, 100, 230], np.uint8))),
    "interp": (mg.interp, (np.array([1.5], np.float32), np.array([1, 2], np.uint8), SMALL[:2])),
    "average": (lambda x, w: mg.average(x, weights=w), (SMALL, np.array([3, 3, 1], np.uint8))),
    "trapezoid": (mg.trapezoid, (SMALL,)),
    "mean": (mg.mean, (SMALL,)),
    "var": (mg.var, (SMALL,)),
    "std": (mg.std, (SMALL,)),
    "median": (mg.median, (SMALL,)),
    "nanmean": (mg.nanmean, (np.array([2**62] * 3),)),
    "quantile": (lambda x: mg.quantile(x, 0.3), (np.array([-128, 127], np.int8),)),
    "norm": (mg.norm, (SMALL,)),
    "l1_loss": (F.l1_loss, (SMALL, SMALL[::-1])),
    "mse_loss": (F.mse_loss, (SMALL, SMALL[::-1])),
    "smooth_l1_loss": (F.smooth_l1_loss, (SMALL, SMALL[::-1])),
    "huber_loss": (F.huber_loss, (SMALL, SMALL[::-1])),
    "margin_ranking_loss": (F.margin_ranking_loss, (SMALL, SMALL[::-1], np.array([1, -1, 1], np.int8))),
    "pairwise_distance": (F.pairwise_distance, (SMALL, SMALL[::-1])),
    "cosine_similarity": (lambda x, y: F.cosine_similarity(x, y, axis=0), (SMALL, SMALL[::-1])),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 2), (SMALL[None],)),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 2), (SMALL[None],)),
    "softsign": (F.softsign, (np.array([127, -128], np.int8),)),
    "hardswish": (F.hardswish, (SMALL,)),
    "fabs": (mg.fabs, (np.array([-128, 3], np.int8),)),
    "tanhshrink": (F.tanhshrink, (SMALL,)),
    "leaky_relu": (F.leaky_relu, (SMALL,)),
    "binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, (SMALL, SMALL // 200)),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_integers_are_computed_in_the_results_dtype(name: str) -> None:
    """A function with a float result gives that of the same numbers as floats: nothing wraps round on the way."""
    function, arguments = COMPUTED[name]
    floats = [each.astype(np.float32) for each in arguments]
    result = function(*arguments)
    assert result.dtype == mg.float32
    np.testing.assert_allclose(result.numpy(), function(*floats).numpy(), rtol=1e-6)


NAMED: dict[str, tuple[Callable[[], Any], str]] = {
    "tanh": (lambda: mg.tanh(None), "x"),
    "sum": (lambda: mg.sum(None), "x"),
    "where": (lambda: mg.where(None, 1, 2), "condition"),
    "reshape": (lambda: mg.reshape(None, (1,)), "x"),
    "add": (lambda: mg.add(mg.ones(2), None), "b"),
    "matmul": (lambda: mg.matmul(None, mg.ones(2)), "x1"),
    "dot": (lambda: mg.dot(mg.ones(2), "a"), "x2"),
    "stack": (lambda: mg.stack([None]), r"arrays\[0\]"),
    "concat": (lambda: mg.concat([mg.ones(2), None]), r"arrays\[1\]"),
    "einsum": (lambda: mg.einsum("i,i", mg.ones(2), None), r"operands\[1\]"),
    "interp": (lambda: mg.interp(mg.ones(2), None, mg.ones(2)), "xp"),
    "a set": (lambda: mg.exp({1.0}), "x"),
    "mse_loss": (lambda: F.mse_loss(None, mg.ones(2)), "input"),
    "cross_entropy": (lambda: F.cross_entropy(mg.ones((1, 2)), None), "target"),
    "linear": (lambda: F.linear(mg.ones((2, 3)), None), "weight"),
    "softmax": (lambda: F.softmax(None), "input"),
    "layer_norm's eps": (lambda: F.layer_norm(mg.ones((2, 3)), 3, eps=None), "eps"),  # type: ignore[arg-type]
    "layer_norm's eps as a tensor": (lambda: F.layer_norm(mg.ones((2, 3)), 3, eps=mg.tensor(1e-5)), "eps"),  # type: ignore[arg-type]
    "rot90": (lambda: mg.rot90(mg.ones((2, 2)), k=1.5), "k"),  # type: ignore[arg-type]
    "split": (lambda: mg.split(mg.ones(4), [1.5]), "indices_or_sections"),  # type: ignore[list-item]
    "array_split": (lambda: mg.array_split(mg.ones(4), 1.5), "indices_or_sections"),  # type: ignore[arg-type]
    "topk": (lambda: mg.topk(mg.ones(3), 1.5), "k"),  # type: ignore[arg-type]
    "polygamma": (lambda: mg.polygamma(1.5, mg.ones(2)), "n"),  # type: ignore[arg-type]
    "diff": (lambda: mg.diff(mg.ones(3), n=1.5), "n"),  # type: ignore[arg-type]
    "average": (lambda: mg.average(mg.ones((2, 3)), axis=True, weights=np.ones(3)), "axis"),
    "sum's axis": (lambda: mg.sum(mg.ones((2, 3)), axis=True), "axis"),
    "softmax's axis": (lambda: mg.softmax(mg.ones((2, 3)), axis=1.5), "axis"),  # type: ignore[arg-type]
    "tile": (lambda: mg.tile(mg.ones(2), 1.5), "reps"),  # type: ignore[arg-type]
    "roll": (lambda: mg.roll(mg.ones(2), (1.5,)), "shift"),  # type: ignore[arg-type]
    "tril": (lambda: mg.tril(mg.ones((2, 2)), 0.5), "k"),  # type: ignore[arg-type]
    "one_hot": (lambda: mg.one_hot([0], 2.5), "num_classes"),  # type: ignore[arg-type]
    "round": (lambda: mg.round(mg.ones(2), "x"), "decimals"),  # type: ignore[arg-type]
    "diagonal": (lambda: mg.diagonal(mg.ones((2, 2)), 0.5), "offset"),  # type: ignore[arg-type]
    "zeros": (lambda: mg.zeros((2, 1.5)), "shape"),  # type: ignore[arg-type]
    "linspace": (lambda: mg.linspace(0, 1, 2.5), "num"),  # type: ignore[arg-type]
    "conv1d": (lambda: F.conv1d(mg.ones((1, 2, 4)), mg.ones((1, 2, 2)), stride=1.5), "stride"),
    "max_pool1d": (lambda: F.max_pool1d(mg.ones((1, 2, 4)), 1.5), "kernel_size"),
    "dropout": (lambda: F.dropout(mg.ones(2), "x"), "p"),  # type: ignore[arg-type]
    "round to None": (lambda: mg.round(mg.ones(2), None), "decimals"),  # type: ignore[arg-type]
    "split into None": (lambda: mg.split(mg.ones(2), None), "indices_or_sections"),  # type: ignore[arg-type]
    "sort's descending": (lambda: mg.sort(mg.ones(2), -1, np.ones(2)), "descending"),  # type: ignore[arg-type]
    "median's keepdims": (lambda: mg.median(mg.ones((2, 2)), 0, np.ones(2)), "keepdims"),  # type: ignore[arg-type]
    "var's correction": (lambda: mg.var(mg.ones(2), 0, np.ones(2)), "correction"),  # type: ignore[arg-type]
    "array_equal's equal_nan": (lambda: mg.array_equal(1, 1, np.ones(2)), "equal_nan"),  # type: ignore[arg-type]
    "broadcast_to": (lambda: mg.broadcast_to(mg.ones(2), np.ones((2, 2))), "shape"),  # type: ignore[arg-type]
    "reshape's copy": (lambda: mg.reshape(mg.ones(2), (2,), np.ones(2)), "copy"),  # type: ignore[call-arg]
    "argpartition": (lambda: mg.argpartition(mg.ones(2), True), "kth"),
    "nan_to_num": (lambda: mg.nan_to_num(mg.ones(2), None), "nan"),  # type: ignore[arg-type]
    "diag": (lambda: mg.diag(mg.ones(2), [1, 2]), "k"),  # type: ignore[arg-type]
    "tri": (lambda: mg.tri(mg.inf), "n_rows"),  # type: ignore[arg-type]
    "rot90's axes": (lambda: mg.rot90(mg.ones((2, 2)), 1, None), "axes"),  # type: ignore[arg-type]
    "select": (lambda: mg.select(mg.ones(2), 0.5), "choicelist"),  # type: ignore[arg-type]
    "a join of a scalar": (lambda: mg.concat(np.int16(1)), "arrays"),  # type: ignore[arg-type]
    "vecdot's axis": (lambda: mg.vecdot(mg.ones(2), mg.ones(2), mg.ones(2)), "axis"),  # type: ignore[arg-type]
    "clip": (lambda: mg.clip(mg.ones(2), 0, "a"), "max"),
    "a dtype": (lambda: mg.zeros(2, dtype=3), "dtype"),  # type: ignore[arg-type]
    "take's axis": (lambda: mg.take(mg.ones((2, 3)), [0], axis="0"), "axis"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", NAMED)
def test_an_argument_of_another_kind_is_named(name: str) -> None:
    call, argument = NAMED[name]
    with pytest.raises(TypeError, match=rf"^{argument}(:| must be)"):
        call()


OUT_OF_RANGE: dict[str, tuple[Callable[[], Any], str]] = {
    "mean": (lambda: mg.mean(np.float32(3), axis=7), "axis 7"),
    "topk": (lambda: mg.topk(mg.ones((2, 3)), 1, axis=2**31), "axis 2147483648"),
    "sum": (lambda: mg.sum(mg.ones((2, 3)), axis=2**40), f"axis {2**40}"),
    "sort": (lambda: mg.sort(mg.ones((2, 3)), axis=-(2**70)), f"axis -{2**70}"),
    "linear": (lambda: F.linear(mg.ones((2, 3)), 0), "weight"),
    "einsum": (lambda: mg.einsum("ij->i", mg.ones((2, 3)), optimize="x"), "optimize"),
    "multi_dot": (lambda: mg.linalg.multi_dot([np.ones((2, 3)), np.ones((1, 3)), np.ones((3, 2))]), "arrays"),
    "searchsorted": (lambda: mg.searchsorted(np.ones((2, 2)), 1), "x1: expected one dimension"),
    "digitize": (lambda: mg.digitize(1, 2), "bins: expected one dimension"),
    "bincount": (lambda: mg.bincount(np.ones((2, 2), int)), "x: expected one dimension"),
    "pad": (lambda: mg.pad(mg.ones(2), -1), "pad_width"),
    "pad's mode": (lambda: mg.pad(mg.ones(2), 1, mg.ones(2)), "mode"),  # type: ignore[arg-type]
    "a join of nothing": (lambda: mg.concat([]), "arrays"),
    "polygamma": (lambda: mg.polygamma(10**21, mg.ones(2)), "n: expected 0 to 1000"),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_an_argument_out_of_range_is_named(name: str) -> None:
    call, message = OUT_OF_RANGE[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_more_differences_than_elements_end() -> None:
    assert mg.diff(mg.ones(3), n=10**21).shape == (0,)


def test_a_users_array_that_changes_later_does_not_change_the_gradient() -> None:
    x, weights = mg.tensor([1.0, 2.0], requires_grad=True), np.array([1.0, 3.0], np.float32)
    y = mg.average(x, weights=weights)
    weights[:] = 0
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.25, 0.75]
