"""Batching rules: inside vmap operations run once on the whole batch, with the results of a loop over examples."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import func
from minigrad.func import batched
from minigrad.nn import functional as F
from minigrad.ops.indexing import setitem
from minigrad.testing import strategies

BATCH = 3
RNG = np.random.default_rng(0)
X, Y, V = (mg.asarray(RNG.normal(size=(BATCH, *shape))) for shape in ((2, 4, 5), (2, 4, 5), (2, 6, 5)))
P, Q = (mg.asarray(RNG.integers(low, 4, (BATCH, 6))) for low in (0, -4))
K, N = mg.asarray(RNG.integers(0, 4, (BATCH, 2, 4, 3))), mg.asarray(RNG.integers(0, 2, BATCH))
M = mg.asarray(RNG.random((BATCH, 2, 4, 5)) < 0.5)

# name → (function of one example, the batches that it is given)
CASES: dict[str, tuple[Callable[..., Any], tuple[mg.Tensor, ...]]] = {
    "reshape": (lambda x: mg.reshape(x, (-1, 4)), (X,)),
    "broadcast_to": (lambda x: mg.broadcast_to(x, (3, 2, 4, 5)), (X,)),
    "permute_dims": (lambda x: mg.permute_dims(x, (2, -3, 1)), (X,)),
    "moveaxis": (lambda x: mg.moveaxis(x, 0, -1), (X,)),
    "flip": (lambda x: mg.flip(x), (X,)),
    "flip along axes": (lambda x: mg.flip(x, axis=(0, -1)), (X,)),
    "rot90": (lambda x: mg.rot90(x, 3, (0, 2)), (X,)),
    "concat with what is shared": (lambda x, y: mg.concat([x, y, np.ones((2, 4, 5))], axis=-1), (X, Y)),
    "stack": (lambda x, y: mg.stack([x, y], axis=1), (X, Y)),
    "unstack": (lambda x: mg.unstack(x, axis=1), (X,)),
    "array_split": (lambda x: mg.array_split(x, [1, 3], axis=1), (X,)),
    "pad": (lambda x: mg.pad(x, ((1, 0), (0, 2), (1, 1)), constant_values=3.0), (X,)),
    "pad by reflection": (lambda x: mg.pad(x, 1, "reflect"), (X,)),
    "roll": (lambda x: mg.roll(x, (1, -2), axis=(0, 2)), (X,)),
    "roll all": (lambda x: mg.roll(x, 3), (X,)),
    "repeat": (lambda x: mg.repeat(x, 2, axis=1), (X,)),
    "repeat each": (lambda x: mg.repeat(x, [1, 0, 2, 1], axis=1), (X,)),
    "tile": (lambda x: mg.tile(x, (2, 1, 1, 2)), (X,)),
    "windows": (lambda x: mg.sliding_window_view(x, (2, 3), (0, 2)), (X,)),
    "tril": (lambda x: mg.tril(x, k=1), (X,)),
    "diag of a vector": (lambda x: mg.diag(x[0, 0], 1), (X,)),
    "diag of a matrix": (lambda x: mg.diag(x[0], -1), (X,)),
    "block_diag": (lambda x: mg.block_diag(x[0], x[1, 0]), (X,)),
    "asarray of a list": (lambda x: mg.asarray([x[0], x[1]]), (X,)),
    "meshgrid": (lambda x: mg.meshgrid(x[0, 0], x[0, :, 0]), (X,)),
    "a view": (lambda x: x[0, None, ::-2, ...], (X,)),
    "shared indices": (lambda x: x[:, [0, -1, 0]], (X,)),
    "a number of its own": (lambda x, n: x[n], (X, N)),
    "indices of its own": (lambda x, i, j: x[:, i, j], (X, P, Q)),
    "separated indices of its own": (lambda x, i, j: x[:, i, None, j], (X, P, Q)),
    "a number and indices of its own": (lambda x, n, j: x[n, :, j], (X, N, Q)),
    "take": (lambda x, i: mg.take(x, i, axis=1), (X, P)),
    "take_along_axis": (lambda x, k: mg.take_along_axis(x, k, axis=-1), (X, K)),
    "embedding": (lambda x, i: F.embedding(i, x[0]), (X, P)),
    "gather": (lambda x, k: mg.gather(x, 2, k[:1]), (X, K)),
    "put_along_axis": (lambda x, k: mg.put_along_axis(x, k, 2.0, axis=-1), (X, K)),
    "scatter": (lambda x, k, y: mg.scatter(x, 2, k, y), (X, K, Y)),
    "scatter_add": (lambda x, k, y: mg.scatter_add(x, 2, k, y), (X, K, Y)),
    "index_add": (lambda x, i, v: mg.index_add(x, 1, i, v, alpha=2), (X, P, V)),
    "index_fill": (lambda x, i: mg.index_fill(x, 1, i, 3.0), (X, P)),
    "index_select": (lambda x, i: mg.index_select(x, 1, i), (X, P)),
    "masked_fill": (lambda x, m: mg.masked_fill(x, m, 3.0), (X, M)),
    "writing to a view": (lambda x, y: setitem(x, (0, slice(1, 3)), y[1, :2]), (X, Y)),
    "writing to indices of its own": (lambda x, i, j, v: setitem(x, (slice(None), i, j), v[:, :, 0]), (X, P, Q, V)),
    "writing to a mask of its own": (lambda x, m: setitem(x, m, 0.0), (X, M)),
    "one_hot": (lambda x, i: x[0, 0, 0] * mg.one_hot(i, 4), (X, P)),
}


@pytest.fixture
def only_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("this ran example by example")

    monkeypatch.setattr(batched, "_one_by_one", refuse)
    monkeypatch.setattr(import_module("minigrad.func.vmap"), "_example_by_example", refuse)  # not the function


def _weighted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The results, in front of them a number that depends on every element in its own way."""

    def value(*args: Any) -> Any:
        results = function(*args)
        several = results if isinstance(results, (tuple, list)) else (results,)
        return mg.stack([(mg.sin(y) * mg.arange(y.size).reshape(y.shape)).sum() for y in several]).sum(), several

    return value


