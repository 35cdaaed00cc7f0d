"""Mixed precision: under autocast, products are those of operands rounded to bfloat16, forward and backward."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import kernels
from minigrad.nn import functional as F
from minigrad.ops.autocast import product_precision

Function = Callable[..., Any]


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return kernels.matmul(a, b, precision="bfloat16")


def gradients(function: Function, *arrays: np.ndarray, backward: str = "float32") -> list[np.ndarray]:
    """The function's value under autocast and its gradients, the backward pass running under ``backward``."""
    leaves = [mg.tensor(array, requires_grad=True) for array in arrays]
    with mg.autocast("bfloat16"):
        result = function(*leaves)
    with mg.autocast(backward):
        result.backward(mg.tensor(np.ones(result.shape, np.float32)))
    return [result.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]


@pytest.fixture
def operands(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((13, 37)).astype(np.float32), rng.standard_normal((37, 20)).astype(np.float32)


@pytest.mark.parametrize("backward", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "product",
    [
        lambda a, b: a @ b,
        lambda a, b: mg.einsum("ij,jk->ik", a, b),
        lambda a, b: mg.tensordot(a, b, 1),
        lambda a, b: F.linear(a, b.T),
        lambda a, b: mg.autograd.checkpoint(lambda a, b: a @ b, a, b),
        lambda a, b: mg.func.vmap(lambda row: row @ b)(a),
    ],
)
def test_gradients_are_products_of_the_forward_s_precision(product: Function, operands: Any, backward: str) -> None:
    a, b = operands
    g = np.ones((13, 20), np.float32)
    found = gradients(product, a, b, backward=backward)
    for one, expected in zip(found, (matmul(a, b), matmul(g, b.T), matmul(a.T, g)), strict=True):
        np.testing.assert_allclose(one, expected, rtol=0, atol=40 * 2.0**-23 * 40)  # sums in another order


@pytest.mark.parametrize("learned", [False, True])
def test_attention_of_autocast_is_the_kernel_s_in_bfloat16(rng: np.random.Generator, learned: bool) -> None:
    q, k, v = (rng.standard_normal((2, 3, 11, 8)).astype(np.float32) for _ in range(3))
    mask = mg.tensor(np.zeros((11, 11), np.float32), requires_grad=learned)
    with mg.autocast():
        out = F.scaled_dot_product_attention(q, k, v, mask)
    expected, _ = kernels.scaled_dot_product_attention(q, k, v, precision="bfloat16")
    plain, _ = kernels.scaled_dot_product_attention(q, k, v)
    found = abs(out.detach().numpy() - expected).max()
    assert found < (2.0**-7 if learned else 2.0**-20)  # composed, weights are rounded after their division
    assert abs(out.detach().numpy() - plain).max() > 2.0**-12


def test_second_derivatives_keep_the_precision(operands: Any) -> None:
    """The function is cubic in its operands, so that the second derivative is a product again."""
    a, b = (mg.tensor(x, requires_grad=True) for x in operands)
    for product in (lambda a, b: a @ b, lambda a, b: F.linear(a, b.T)):
        with mg.autocast():
            y = product(a, b)
        (slope,) = mg.autograd.grad((y * y).sum() / 2, a, create_graph=True)
        (curvature,) = mg.autograd.grad(slope.sum(), a)
        ones = np.ones(a.shape, np.float32)
        expected = matmul(matmul(ones, operands[1]), operands[1].T)
        np.testing.assert_allclose(curvature.numpy(), expected, rtol=1e-5, atol=1e-4)


def test_linear_algebra_and_float64_keep_their_precision(rng: np.random.Generator) -> None:
    x = rng.standard_normal((6, 6))
    single = mg.tensor(x.astype(np.float32), requires_grad=True)
    plain = gradients(lambda x: mg.linalg.inv(x), x.astype(np.float32))
    with mg.autocast():
        np.testing.assert_array_equal((mg.tensor(x) @ mg.tensor(x)).numpy(), kernels.matmul(x, x))
        mg.linalg.inv(single).sum().backward()
    np.testing.assert_array_equal(single.grad.numpy(), plain[1])


def test_blocks_nest_and_errors_restore_what_was_before() -> None:
    seen = [product_precision.get()]
    with mg.autocast():
        seen.append(product_precision.get())
        with mg.no_grad(), mg.autocast("float32"):
            seen.append(product_precision.get())
            with mg.autocast():
                seen.append(product_precision.get())
            with pytest.raises(ValueError, match="inner sizes"), mg.autocast():
                mg.ones((2, 3)) @ mg.ones((2, 3))
        with mg.autocast(enabled=False):
            seen.append(product_precision.get())
        assert mg.is_grad_enabled()
        seen.append(product_precision.get())
    assert [*seen, product_precision.get()] == [None, "bfloat16", None, "bfloat16", None, "bfloat16", None]


def test_decorated_functions_generators_and_coroutines_run_in_it() -> None:
    @mg.autocast()
    def call() -> str | None:
        return product_precision.get()

    @mg.autocast()
    def generate() -> Iterator[str | None]:
        yield product_precision.get()

    @mg.autocast()
    async def wait() -> str | None:
        await asyncio.sleep(0)
        return product_precision.get()

    (generated,) = [(inside, product_precision.get()) for inside in generate()]
    assert (call(), asyncio.run(wait())) == ("bfloat16", "bfloat16")
    assert generated == ("bfloat16", None)


def test_threads_do_not_see_each_other_s_precision() -> None:
    seen: list[str | None] = []
    with mg.autocast():
        thread = threading.Thread(target=lambda: seen.append(product_precision.get()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="dtype: expected 'bfloat16' or 'float32', got 'float16'"):
        mg.autocast("float16")
