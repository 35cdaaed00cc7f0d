"""Transforms: right on their own, in any nesting, over any tree, and for a whole batch at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import optimize

import minigrad as mg
from minigrad import Tensor, autograd, func
from minigrad.func import grad, hessian, hvp, jacfwd, jacrev, jvp, value_and_grad, vjp, vmap
from minigrad.random import Generator, normal
from minigrad.testing import gradcheck, strategies


def _scalar(x: Any) -> Tensor:
    return (mg.sin(x) * x * x).sum() + mg.logsumexp(x)


def _vector(x: Any) -> Tensor:
    return mg.concat([mg.exp(x[:2]), mg.tanh(x) * x.sum()])


def _hessian_by_differences(f: Callable[[Any], Tensor], x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    def slope(at: np.ndarray) -> np.ndarray:
        leaf = mg.tensor(at, requires_grad=True)
        return autograd.grad(f(leaf), leaf)[0].numpy()  # type: ignore[union-attr]

    return np.stack([(slope(x + eps * unit) - slope(x - eps * unit)) / (2 * eps) for unit in np.eye(len(x))])


X = np.array([0.3, -1.2, 0.8])


def test_value_and_grad_gives_both() -> None:
    value, gradient = value_and_grad(lambda x: (x**3).sum())(mg.tensor([1.0, 2.0]))
    assert value.item() == 9
    assert gradient.tolist() == [3, 12]
    assert not value.requires_grad and not gradient.requires_grad


def test_grad_by_several_arguments_and_by_keyword_left_alone() -> None:
    def f(a: Tensor, b: Tensor, *, scale: float) -> Tensor:
        return a * b * scale

    assert grad(f, argnums=(0, 1))(2.0, 3.0, scale=10.0) == (30, 20)
    assert grad(f, argnums=1)(2.0, 3.0, scale=10.0) == 20
    assert grad(f, argnums=-1)(2.0, 3.0, scale=10.0) == 20
    assert grad(f, argnums=np.int64(1))(2.0, 3.0, scale=10.0) == 20
    assert grad(f, argnums=[np.int64(1)])(2.0, 3.0, scale=10.0) == (20,)


class _Pair(NamedTuple):
    weight: Any
    bias: Any


def test_gradients_are_trees_like_the_argument() -> None:
    tree = {"layers": [_Pair(mg.ones(2), mg.tensor(1.0)), (mg.tensor(2.0),)], "unused": mg.ones((2, 2)), "none": None}

    def f(t: Any) -> Tensor:
        return (t["layers"][0].weight * 3).sum() + t["layers"][0].bias * t["layers"][1][0]

    found = grad(f)(tree)
    assert isinstance(found["layers"][0], _Pair) and isinstance(found["layers"][1], tuple)
    assert found["layers"][0].weight.tolist() == [3, 3]
    assert (found["layers"][0].bias, found["layers"][1][0]) == (2, 1)
    assert found["unused"].tolist() == [[0, 0], [0, 0]]
    assert found["none"] is None


def test_auxiliary_results_are_passed_on() -> None:
    (value, aux), gradient = value_and_grad(lambda x: (x * x, {"n": 3, "y": x + 1}), has_aux=True)(2.0)
    assert (value, gradient, aux["n"], aux["y"]) == (4, 4, 3, 3)
    assert grad(lambda x: (x * x, "name"), has_aux=True)(2.0) == (4, "name")
    assert jvp(lambda x: (x * x, 7), (2.0,), (1.0,), has_aux=True) == (4, 4, 7)
    jacobian, aux = jacrev(lambda x: (x * x, "aux"), has_aux=True)(mg.ones(2))
    assert aux == "aux" and jacobian.tolist() == [[2, 0], [0, 2]]
    assert jacfwd(lambda x: (x * x, "aux"), has_aux=True)(mg.ones(2))[1] == "aux"
    with pytest.raises(TypeError, match="has_aux"):
        grad(lambda x: x * x, has_aux=True)(1.0)


def test_a_pullback_can_be_called_again() -> None:
    value, pullback = vjp(lambda x, y: {"product": x * y, "sum": x + y}, mg.tensor(2.0), mg.tensor(3.0))
    assert (value["product"], value["sum"]) == (6, 5)
    assert pullback({"product": mg.tensor(1.0), "sum": mg.tensor(0.0)}) == (3, 2)
    assert pullback({"product": mg.tensor(0.0), "sum": mg.tensor(1.0)}) == (1, 1)


def test_cotangents_and_tangents_are_matched_by_key_not_by_order() -> None:
    _, pullback = vjp(lambda x, y: {"product": x * y, "sum": x + y}, 2.0, 3.0)
    assert pullback({"sum": 0.0, "product": 1.0}) == (3, 2)
    at, v = {"a": 1.0, "b": 1.0}, {"b": 0.0, "a": 1.0}
    assert jvp(lambda d: d["a"] * 10 + d["b"], (at,), (v,))[1] == 10
    assert hvp(lambda d: d["a"] ** 2 * 10 + d["b"] ** 2, (at,), (v,)) == {"a": 20, "b": 0}


def test_trees_of_another_structure_are_refused_by_name() -> None:
    _, pullback = vjp(lambda x: {"a": x, "b": None}, 1.0)
    with pytest.raises(ValueError, match=r"cotangents: expected a tree like \{'a': \*, 'b': None\}, got \{'a': \*\}"):
        pullback({"a": 1.0})
    with pytest.raises(ValueError, match=r"cotangents: expected the shapes \[\(\)\], got \[\(2,\)\]"):
        pullback({"a": mg.ones(2), "b": None})
    with pytest.raises(ValueError, match=r"tangents: expected a tree like \(\(\*, \*\),\), got \(\*,\)"):
        jvp(lambda pair: pair[0] * pair[1], ((1.0, 2.0),), (1.0,))
    with pytest.raises(ValueError, match="results of the examples: expected a tree like"):
        vmap(lambda x: (x, x) if x > 0 else x)(mg.tensor([1.0, -1.0]))


@pytest.mark.parametrize(("outer", "inner"), list(itertools.product((jacfwd, jacrev), repeat=2)))
def test_a_hessian_by_any_two_orders_of_mode(outer: Any, inner: Any) -> None:
    found = outer(inner(_scalar))(mg.tensor(X))
    np.testing.assert_allclose(found.numpy(), _hessian_by_differences(_scalar, X), rtol=1e-6, atol=1e-8)
    assert found.dtype == mg.float64


def test_hessian_and_its_product_with_a_vector_agree() -> None:
    v = np.array([1.0, -2.0, 0.5])
    whole = hessian(_scalar)(mg.tensor(X)).numpy()
    np.testing.assert_allclose(hvp(_scalar, (mg.tensor(X),), (mg.tensor(v),)).numpy(), whole @ v)


def test_a_hessian_hands_on_what_is_auxiliary() -> None:
    matrix, aux = hessian(lambda x: ((x**3).sum(), {"x": x, "name": "cubes"}), has_aux=True)(mg.tensor([1.0, 2.0]))
    assert matrix.tolist() == [[6, 0], [0, 12]]
    assert aux["x"].tolist() == [1, 2] and aux["name"] == "cubes"


def test_hvp_over_several_arguments() -> None:
    a, b = hvp(lambda x, y: x * x * y, (mg.tensor(2.0), mg.tensor(3.0)), (mg.tensor(1.0), mg.tensor(10.0)))
    assert (a, b) == (6 + 40, 4)


@given(strategies.arrays((3,)))
def test_both_jacobians_agree_with_each_other_and_with_differences(x: np.ndarray) -> None:
    forward, reverse = jacfwd(_vector)(mg.tensor(x)).numpy(), jacrev(_vector)(mg.tensor(x)).numpy()
    assert forward.shape == (5, 3)
    np.testing.assert_allclose(forward, reverse, atol=1e-12)
    gradcheck(_vector, x, order=2)


def test_jacobians_of_trees() -> None:
    for transform in (jacfwd, jacrev):
        found = transform(lambda x, y: {"a": x * y.sum(), "b": y}, argnums=(0, 1))(mg.ones(2), mg.ones((2, 3)))
        assert [block.shape for block in (*found["a"], *found["b"])] == [(2, 2), (2, 2, 3), (2, 3, 2), (2, 3, 2, 3)]


def test_jacobians_are_differentiated() -> None:
    for transform in (jacfwd, jacrev):
        gradcheck(lambda x, t=transform: mg.sin(t(_vector)(x)), X, order=2)


def test_jacobians_with_empty_arguments_and_results() -> None:
    for transform in (jacfwd, jacrev):
        assert transform(lambda x: x[:0])(mg.ones(3)).shape == (0, 3)
        assert transform(lambda x: mg.concat([x, mg.ones(2)]))(mg.ones(0)).shape == (2, 0)


def test_transforms_nest_to_any_order() -> None:
    f: Any = mg.sin
    for _ in range(5):
        f = grad(f)
    assert f(mg.tensor(0.3, dtype=mg.float64)).item() == pytest.approx(np.cos(0.3), abs=1e-12)


def test_an_inner_derivative_does_not_confuse_its_variable_with_an_outer_one() -> None:
    # d/dx [x · d/dy (x + y)] = 1: the classic perturbation confusion would give 2.
    assert grad(lambda x: x * grad(lambda y: x + y)(mg.tensor(1.0)))(mg.tensor(1.0)) == 1
    assert jvp(lambda x: x * jvp(lambda y: x + y, (1.0,), (1.0,))[1], (1.0,), (1.0,))[1] == 1


def test_derivatives_are_recorded_only_if_differentiated_outside() -> None:
    w = mg.tensor(2.0, requires_grad=True)
    slope = grad(lambda x: x**3 * w)(mg.tensor(2.0))
    assert autograd.grad(slope, w) == (12,)
    with mg.no_grad():
        assert not grad(lambda x: x**3 * w)(mg.tensor(2.0)).requires_grad
    assert not grad(lambda x: x**3)(mg.tensor(2.0)).requires_grad
    x = mg.tensor(2.0, requires_grad=True)
    assert autograd.grad(grad(lambda x: x**3)(x), x) == (12,)
    assert x.grad is None


def _product(x: Any, w: Any) -> Tensor:
    return (mg.tanh(x * w) * w).sum()


A, B = np.array([0.5, -1.0]), np.array([2.0, 0.3])
MIXED = {
    "grad of grad": lambda w: grad(lambda w: (grad(_product)(A, w) ** 2).sum())(w),
    "value": lambda w: value_and_grad(lambda w: (grad(_product)(A, w) ** 2).sum())(w)[0],
    "auxiliary result": lambda w: grad(lambda w: (w.sum(), grad(_product)(A, w)), has_aux=True)(w)[1],
    "reverse of reverse": lambda w: jacrev(jacrev(_product, 0), 1)(A, w),
    "reverse of forward": lambda w: jacrev(jacfwd(_product, 0), 1)(A, w),
    "forward of reverse": lambda w: jacfwd(jacrev(_product, 0), 1)(A, w),
    "forward of forward": lambda w: jacfwd(jacfwd(_product, 0), 1)(A, w),
    "Hessian by both": lambda w: hessian(_product, (0, 1))(A, w)[0][1],
    "value of vjp": lambda w: vjp(lambda w: grad(_product)(A, w), w)[0],
    "pullback": lambda w: vjp(lambda w: grad(_product)(A, w), w)[1](mg.ones(2))[0],
    "value of jvp": lambda w: jvp(lambda w: grad(_product)(A, w), (w,), (w,))[0],
    "tangent": lambda w: jvp(lambda w: grad(_product)(A, w), (w,), (w,))[1],
    "vmap": lambda w: vmap(grad(lambda w: (grad(_product)(A, w) ** 2).sum()))(mg.stack([w, w])),
}


@pytest.mark.parametrize("name", MIXED)
def test_transforms_over_different_variables_leave_no_graph_behind(name: str) -> None:
    assert not MIXED[name](mg.tensor(B)).requires_grad
    assert MIXED[name](mg.tensor(B, requires_grad=True)).requires_grad


def test_a_pullback_inside_a_later_transform_is_differentiated_and_leaves_no_graph_behind() -> None:
    _, pullback = vjp(mg.sin, mg.tensor(A))
    _, through = vjp(lambda x: pullback(x * x)[0], mg.tensor(A))  # another one that goes through the first
    for pull in (pullback, through):
        slope = grad(lambda u, pull=pull: (pull(u)[0] ** 2).sum())(mg.tensor(B))
        expected = hessian(lambda u, pull=pull: (pull(u)[0] ** 2).sum())(mg.tensor(B)) @ B  # it is quadratic
        np.testing.assert_allclose(slope.numpy(), expected.numpy())
    w = mg.tensor(B, requires_grad=True)
    assert grad(lambda u: (pullback(u)[0] ** 2 * w).sum())(mg.tensor(B)).requires_grad


def test_only_the_gradients_that_can_be_differentiated_are_recorded() -> None:
    w = mg.tensor(2.0, requires_grad=True)
    found = grad(lambda d: d["a"] ** 2 + d["b"] ** 2 * w)({"a": 1.0, "b": 1.0})
    assert not found["a"].requires_grad and found["b"].requires_grad


def test_the_graph_of_an_auxiliary_result_is_not_freed() -> None:
    w = mg.tensor(2.0, requires_grad=True)

    def f(x: Tensor) -> tuple[Tensor, Tensor]:
        square = mg.exp(x)
        return square * square, square * w

    _, aux = grad(f, has_aux=True)(0.0)
    aux.backward()
    assert w.grad == 1


def test_an_inner_derivative_does_not_walk_the_history_of_what_it_is_given() -> None:
    given = mg.tensor(3.0, requires_grad=True) * 1.0
    assert given.node is not None
    given.node.inputs = None  # type: ignore[assignment]  # traversal beyond it fails
    assert grad(lambda x: x**3)(given) == 27
    assert vjp(lambda x: x**3, given)[1](1.0) == (27,)
    assert jvp(lambda x: x**3 * given, (given,), (1.0,))[1] == 81
    assert value_and_grad(lambda x: (x**3, x + 1), has_aux=True)(given)[0] == (27, 4)
    assert all(leaf.requires_grad for leaf in jacrev(lambda x: (x, x**3))(given))


def test_vmap_of_grad_gives_per_example_gradients(rng: np.random.Generator) -> None:
    weights, inputs = mg.tensor(rng.normal(size=(3, 4))), mg.tensor(rng.normal(size=(5, 3)))

    def loss(w: Tensor, x: Tensor) -> Tensor:
        return (mg.softmax(mg.tanh(x @ w)) ** 2).sum()

    found = vmap(grad(loss), in_axes=(None, 0))(weights, inputs)
    alone = np.stack([grad(loss)(weights, x).numpy() for x in inputs])
    np.testing.assert_allclose(found.numpy(), alone, atol=1e-12)
    np.testing.assert_allclose(
        grad(lambda w: vmap(lambda x: loss(w, x))(inputs).sum())(weights).numpy(), alone.sum(0), atol=1e-12
    )


def test_grad_of_vmap_of_grad(rng: np.random.Generator) -> None:
    inputs = mg.tensor(rng.normal(size=(4, 3)))

    def penalty(w: Tensor) -> Tensor:
        return (vmap(grad(lambda x: mg.tanh(x @ w)))(inputs) ** 2).sum()

    gradcheck(penalty, rng.normal(size=3), order=2)


def test_nested_vmaps_take_axes_from_anywhere(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(6, 3))
    products = vmap(vmap(lambda x, y: (x * y).sum(), in_axes=(None, 0)), in_axes=(1, None), out_axes=1)
    np.testing.assert_allclose(products(mg.tensor(a), mg.tensor(b)).numpy(), b @ a)
    tree = vmap(lambda d, s: {"y": d["x"] * s}, in_axes=({"x": 1}, None), out_axes={"y": 0})
    assert tree({"x": mg.ones((2, 5))}, 3.0)["y"].shape == (5, 2)


def test_a_vmap_that_branches_on_values_runs_example_by_example() -> None:
    found = vmap(lambda x: x * 2 if x > 0 else -x)(mg.tensor([1.0, -2.0, 3.0]))
    assert found.tolist() == [2, 2, 6]
    assert vmap(grad(lambda x: x * x if float(x) > 2 else x))(mg.tensor([1.0, 3.0])).tolist() == [1, 6]


def test_an_example_by_example_run_matches_results_by_key() -> None:
    found = vmap(lambda x: {"a": x, "b": -x} if x > 0 else {"b": -x, "a": x})(mg.tensor([1.0, -2.0]))
    assert (found["a"].tolist(), found["b"].tolist()) == ([1, -2], [-1, 2])


def test_random_draws_are_shared_by_the_examples_in_either_way_of_running() -> None:
    own = Generator(7)

    def drawn(branches: bool) -> tuple[Any, Any]:
        mg.manual_seed(3)
        own.state = Generator(7).state

        def f(x: Tensor) -> Tensor:
            early = normal(())
            if branches and x > 1:
                pass  # the branch makes it run example by example
            return x * early + 0.0 * normal((), generator=own)

        return vmap(f)(mg.tensor([1.0, 2.0, 3.0])).tolist(), (normal(()).item(), normal((), generator=own).item())

    together, alone = drawn(branches=False), drawn(branches=True)
    assert together == alone
    np.testing.assert_allclose(together[0], np.array([1, 2, 3]) * together[0][0], rtol=1e-6)


def test_changes_in_place_stay_with_the_example() -> None:
    def f(x: Tensor) -> Tensor:
        x[0] = 5.0
        return x * 2 if x.sum() > 6 else x

    for branches in (True, False):
        x = mg.zeros((2, 2))
        x[1] = 2.0
        given = x.tolist()
        found = vmap(f if branches else lambda x: x.__setitem__(0, 5.0) or x * 1)(x)
        assert found.tolist() == ([[5, 0], [10, 4]] if branches else [[5, 0], [5, 2]])
        assert x.tolist() == given


@pytest.mark.parametrize("branches", [False, True])
def test_out_axes_none_gives_a_result_that_is_the_same_for_all_examples(branches: bool) -> None:
    def f(x: Tensor) -> dict[str, Any]:
        return {"own": x * 2 if not branches or x > 0 else x, "same": (constant, 3)}

    constant = mg.tensor([1.0, 2.0])
    found = vmap(f, out_axes={"own": 0, "same": (None, None)})(mg.tensor([1.0, 2.0]))
    assert found["own"].tolist() == [2, 4]
    assert found["same"][0] is constant and found["same"][1] == 3
    with pytest.raises(ValueError, match="out_axes: got None for a result that is not the same"):
        vmap(f, out_axes=None)(mg.tensor([1.0, 2.0]))


def test_the_batch_runs_once_not_once_for_each_example() -> None:
    calls = []

    def f(x: Tensor) -> Tensor:
        calls.append(x.shape)
        return mg.exp(x).sum()

    vmap(f)(mg.ones((100, 3)))
    assert calls == [(3,)]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="argnums 0: expected floating"):
        grad(lambda x: x)(mg.tensor(1))
    with pytest.raises(TypeError, match="scalar"):
        grad(lambda x: x)(mg.ones(2))
    with pytest.raises(ValueError, match="argnums: got 2"):
        grad(lambda x: x, argnums=2)(1.0)
    with pytest.raises(ValueError, match=r"argnums: expected each argument once, got \(0, -2\)"):
        grad(lambda x, y: x * y, argnums=(0, -2))(1.0, 2.0)
    with pytest.raises(TypeError, match="primals: expected a tuple or list"):
        jvp(lambda x: x, mg.ones(1), mg.ones(1))
    with pytest.raises(TypeError, match="tangents: expected a tuple or list"):
        jvp(lambda x: x, (mg.ones(1),), mg.ones(1))
    with pytest.raises(TypeError, match="primals: expected a tuple or list"):
        hvp(lambda x: x.sum(), mg.ones(2), mg.ones(2))
    with pytest.raises(TypeError, match="tangents: expected a tuple or list"):
        hvp(lambda x: x.sum(), (mg.ones(1),), mg.ones(1))
    with pytest.raises(ValueError, match="tangents"):
        jvp(lambda x: x, (mg.ones(2),), (mg.ones(3),))
    with pytest.raises(ValueError, match="in_axes: expected one size"):
        vmap(lambda x, y: x)(mg.ones(2), mg.ones(3))
    with pytest.raises(ValueError, match="in_axes: expected one for each"):
        vmap(lambda x: x, in_axes=(0, 0))(mg.ones(2))


def test_scipy_minimizes_with_value_and_grad() -> None:
    def rosenbrock(x: Tensor) -> Tensor:
        return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()

    found = optimize.minimize(value_and_grad(rosenbrock), np.zeros(4), jac=True)
    np.testing.assert_allclose(found.x, 1, atol=1e-4)
    newton = optimize.minimize(
        value_and_grad(rosenbrock), np.zeros(4), jac=True, hess=hessian(rosenbrock), method="trust-exact"
    )
    np.testing.assert_allclose(newton.x, 1, atol=1e-4)


@pytest.mark.parametrize("at", [[1.0, 2.0, 3.0], [0.0, 2.0, 3.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
def test_the_hessian_of_a_product_holds_the_products_of_the_others(at: list[float]) -> None:
    a, b, c = at
    assert hessian(mg.prod)(mg.tensor(at)).tolist() == [[0, c, b], [c, 0, a], [b, a, 0]]


@pytest.mark.parametrize("scan", [mg.cumprod, mg.logcumsumexp])
def test_jacobians_of_running_products_and_sums(scan: Any) -> None:
    reverse, forward = jacrev(scan)(mg.tensor(X)).numpy(), jacfwd(scan)(mg.tensor(X)).numpy()
    ways = [grad(lambda x, i=i: scan(x, axis=0)[i])(mg.tensor(X)).numpy() for i in range(3)]
    np.testing.assert_allclose(reverse, np.stack(ways))
    np.testing.assert_allclose(forward, np.stack(ways))


@pytest.mark.parametrize("in_axes", [(0, None), (None, 0)])
def test_a_recurrence_of_which_one_operand_is_batched(in_axes: Any, rng: np.random.Generator) -> None:
    whole = [rng.normal(size=(2, 3) if axis == 0 else 3) for axis in in_axes]

    def slope(x: Any, weights: Any) -> Any:
        return grad(lambda x: (mg.cumprod(x, axis=0) * weights).sum())(x)

    found = vmap(slope, in_axes=in_axes)(*whole)
    for i in range(2):
        alone = slope(*(mg.tensor(x[i] if axis == 0 else x) for x, axis in zip(whole, in_axes, strict=True)))
        np.testing.assert_allclose(found.numpy()[i], alone.numpy())


# Every operation with a batching rule gives what it gives example by example.

OPERATIONS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "add of other ranks": (lambda a, b: a + b, ((3,), (2, 3))),
    "matmul": (lambda a, b: a @ b, ((2, 3), (3, 4))),
    "matrix times vector": (lambda a, b: a @ b, ((2, 3), (3,))),
    "where": (lambda a, b: mg.where(a > b, a, b * 2), ((2, 3), (3,))),
    "sum over all": (lambda a: mg.sum(a), ((2, 3),)),
    "sum over an axis": (lambda a: mg.sum(a, axis=0), ((2, 3),)),
    "mean over a negative axis": (lambda a: mg.mean(a, axis=-2, keepdims=True), ((2, 3),)),
    "prod": (lambda a: mg.prod(a, axis=1), ((2, 3),)),
    "max": (lambda a: mg.max(a, axis=(0, 1)), ((2, 3),)),
    "var": (lambda a: mg.var(a, axis=0), ((2, 3),)),
    "cumsum": (lambda a: mg.cumsum(a, axis=0), ((2, 3),)),
    "sort": (lambda a: mg.sort(a, axis=0), ((4, 2),)),
    "reshape": (lambda a: a.reshape(3, -1), ((2, 3),)),
    "transpose": (lambda a: a.T, ((2, 3),)),
    "broadcast_to": (lambda a: mg.broadcast_to(a, (4, 2, 3)), ((2, 3),)),
    "concat": (lambda a, b: mg.concat([a, b], axis=1), ((2, 3), (2, 1))),
    "stack": (lambda a, b: mg.stack([a, b], axis=-1), ((2, 3), (2, 3))),
    "flip": (lambda a: mg.flip(a), ((2, 3),)),
    "basic index": (lambda a: a[..., None, ::-1, 1], ((2, 3, 2),)),
    "integer index": (lambda a: a[[1, 0, 1]], ((2, 3),)),
    "separated indices": (lambda a: a[[0, 1], :, [1, 0]], ((2, 3, 2),)),
    "boolean index": (lambda a: a[np.array([True, False])], ((2, 3),)),
    "softmax": (lambda a: mg.softmax(a, axis=0), ((2, 3),)),
    "log_softmax": (lambda a: mg.log_softmax(a), ((2, 3),)),
    "logsumexp": (lambda a: mg.logsumexp(a, axis=0), ((2, 3),)),
    "layer norm": (lambda a, w: mg.nn.functional.layer_norm(a, (3,), w), ((2, 3), (3,))),
    "tril": (lambda a: mg.tril(a), ((3, 3),)),
    "einsum": (lambda a, b: mg.einsum("ij,kj->ik", a, b), ((2, 3), (4, 3))),
    "solve": (lambda a, b: mg.linalg.solve(a @ a.mT + mg.eye(3, dtype=a.dtype), b), ((3, 3), (3,))),
    "cross entropy": (lambda a: mg.nn.functional.cross_entropy(a, np.array([0, 2])), ((2, 3),)),
    "attention": (lambda a: mg.nn.functional.scaled_dot_product_attention(a, a, a, is_causal=True), ((2, 3, 4),)),
}


@pytest.mark.parametrize("name", OPERATIONS)
@given(data=st.data())
def test_a_batch_at_once_is_its_examples_one_by_one(name: str, data: st.DataObject) -> None:
    operation, shapes = OPERATIONS[name]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    axes = data.draw(st.lists(st.sampled_from([0, -1, None]), min_size=len(shapes), max_size=len(shapes)))
    if all(axis is None for axis in axes):
        axes[0] = 0
    whole = [rng.normal(size=s if a is None else (5, *s)) for s, a in zip(shapes, axes, strict=True)]
    args = [mg.tensor(x if a != -1 else np.moveaxis(x, 0, -1)) for x, a in zip(whole, axes, strict=True)]

    def weighted(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        out = operation(*inputs)
        return (mg.cos(out) * out).sum(), out

    batched = vmap(grad(weighted, tuple(range(len(shapes))), has_aux=True), in_axes=tuple(axes))
    gradients, out = batched(*args)
    for i in range(5):
        example = [mg.tensor(x if a is None else x[i]) for x, a in zip(whole, axes, strict=True)]
        alone, alone_out = grad(weighted, tuple(range(len(shapes))), has_aux=True)(*example)
        np.testing.assert_allclose(out.numpy()[i], alone_out.numpy(), atol=1e-12)
        for together, single in zip(gradients, alone, strict=True):
            np.testing.assert_allclose(together.numpy()[i], single.numpy(), atol=1e-10)


SHARED = {
    "backward": lambda mapped, w: _grad_of_leaf(lambda w: mapped(w).sum(), w),
    "grad": lambda mapped, w: func.grad(lambda w: mapped(w).sum())(w),
    "jacrev": lambda mapped, w: func.jacrev(mapped)(w),
    "jacfwd": lambda mapped, w: func.jacfwd(mapped)(w),
    "jvp": lambda mapped, w: func.jvp(mapped, (w,), (mg.ones(3),))[1],
    "hessian": lambda mapped, w: func.hessian(lambda w: (mapped(w) ** 2).sum())(w),
    "vjp": lambda mapped, w: func.vjp(mapped, w)[1](mg.ones((2, 3)))[0],
}


def _grad_of_leaf(function: Any, w: Tensor) -> Any:
    leaf = w.detach().copy().requires_grad_()
    function(leaf).backward()
    return leaf.grad


@pytest.mark.parametrize("way", SHARED)
@pytest.mark.parametrize("body", [lambda x, w: mg.sin(w), lambda x, w: w, lambda x, w: w * x[0] + w])
def test_gradients_add_up_where_a_result_depends_on_what_the_examples_share(way: str, body: Any) -> None:
    rows, w = mg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=mg.float64), mg.tensor([0.5, -1.0, 2.0], dtype=mg.float64)

    def mapped(w: Any) -> Any:
        return func.vmap(lambda x: (x, body(x, w)))(rows)[1]

    def looped(w: Any) -> Any:
        return mg.stack([body(x, w) for x in rows])

    found, expected = (SHARED[way](function, w) for function in (mapped, looped))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)


def test_backward_through_a_vmapped_gradient_of_something_shared() -> None:
    w = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    func.vmap(func.grad(lambda w, x: (w**2).sum()), in_axes=(None, 0))(w, mg.ones((2, 3))).sum().backward()
    assert w.grad is not None and w.grad.tolist() == [4, 4, 4]
