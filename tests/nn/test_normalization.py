"""Normalisation: statistics over the right axes, running averages, derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import autograd, nn
from minigrad.nn import functional as F
from minigrad.testing import gradcheck, strategies

SHAPES = [(4, 6), (3, 6, 2), (2, 6, 2, 3)]


def standardized(x: np.ndarray, axes: tuple[int, ...], eps: float) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def per_channel(values: np.ndarray, ndim: int) -> np.ndarray:
    return values.reshape(-1, *(1,) * (ndim - 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_standardizes_channels_over_everything_else(
    shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    x, weight, bias = rng.standard_normal(shape) + 3, rng.standard_normal(6), rng.standard_normal(6)
    axes = (0, *range(2, len(shape)))
    expected = standardized(x, axes, 0.1) * per_channel(weight, x.ndim) + per_channel(bias, x.ndim)
    found = F.batch_norm(x, None, None, weight, bias, training=True, eps=0.1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)
    narrow = F.batch_norm(*(v.astype(np.float32) if v is not None else v for v in (x, None, None, weight, bias)), True)
    assert narrow.dtype == np.float32

    def norm(x: mg.Tensor, *affine: mg.Tensor) -> mg.Tensor:
        return F.batch_norm(x, None, None, *affine, training=True, eps=0.1)

    assert gradcheck(norm, (x, weight, bias), order=2)
    assert gradcheck(norm, x, order=2)


def test_batch_norm_keeps_running_statistics_and_uses_them_afterwards(rng: np.random.Generator) -> None:
    x, mean, variance = rng.standard_normal((5, 2, 3)), mg.zeros(2, mg.float64), mg.ones(2, mg.float64)
    changes = mean.storage.version
    F.batch_norm(x, mean, variance, training=True, momentum=0.25)
    assert mean.storage.version == changes + 1
    np.testing.assert_allclose(mean.numpy(), 0.25 * x.mean((0, 2)))
    np.testing.assert_allclose(variance.numpy(), 0.75 + 0.25 * x.var((0, 2), ddof=1))
    expected = (x - mean.numpy()[:, None]) / np.sqrt(variance.numpy()[:, None] + 1e-5)
    np.testing.assert_allclose(F.batch_norm(x, mean, variance).numpy(), expected)
    assert gradcheck(lambda x, w: F.batch_norm(x, mean, variance, w), (x, np.ones(2)), order=2)


def test_a_graph_that_needs_running_statistics_notices_their_change() -> None:
    x, mean, variance = mg.ones((3, 2)).requires_grad_(), mg.zeros(2), mg.ones(2)
    out = F.batch_norm(x * 2, mean, variance)
    F.batch_norm(mg.ones((3, 2)), mean, variance, training=True)
    autograd.grad(out.sum(), x)  # what it needs was computed before
    np.testing.assert_array_equal(mean.numpy(), np.full(2, 0.1, np.float32))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_standardizes_groups_of_channels(
    shape: tuple[int, ...], groups: int, rng: np.random.Generator
) -> None:
    x, weight, bias = rng.standard_normal(shape), rng.standard_normal(6), rng.standard_normal(6)
    rows = standardized(x.reshape(shape[0], groups, -1), (2,), 0.1).reshape(shape)
    expected = rows * per_channel(weight, x.ndim) + per_channel(bias, x.ndim)
    np.testing.assert_allclose(F.group_norm(x, groups, weight, bias, 0.1).numpy(), expected, rtol=1e-9, atol=1e-12)
    assert gradcheck(lambda x, w, b: F.group_norm(x, groups, w, b, 0.1), (x, weight, bias), order=2)


def test_instance_norm_standardizes_each_channel_of_each_example(rng: np.random.Generator) -> None:
    x, weight = rng.standard_normal((3, 2, 4)), rng.standard_normal(2)
    mean, variance = mg.zeros(2, mg.float64), mg.ones(2, mg.float64)
    found = F.instance_norm(x, mean, variance, weight, momentum=0.5, eps=0.1)
    np.testing.assert_allclose(found.numpy(), standardized(x, (2,), 0.1) * weight[:, None], atol=1e-12)
    np.testing.assert_allclose(mean.numpy(), 0.5 * x.mean((0, 2)), atol=1e-12)
    np.testing.assert_allclose(variance.numpy(), 0.5 + 0.5 * x.var(2, ddof=1).mean(0))
    still = F.instance_norm(x, mean, variance, use_input_stats=False).numpy()
    np.testing.assert_allclose(still, F.batch_norm(x, mean, variance).numpy())
    assert gradcheck(lambda x, w: F.instance_norm(x, None, None, w, eps=0.1), (x, weight), order=2)


def test_rms_norm_divides_by_the_root_mean_square(rng: np.random.Generator) -> None:
    x, weight = rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 4))
    scale = np.sqrt((x * x).mean((1, 2), keepdims=True) + 0.1)
    np.testing.assert_allclose(F.rms_norm(x, (3, 4), weight, 0.1).numpy(), x / scale * weight)
    assert gradcheck(lambda x, w: F.rms_norm(x, (3, 4), w, 0.1), (x, weight), order=2)
    tiny = np.full((1, 2), 1e-4, np.float32)  # by default, eps is that of the dtype
    np.testing.assert_allclose(F.rms_norm(tiny, 2).numpy(), tiny / np.sqrt(tiny**2 + np.finfo(np.float32).eps))


def test_local_response_norm_is_its_formula(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 5, 3))
    sums = [(x[:, max(0, c - 1) : c + 2] ** 2).sum(1) for c in range(5)]
    expected = x / (2 + 0.1 / 3 * np.stack(sums, 1)) ** 0.75
    np.testing.assert_allclose(F.local_response_norm(x, 3, 0.1, 0.75, 2.0).numpy(), expected)
    assert gradcheck(lambda x: F.local_response_norm(x, 2, 0.1, 0.75, 2.0), x, order=2)


def test_normalize_gives_vectors_of_length_one_and_zeros_stay_zeros(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4, 2))
    x[0, :, 0] = 0
    for p in (1.0, 2.0, 3.0, np.inf):
        lengths = np.linalg.norm(F.normalize(x, p).numpy(), p, axis=1)
        np.testing.assert_allclose(lengths, [[0, 1], [1, 1], [1, 1]], atol=1e-12)
    zeros = mg.zeros((1, 3)).requires_grad_()
    F.normalize(zeros).sum().backward()
    assert zeros.grad is not None and np.isfinite(zeros.grad.numpy()).all()
    assert gradcheck(lambda x: F.normalize(x, 3.0, 0), x[1:], order=2)


def test_empty_batches_are_normalized_to_empty_ones() -> None:
    for norm in (
        lambda x: F.batch_norm(x, mg.zeros(2), mg.ones(2), training=True),
        lambda x: F.group_norm(x, 2),
        lambda x: F.layer_norm(x, 3),
        lambda x: F.rms_norm(x, 3),
    ):
        assert norm(mg.ones((0, 2, 3))).shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.batch_norm(x, mg.zeros(3), mg.ones(3)), r"running_mean: expected shape \(2,\)"),
        (lambda x: F.batch_norm(x, None, None), "expected both outside training"),
        (lambda x: F.batch_norm(x[:1, :, :1], None, None, training=True), "more than one value for each channel"),
        (lambda x: F.group_norm(x, 3), "num_groups: expected a divisor of the 2 channels"),
        (lambda x: F.instance_norm(x[..., :1]), "more than one value in each channel"),
        (lambda x: F.instance_norm(x, use_input_stats=False), "expected both without use_input_stats"),
        (lambda x: F.layer_norm(x, (2,)), "normalized_shape: the last axes"),
        (lambda x: F.rms_norm(x, ()), "normalized_shape: the last axes"),
        (lambda x: F.local_response_norm(x[0], 3), "at least one spatial axis"),
        (lambda x: nn.BatchNorm2d(2)(x), "x: expected 4 axes"),
        (lambda x: nn.GroupNorm(3, 2), "num_groups: expected a divisor"),
    ],
)
def test_invalid_arguments_are_named(call: Callable[[mg.Tensor], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(mg.ones((4, 2, 3)))


@given(data=st.data())
def test_layer_norm_derivatives_agree_with_differences_to_second_order(data: st.DataObject) -> None:
    rows = data.draw(strategies.shapes(max_dims=2))
    x = data.draw(strategies.arrays((*rows, 5), distinct=0.0))
    weight, bias = data.draw(strategies.arrays((5,))), data.draw(strategies.arrays((5,)))
    assert gradcheck(lambda x, w, b: F.layer_norm(x, (5,), w, b, eps=0.1), (x, weight, bias), order=2)
    assert gradcheck(lambda x: F.layer_norm(x, (5,), eps=0.1), x, order=2)


@given(data=st.data())
def test_rms_norm_derivatives_agree_with_differences_to_second_order(data: st.DataObject) -> None:
    rows = data.draw(strategies.shapes(max_dims=2))
    x, weight = data.draw(strategies.arrays((*rows, 5), distinct=0.0)), data.draw(strategies.arrays((5,)))
    assert gradcheck(lambda x, w: F.rms_norm(x, (5,), w, eps=0.1), (x, weight), order=2)
    assert gradcheck(lambda x: F.rms_norm(x, (5,), eps=0.1), x, order=2)


@given(data=st.data())
def test_group_norm_derivatives_agree_with_differences_to_second_order(data: st.DataObject) -> None:
    size = data.draw(strategies.shapes(max_dims=2))
    groups = data.draw(st.sampled_from([1, 2, 4]))
    x = data.draw(strategies.arrays((2, 4, *size), distinct=0.0))
    weight, bias = data.draw(strategies.arrays((4,))), data.draw(strategies.arrays((4,)))
    assert gradcheck(lambda x, w, b: F.group_norm(x, groups, w, b, eps=0.1), (x, weight, bias), order=2)
    assert gradcheck(lambda x: F.group_norm(x, groups, eps=0.1), x, order=2)


@given(data=st.data())
def test_batch_norm_derivatives_agree_with_differences_to_second_order(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([(), (3,), (2, 2), (65,)]))  # short channels and long ones have kernels each
    x = data.draw(strategies.arrays((2, 2, *size), distinct=0.0))
    weight, bias = data.draw(strategies.arrays((2,))), data.draw(strategies.arrays((2,)))

    def norm(x: mg.Tensor, *affine: mg.Tensor) -> mg.Tensor:
        return F.batch_norm(x, None, None, *affine, training=True, eps=0.1)

    assert gradcheck(norm, (x, weight, bias), order=2)
    assert gradcheck(norm, x, order=2)


def test_layer_norm_over_several_axes_is_its_formula(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4))
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(F.layer_norm(mg.asarray(x), (3, 4)).numpy(), expected, rtol=1e-10)
