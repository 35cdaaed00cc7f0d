"""NumPy's functions and operators on tensors: tensors come out, with gradients, or an error where one would be lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

import minigrad as mg
from minigrad import Tensor
from minigrad.testing import gradcheck

X = np.array([[0.3, 0.8, 0.5], [0.9, 0.2, 0.4]])

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    **{
        name: getattr(np, name)
        for name in (
            *("sin", "arcsin", "arctan", "exp", "log1p", "sqrt", "square", "tanh", "absolute", "negative", "sinc"),
            *("sum", "mean", "prod", "var", "std", "max", "amin", "median", "cumsum", "cumprod", "ravel", "transpose"),
            *("sort", "flip", "squeeze", "diff", "trace", "diagonal", "tril", "nan_to_num", "atleast_3d", "fliplr"),
        )
    },
    "concatenate": lambda x: np.concatenate([x, X], axis=1),
    "stack": lambda x: np.stack([X, x]),
    "vstack": lambda x: np.vstack([x, X]),
    "where": lambda x: np.where(X > 0.45, x, X),
    "maximum": lambda x: np.maximum(x, 0.45),
    "power": lambda x: np.power(x, 2.5),
    "hypot": lambda x: np.hypot(x, X + 1),
    "arctan2": lambda x: np.arctan2(x, X + 1),
    "logaddexp": lambda x: np.logaddexp(x, X),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, X),
    "tensordot": lambda x: np.tensordot(x, X, axes=([0], [0])),
    "dot": lambda x: np.dot(X.T, x),
    "matmul": lambda x: np.matmul(X, x.T),
    "outer": lambda x: np.outer(x, X),
    "kron": lambda x: np.kron(x, X),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "broadcast_to": lambda x: np.broadcast_to(x, (4, 2, 3)),
    "roll": lambda x: np.roll(x, 1, axis=1),
    "tile": lambda x: np.tile(x, (2, 1)),
    "repeat": lambda x: np.repeat(x, 2, axis=0),
    "pad": lambda x: np.pad(x, ((1, 1), (0, 2))),
    "take": lambda x: np.take(x, [2, 0], axis=1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[0, 1, 1]]), 0),
    "clip": lambda x: np.clip(x, 0.25, 0.85),
    "mean over an axis": lambda x: np.mean(x, axis=1, keepdims=True),
    "var of a sample": lambda x: np.var(x, axis=0, ddof=1),
    "norm": lambda x: np.linalg.norm(x, axis=1),
    "inv": lambda x: np.linalg.inv(x @ x.T),
    "det": lambda x: np.linalg.det(x @ x.T),
    "qr": lambda x: np.linalg.qr(x.T, mode="r"),
    "eigvalsh": lambda x: np.linalg.eigvalsh(x[:, :2]),
    "cross": lambda x: np.cross(x.T, X.T, axisa=0, axisb=0, axisc=0),
    "copy": lambda x: np.copy(x),
    "solve": lambda x: np.linalg.solve(x @ x.T, X),
    "add.reduce": lambda x: np.add.reduce(x, axis=1),
    "multiply.reduce": lambda x: np.multiply.reduce(x),
    "add.accumulate": lambda x: np.add.accumulate(x, axis=1),
    "scipy.special.erf": special.erf,
    "scipy.special.gammaln": special.gammaln,
    "array @ tensor": lambda x: X.T @ x,
    "array * tensor": lambda x: X * x,
    "scalar / tensor": lambda x: np.float64(2) / x,
    "array - tensor": lambda x: X[0] - x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpys_functions_give_tensors_with_gradients(name: str) -> None:
    function = FUNCTIONS[name]
    result = function(mg.tensor(X))
    assert isinstance(result, Tensor)
    np.testing.assert_allclose(result.numpy(), function(X), rtol=1e-12)
    assert gradcheck(function, X, order=2)


# Calls as NumPy's users write them: by place, by name, with defaults spelt out
CALLS = """
np.mean(x, 0, None, None, True)
np.sum(x, 1, None, None, True)
np.sum(a=x, axis=0, dtype=np.float32)
np.max(x, 1, None, True)
np.prod(x, 0, None, None, True)
np.var(x, 0, None, None, 1)
np.var(x, 0, None, None, 1, True)
np.std(x, axis=-1, ddof=1, keepdims=True)
np.var(x, correction=1)
np.median(x, 1, None, True, True)
np.ptp(x, 0, None)
np.nanmean(x, 0, None, None, True)
np.quantile(x, 0.3, None, None, False, "nearest")
np.percentile(x, [30, 50], axis=1, keepdims=True)
np.average(x, 0, X)
np.average(X, weights=x)
np.argmax(x, 1, None)
np.sort(x, 0, None)
np.sort(x, kind="heapsort")
np.argsort(x, 0, "stable")
np.partition(x, 1, 0, "introselect")
np.cumsum(x, 0, None)
np.cumulative_sum(x, axis=1, include_initial=True)
np.diff(x, 1, 0, append=X[:1])
np.round(x, 1, None)
np.clip(x, None, 0.5)
np.clip(x, a_min=0.3, a_max=0.5)
np.clip(x, min=0.3)
np.nan_to_num(x, True, 1.0, 2.0, -2.0)
np.reshape(x, (3, 2), "C")
np.reshape(x, shape=-1)
np.ravel(x, order="C")
np.transpose(x, axes=[1, 0])
np.moveaxis(x, source=0, destination=1)
np.expand_dims(x, axis=(0, 1))
np.broadcast_to(x, shape=(2, 2, 3), subok=True)
np.broadcast_arrays(x, X[0])
np.atleast_2d(x[0], X)
np.copy(x, "C")
np.zeros_like(x, None, "C")
np.full_like(x, 3, dtype=np.float32)
np.concatenate((x, X), axis=None, casting="same_kind")
np.stack([X, x], -1, None)
np.hstack((x, X), dtype=None)
np.append(X, x, axis=1)
np.array_split(x, [1, 2], axis=1)
np.meshgrid(x[0], X[1], indexing="ij")
np.pad(x, ((1, 0), (0, 2)), "constant", constant_values=3)
np.roll(x, (1, 2), (0, 1))
np.rot90(x, 1, (1, 0))
np.repeat(x, repeats=2, axis=1)
np.take(x, [2, 0], 1, None, "raise")
np.take_along_axis(x, indices=np.argsort(X, 0), axis=0)
np.diagonal(x, 1, 1, 0)
np.trace(x, 0, 1, 0, None)
np.gradient(x, 1.0, [0.0, 1.0, 3.0])
np.gradient(x, 2.0, axis=1)
np.trapezoid(X, x=x)
np.trapezoid(x, None, 0.5, 0)
np.cross(x.T, X.T, 0, 0, axisc=0)
np.einsum("ij,kj->ik", x, X, optimize=True)
np.einsum(x, [0, 1], [1, 0])
np.dot(X.T, x, None)
np.tensordot(X, x, axes=([0, 1], [0, 1]))
np.where(X > 0.4, X, x)
np.where(x > 0.4)
np.select([X > 0.4, X > 0.2], [x, 2 * X], 7)
np.interp(X, [0, 1], x[0, :2], left=-1.0)
np.searchsorted(np.sort(x[0]), X[1], "right")
np.bincount([0, 1, 1], x[0], 4)
np.unique(x, True, True, axis=0)
np.linspace(x[0], 1, 4, False)
np.arange(1, 5, 2, like=x)
np.array([1, 2], like=x)
np.eye(2, 3, dtype=np.float64, like=x)
np.lib.stride_tricks.sliding_window_view(x, 2, 1)
np.linalg.norm(x, 1, 0, True)
np.linalg.norm(x, None, 1)
np.linalg.vector_norm(x, axis=1, keepdims=True, ord=3)
np.linalg.svd(x, False)[1]
np.linalg.svd(x, compute_uv=False)
np.linalg.qr(x, mode="r")
np.linalg.eigh(x[:, :2])[0]
np.linalg.eigvalsh(x[:, :2], "U")
np.linalg.pinv(x, rcond=1e-3)
np.linalg.lstsq(x.T, X.T, None)[0]
np.linalg.lstsq(X[:, [0, 0]], x, rcond=-1)[0]
np.linalg.matrix_power(x[:, :2], n=-2)
np.linalg.solve(np.eye(2), x)
np.linalg.multi_dot([X, x.T, X])
np.add(x, 1, None, where=True, casting="same_kind", order="K", dtype=None)
np.vecdot(X, x, axis=0)
np.add.reduce(x, 1, None, None, True)
np.logical_and.reduce(x > 0.3)
np.multiply.accumulate(x, 1)
special.expit(x)
"""
# Calls with an argument that minigrad's function does not have
UNKNOWN = {
    "np.sum(x, where=X > 0.4)": "numpy.sum with where=",
    "np.max(x, initial=0)": "numpy.max with initial=",
    "np.add.reduce(x, initial=2.0)": "numpy.add.reduce with initial=",
    'np.reshape(x, (3, 2), order="F")': "numpy.reshape with order=",
    'np.ravel(x.T, "K")': "numpy.ravel with order=",
    'np.take(x, [7, 0], 1, None, "wrap")': "numpy.take with mode=",
    "np.add(x, 1, dtype=np.float64)": "numpy.add with dtype=",
    "np.mean(x, 0, np.float64)": "numpy.mean with dtype=",
    "np.concatenate([X, x], dtype=np.float32)": "numpy.concatenate with dtype=",
    "np.meshgrid(x[0], X[1], sparse=True)[0]": "numpy.meshgrid with sparse=",
    "np.linalg.svd(x[:, :2], hermitian=True)[1]": "numpy.linalg.svd with hermitian=",
    "np.histogram(x, bins=3)[0]": "numpy.histogram",
    "np.fft.rfft(x)": "numpy.fft.rfft",
    "np.multiply.outer(x, X)": "numpy.multiply.outer",
}
WRITES = {
    "np.add.at(x, 0, 1.0)": "use index_add or scatter_add",
    "np.copyto(x, X)": "x[index] = values",
    "np.put(x, [0], 5)": "x[index] = values",
    "np.place(x, X > 0.4, 5)": "x[index] = values",
    "np.putmask(x, X > 0.4, 5)": "x[index] = values",
    "np.fill_diagonal(x, 5)": "x[index] = values",
    "np.sum(X, 0, None, x[0])": "out cannot be a tensor",
    "np.add(X, 1, out=x)": "out cannot be a tensor",
    "np.add.reduce(X, out=x[0])": "out cannot be a tensor",
    "np.nan_to_num(x, copy=False)": "read-only",
}
ARRAY_WRITES = (
    *("np.add(X, x, out=array)", "np.sum(x[None], 0, None, array)", "np.clip(x, 0, 1, array)"),
    *("np.add.at(array, [0, 1], x)", "np.copyto(array, x)", "np.putmask(array, X > 0, x)"),
)
FACTS = (
    *("np.array_equiv(x, X)", "np.iscomplexobj(x)", "np.isposinf(x)", "np.result_type(x, np.float32)"),
    *(
        "np.lexsort((x[0], X[1]))",
        "np.nanargmax(x, 1)",
        "np.linalg.matrix_rank(x, 0.5)",
        "np.may_share_memory(x, X + 1)",
    ),
)


def run(call: str, x: Any, **names: Any) -> Any:
    return eval(call, {"np": np, "special": special, "X": X, "x": x, **names})


def parts(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("call", CALLS.split("\n")[1:-1])
def test_arguments_mean_what_they_mean_to_numpy(call: str, requires_grad: bool) -> None:
    results = parts(run(call, mg.tensor(X, requires_grad=requires_grad)))
    assert all(isinstance(result, Tensor) for result in results)
    for result, expected in zip(results, parts(run(call, X)), strict=True):
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result.detach().numpy(), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("call", "name"), UNKNOWN.items())
def test_functions_without_a_counterpart_give_arrays_unless_a_gradient_would_be_lost(call: str, name: str) -> None:
    result = run(call, mg.tensor(X))
    assert not isinstance(result, Tensor)
    np.testing.assert_array_equal(result, run(call, X))
    with pytest.raises(TypeError, match=f"^{name} has no counterpart in minigrad, so the gradient would be lost"):
        run(call, mg.tensor(X, requires_grad=True))
    with mg.no_grad():
        assert not isinstance(run(call, mg.tensor(X, requires_grad=True)), Tensor)


@pytest.mark.parametrize(("call", "hint"), WRITES.items())
def test_numpy_never_writes_into_a_tensor_unseen(call: str, hint: str) -> None:
    x = mg.tensor(X)
    with pytest.raises((TypeError, ValueError), match=re.escape(hint)):
        run(call, x)
    np.testing.assert_array_equal(x.data, X)


def test_put_along_axis_is_a_change_that_graphs_know_of() -> None:
    x, weight = mg.tensor(X), mg.ones(X.shape, dtype=mg.float64).requires_grad_()
    loss = (x * weight).sum()
    np.put_along_axis(x, np.array([[0], [1]]), 7.0, axis=1)
    assert x[0, 0].item() == x[1, 1].item() == 7
    with pytest.raises(RuntimeError, match="in place"):
        loss.backward()


@pytest.mark.parametrize("call", ARRAY_WRITES)
def test_arrays_are_written_to_unless_a_gradient_would_be_lost(call: str) -> None:
    array, expected = np.zeros_like(X), np.zeros_like(X)
    run(call, mg.tensor(X), array=array)
    run(call, X, array=expected)
    np.testing.assert_array_equal(array, expected)
    with pytest.raises(TypeError, match="cannot write into an array with gradients"):
        run(call, mg.tensor(X, requires_grad=True), array=array)


@pytest.mark.parametrize("call", FACTS)
def test_functions_without_gradients_work_on_tensors_that_require_one(call: str) -> None:
    np.testing.assert_array_equal(run(call, mg.tensor(X, requires_grad=True)), run(call, X))


def test_a_tensor_is_saved_by_numpy_as_its_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", mg.tensor(X, requires_grad=True))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), X)


def test_writing_into_an_array_loses_no_gradient_silently() -> None:
    x, out = mg.ones(2, dtype=mg.float64), np.ones(2)
    out += x
    assert out.tolist() == [2, 2]
    with pytest.raises(TypeError, match=r"numpy\.add cannot write into an array with gradients"):
        out += x.requires_grad_()


def test_facts_about_tensors() -> None:
    x = mg.ones((2, 3)).requires_grad_()
    assert (np.shape(x), np.ndim(x), np.size(x), np.size(x, (0, 1))) == ((2, 3), 2, 6, 6)
    assert np.allclose(x, 1) and np.array_equal(x, np.ones((2, 3)))
    assert np.isfinite(x).all() and np.argmax(x).item() == 0
    assert np.zeros_like(x).shape == (2, 3)


def test_asarray_shares_memory_where_no_gradient_is_lost() -> None:
    x = mg.ones(3)
    array = np.asarray(x)
    array[0] = 5
    assert x.tolist() == [5, 1, 1]
    assert np.asarray(x, np.float64).dtype == np.float64
    assert np.array(x, copy=True) is not x.data
    with pytest.raises(RuntimeError, match="detach"):
        np.asarray(x.requires_grad_())


def test_dlpack_copies_nothing_in_either_direction() -> None:
    x = mg.tensor([1.0, 2.0])
    array = np.from_dlpack(x)
    assert np.shares_memory(array, x.data)
    back = mg.from_dlpack(array)
    assert np.shares_memory(back.data, array)
    with pytest.raises(RuntimeError, match="gradient"):
        np.from_dlpack(x.requires_grad_())


@pytest.mark.peers
def test_dlpack_exchange_with_pytorch_copies_nothing() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
    x = mg.tensor([1.0, 2.0])
    other = torch.from_dlpack(x)
    other[0] = 7
    assert x.tolist() == [7, 2]
    y = mg.from_dlpack(other)
    y[1] = 8
    assert other.tolist() == [7, 8]


class Labelled:
    """An array of another library, that has tensors within, as xarray's and pint's do."""

    __array_priority__ = 60

    def __init__(self, data: Any) -> None:
        self.data = data

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        raise AssertionError("not asked")

    def _reflected(self, other: Any) -> Labelled:
        return Labelled(other)

    __radd__ = __rmul__ = __rsub__ = __rtruediv__ = __rmatmul__ = __rpow__ = _reflected
    __gt__ = _reflected


def test_operators_defer_to_types_that_hold_tensors() -> None:
    x = mg.ones(2).requires_grad_()
    for result in (
        x * Labelled(x),
        x + Labelled(1),
        x - Labelled(1),
        x / Labelled(x),
        x @ Labelled(x),
        x ** Labelled(2),
    ):
        assert isinstance(result, Labelled)
        assert result.data is x
    assert isinstance(x < Labelled(x), Labelled)
    assert isinstance(x * np.ones(2), mg.Tensor)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.complex64])
def test_storing_a_number_that_has_a_gradient_in_an_array_is_an_error(dtype: type) -> None:
    t, array = mg.tensor([1.0, 2.0], requires_grad=True), np.zeros(2, dtype)
    with pytest.raises((RuntimeError, ValueError)) as caught:
        array[0] = t[0]
    assert "requires a gradient" in str(caught.value.__cause__ or caught.value)
    with pytest.raises(RuntimeError, match="requires a gradient"):
        array[:] = t
    assert not array.any()
    array[0] = t[0].detach()
    assert (array[0], float(t[1]), int(t[1])) == (1, 2.0, 2)  # a conversion that is asked for


def test_numpys_array_of_tracked_tensors_keeps_the_graph() -> None:
    x = mg.tensor(2.0, requires_grad=True)
    np.array([x, x**2], like=x).sum().backward()
    assert x.grad is not None
    assert x.grad.item() == 5


@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
@pytest.mark.parametrize("axes", [None, 0, (0, 1)])
def test_shifts_of_frequencies_are_numpys_with_gradients(name: str, axes: Any) -> None:
    function, array = getattr(np.fft, name), np.arange(15.0).reshape(3, 5)
    x = mg.tensor(array, requires_grad=True)
    result = function(x, axes=axes)
    np.testing.assert_array_equal(result.detach().numpy(), function(array, axes=axes))
    assert gradcheck(lambda t: function(t, axes=axes), x)


def test_angles_of_real_numbers_are_numpys() -> None:
    values = np.array([1.0, -2.0, 0.0, np.inf, np.nan])
    x = mg.tensor(values, requires_grad=True)
    np.testing.assert_array_equal(np.angle(x).detach().numpy(), np.angle(values))
    np.angle(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0] * 5


def test_a_missing_counterpart_is_named_with_its_own_library() -> None:
    x = mg.ones(2).requires_grad_()
    with pytest.raises(TypeError, match=r"scipy\.special\.beta has no counterpart"):
        special.beta(x, 2.0)
    with pytest.raises(TypeError, match=r"numpy\.spacing has no counterpart"):
        np.spacing(x)


def test_functions_of_several_arrays_return_lists_as_numpy_and_the_standard_have_it() -> None:
    x = mg.arange(4)
    for result in (mg.meshgrid(x, x), mg.broadcast_arrays(x, mg.ones((3, 4))), np.split(x, 2), mg.array_split(x, 3)):
        assert isinstance(result, list)
    assert isinstance(mg.unstack(x), tuple)
