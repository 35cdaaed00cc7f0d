"""The affine map as one operation, against its definition."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import func
from minigrad.nn.functional import linear
from minigrad.testing import gradcheck

SHAPES = [(3, 5), (5,), (2, 3, 5), (2, 0, 5), (1, 1, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_it_is_the_product_with_the_transposed_weight_plus_the_bias(shape, biased, dtype):
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.integers(-9, 9, s).astype(dtype) for s in (shape, (4, 5), (4,)))
    out = linear(x, weight, bias) if biased else linear(x, weight)
    expected = x @ weight.T + (bias if biased else 0)
    assert out.dtype == dtype
    assert np.array_equal(out.data, expected)  # small integers: exact


@pytest.mark.parametrize("shape", SHAPES)
def test_derivatives_of_both_orders(shape):
    rng = np.random.default_rng(1)
    x, weight, bias = (rng.standard_normal(s) for s in (shape, (4, 5), (4,)))
    gradcheck(lambda x, w, b: linear(x, w, b) ** 2, (x, weight, bias), order=2)
    gradcheck(lambda x, w: mg.sin(linear(x, w)), (x, weight), order=2)


@pytest.mark.parametrize(("features", "outputs"), [(0, 4), (5, 0)])
def test_nothing_in_or_out_is_no_hindrance(features, outputs):
    x = mg.ones((2, 3, features)).requires_grad_()
    out = linear(x, mg.ones((outputs, features)), mg.ones(outputs))
    assert np.array_equal(out.data, np.ones((2, 3, outputs)))
    out.sum().backward()
    assert np.array_equal(x.grad.data, np.zeros((2, 3, features)))


def test_only_wanted_gradients_are_computed():
    x, weight = mg.ones((2, 5)), mg.ones((4, 5)).requires_grad_()
    linear(x, weight, mg.zeros(4)).sum().backward()
    assert weight.grad is not None and x.grad is None


def test_examples_of_a_batch_go_through_it():
    rng = np.random.default_rng(2)
    x, weight = rng.standard_normal((3, 2, 5)), rng.standard_normal((3, 4, 5))
    out = func.vmap(lambda x, w: linear(x, w))(x, weight)
    np.testing.assert_allclose(out.data, x @ weight.mT)


def test_strided_inputs_and_gradients():
    rng = np.random.default_rng(3)
    x = mg.tensor(rng.standard_normal((5, 6, 7)), requires_grad=True)
    weight = mg.tensor(rng.standard_normal((4, 6)), requires_grad=True)
    (linear(x.transpose(2, 0, 1), weight).transpose(2, 1, 0) * np.arange(5.0)[:, None]).sum().backward()
    g = np.broadcast_to(np.arange(5.0)[:, None], (4, 5, 7)).transpose(2, 1, 0)
    np.testing.assert_allclose(x.grad.data, (g @ weight.data).transpose(1, 2, 0))
    np.testing.assert_allclose(weight.grad.data, np.einsum("nbo,bin->oi", g, x.data))


@pytest.mark.parametrize("bias", [0.5, [0.5], mg.tensor(0.5)])
def test_one_bias_may_serve_all_features(bias):
    x, weight = mg.ones((2, 3)), mg.ones((4, 3))
    assert np.array_equal(linear(x, weight, bias).data, np.full((2, 4), 3.5))