@pytest.mark.usefixtures("only_at_once")
@pytest.mark.parametrize("name", CASES)
def test_a_batch_at_once_is_its_examples_one_by_one(name: str) -> None:
    function, args = CASES[name]
    floating = tuple(i for i, x in enumerate(args) if x.dtype.kind == "f")
    differentiated = func.grad(_weighted(function), floating, has_aux=True)
    gradients, results = func.vmap(differentiated)(*args)
    for example in range(BATCH):
        alone = differentiated(*(x[example] for x in args))
        for together, single in zip((*gradients, *results), (*alone[0], *alone[1]), strict=True):
            np.testing.assert_allclose(together[example].numpy(), single.numpy(), atol=1e-12)


@pytest.mark.usefixtures("only_at_once")
@pytest.mark.parametrize("name", [name for name, (_, args) in CASES.items() if len(args) > 1])
def test_arguments_may_belong_to_different_batches(name: str) -> None:
    function, (first, *others) = CASES[name]
    inner = func.vmap(function, in_axes=(0, *(None for _ in others)))
    results = func.vmap(inner, in_axes=(None, *(0 for _ in others)))(first, *others)
    expected = function(first[2], *(x[1] for x in others))
    np.testing.assert_allclose(results[1, 2].numpy(), expected.numpy(), atol=1e-12)


REDUCTIONS = "sum prod mean var std max min amax amin any all count_nonzero logsumexp nansum nanmean nanmax nanmin ptp"
REDUCTIONS += " median average argmax argmin cumsum cumprod argsort"


@pytest.mark.parametrize("name", REDUCTIONS.split())
@given(data=st.data())
def test_reductions_of_examples_of_any_rank_are_a_loops(name: str, data: st.DataObject) -> None:
    """Also of numbers, whose own axis 0 or -1 is that of no array."""
    shape = data.draw(strategies.shapes(max_dims=2))
    batch = data.draw(strategies.arrays((3, *shape), np.float64, -3, 3))
    several = name not in ("argmax", "argmin", "cumsum", "cumprod", "argsort")
    axis = data.draw(st.one_of(st.none(), strategies.axes(max(len(shape), 1), several=several)))
    keepdims = data.draw(st.booleans())
    options: dict[str, Any] = {"axis": axis}
    if name not in ("cumsum", "cumprod", "argsort"):
        options["keepdims"] = keepdims

    def reduced(x: Any) -> Any:
        return getattr(mg, name)(x, **options)

    try:
        expected = np.stack([reduced(mg.asarray(row)).numpy() for row in batch])
    except ValueError as error:  # nothing to take the largest of
        with pytest.raises(type(error)):
            func.vmap(reduced)(mg.asarray(batch))
        return
    np.testing.assert_allclose(func.vmap(reduced)(mg.asarray(batch)).numpy(), expected, rtol=1e-12)


def test_the_mean_of_a_number_is_itself_under_vmap_too() -> None:
    assert func.vmap(lambda t: t - mg.mean(t, axis=-1, keepdims=True))(mg.tensor([1.0, 2.0, 4.0])).tolist() == [0, 0, 0]


def test_a_tensor_that_has_left_its_vmap_is_an_error_that_names_vmap() -> None:
    kept: list[mg.Tensor] = []

    def f(t: mg.Tensor) -> mg.Tensor:
        kept.append(t)
        return t * 2

    func.vmap(f)(mg.tensor([1.0, 2.0]))
    uses: list[Callable[[], Any]] = [
        lambda: kept[0] * 2,
        lambda: mg.ones(2) + kept[0],
        lambda: kept[0].numpy(),
        lambda: kept[0].item(),
        lambda: bool(kept[0] > 0),
        lambda: func.vmap(lambda t: t + kept[0])(mg.ones(2)),
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match="vmap"):
            use()
