"""Convolutions of any geometry: values, derivatives, and relations between them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import func
from minigrad.nn import functional as F
from minigrad.testing import gradcheck

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@st.composite
def geometries(draw: st.DrawFn, axes: int, longest: int = 3) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes of an input and a weight, and the arguments of a convolution of them."""
    each = st.lists(st.integers(1, longest), min_size=axes, max_size=axes)
    window, stride, dilation = draw(each), draw(each), draw(each)
    padding = [draw(st.integers(0, 2)) for _ in range(axes)]
    size = [
        max(1, d * (k - 1) + 1 - 2 * p + draw(st.integers(0, 4)))
        for k, d, p in zip(window, dilation, padding, strict=True)
    ]
    groups, channels, results = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    batch = draw(st.sampled_from([1, 3]))
    arguments = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (batch, groups * channels, *size), (groups * results, channels, *window), arguments


def by_definition(x: np.ndarray, weight: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """Element by element, from the definition."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    window, size = weight.shape[2:], x.shape[2:]
    count = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(size, window, stride, dilation, strict=True)]
    channels, results = weight.shape[1], len(weight) // groups
    out = np.empty((len(x), len(weight), *count))
    for o in range(len(weight)):
        own = x[:, o // results * channels :][:, :channels]
        for place in itertools.product(*map(range, count)):
            index = tuple(
                slice(s * q, s * q + d * (k - 1) + 1, d)
                for q, s, d, k in zip(place, stride, dilation, window, strict=True)
            )
            out[(slice(None), o, *place)] = (own[(..., *index)] * weight[o]).sum(tuple(range(1, x.ndim)))
    return out


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(data=st.data())
def test_a_convolution_is_its_definition(axes: int, data: st.DataObject) -> None:
    shape, window, arguments = data.draw(geometries(axes))
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal(shape), rng.standard_normal(window)
    expected = by_definition(x, weight, **arguments)
    np.testing.assert_allclose(CONV[axes](x, weight, **arguments).numpy(), expected, rtol=1e-9, atol=1e-9)
    narrow = CONV[axes](x.astype(np.float32), weight.astype(np.float32), **arguments)
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow.numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axes", [1, 2])
@given(data=st.data())
def test_derivatives_agree_with_differences_to_second_order(axes: int, data: st.DataObject) -> None:
    shape, window, arguments = data.draw(geometries(axes))
    rng = np.random.default_rng(0)
    x, weight, bias = rng.standard_normal(shape), rng.standard_normal(window), rng.standard_normal(window[0])
    assert gradcheck(lambda x, w, b: CONV[axes](x, w, b, **arguments), (x, weight, bias), order=2)


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(data=st.data())
def test_the_transposed_convolution_is_the_adjoint_also_with_the_rest_of_a_stride(
    axes: int, data: st.DataObject
) -> None:
    shape, window, arguments = data.draw(geometries(axes))
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal(shape), rng.standard_normal(window)
    out = CONV[axes](x, weight, **arguments).numpy()
    y = rng.standard_normal(out.shape)
    spans = zip(
        shape[2:], out.shape[2:], window[2:], *(arguments[k] for k in ("stride", "padding", "dilation")), strict=True
    )
    rest = [n + 2 * p - d * (k - 1) - 1 - s * (q - 1) for n, q, k, s, p, d in spans]
    if any(r >= s and r >= d for r, s, d in zip(rest, arguments["stride"], arguments["dilation"], strict=True)):
        return
    back = TRANSPOSE[axes](y, weight, output_padding=rest, **arguments).numpy()
    assert back.shape == shape
    np.testing.assert_allclose((out * y).sum(), (x * back).sum(), rtol=1e-9, atol=1e-9)


@given(data=st.data())
def test_a_transposed_convolutions_derivatives_agree_with_differences_to_second_order(data: st.DataObject) -> None:
    shape, window, arguments = data.draw(geometries(2, longest=2))
    rng = np.random.default_rng(0)
    arguments["padding"] = 0
    y = rng.standard_normal((shape[0], window[0], 2, 3))
    weight, bias = rng.standard_normal(window), rng.standard_normal(window[1] * arguments["groups"])
    assert gradcheck(lambda y, w, b: F.conv_transpose2d(y, w, b, **arguments), (y, weight, bias), order=2)


def test_an_input_without_a_batch_gives_a_result_without_one(rng: np.random.Generator) -> None:
    x, weight, bias = rng.standard_normal((2, 7, 6)), rng.standard_normal((4, 2, 3, 3)), rng.standard_normal(4)
    np.testing.assert_array_equal(F.conv2d(x, weight, bias).numpy(), F.conv2d(x[None], weight, bias).numpy()[0])
    y, back = rng.standard_normal((4, 5, 4)), rng.standard_normal(2)
    np.testing.assert_array_equal(
        F.conv_transpose2d(y, weight, back).numpy(), F.conv_transpose2d(y[None], weight, back).numpy()[0]
    )


def test_empty_batches_and_no_channels_give_empty_gradients_and_zeros() -> None:
    weight = mg.ones((3, 2, 2, 2)).requires_grad_()
    out = F.conv2d(mg.ones((0, 2, 4, 4)), weight)
    assert out.shape == (0, 3, 3, 3)
    out.sum().backward()
    assert weight.grad is not None and not weight.grad.numpy().any()
    np.testing.assert_array_equal(F.conv1d(mg.ones((2, 0, 4)), mg.ones((3, 0, 2))).numpy(), np.zeros((2, 3, 3)))


def test_padding_by_name_keeps_the_size_or_adds_nothing(rng: np.random.Generator) -> None:
    x, weight = rng.standard_normal((1, 2, 6, 7)), rng.standard_normal((3, 2, 4, 3))
    same = F.conv2d(x, weight, padding="same", dilation=(1, 2)).numpy()
    assert same.shape == (1, 3, 6, 7)
    around = np.pad(x, ((0, 0), (0, 0), (1, 2), (2, 2)))  # of an odd number, one more after
    np.testing.assert_allclose(same, F.conv2d(around, weight, dilation=(1, 2)).numpy())
    np.testing.assert_array_equal(F.conv2d(x, weight, padding="valid").numpy(), F.conv2d(x, weight).numpy())


def test_convolutions_run_over_whole_vmaps(rng: np.random.Generator) -> None:
    x, weight = mg.asarray(rng.standard_normal((3, 2, 2, 5, 5))), mg.asarray(rng.standard_normal((3, 4, 2, 3, 3)))
    together = func.vmap(F.conv2d)(x, weight).numpy()
    np.testing.assert_allclose(together, np.stack([F.conv2d(x[i], weight[i]).numpy() for i in range(3)]))
    shared = func.vmap(lambda x: F.conv2d(x, weight[0]))(x).numpy()
    np.testing.assert_allclose(shared, np.stack([F.conv2d(x[i], weight[0]).numpy() for i in range(3)]))
    biases = mg.asarray(rng.standard_normal((3, 4)))
    biased = func.vmap(lambda bias: F.conv2d(x[0], weight[0], bias))(biases).numpy()
    np.testing.assert_allclose(biased, np.stack([F.conv2d(x[0], weight[0], bias).numpy() for bias in biases]))


@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_of_each_example_are_those_of_a_batch_of_one(groups: int, rng: np.random.Generator) -> None:
    x = mg.asarray(rng.standard_normal((3, 1, 2, 5, 5)))
    weight, bias = mg.asarray(rng.standard_normal((4, 2 // groups, 3, 3))), mg.asarray(rng.standard_normal(4))

    def loss(weight: mg.Tensor, bias: mg.Tensor, x: mg.Tensor) -> mg.Tensor:
        return (F.conv2d(x, weight, bias, groups=groups) ** 2).sum()

    of_all = func.vmap(func.grad(loss, (0, 1)), (None, None, 0))(weight, bias, x)
    for example in range(3):
        for found, expected in zip(of_all, func.grad(loss, (0, 1))(weight, bias, x[example]), strict=True):
            np.testing.assert_allclose(found.numpy()[example], expected.numpy(), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, w: F.conv1d(x, w), "weight: expected 3 axes, 1 of them spatial"),
        (lambda x, w: F.conv2d(x[0, 0], w), "input: expected .N, C, ….* with 2 spatial axes"),
        (lambda x, w: F.conv2d(x[:, :1], w), "input: expected 2 channels"),
        (lambda x, w: F.conv2d(x, w, mg.ones(3)), r"bias: expected shape \(4,\)"),
        (lambda x, w: F.conv2d(x, w, groups=3), "groups: expected a divisor of 4"),
        (lambda x, w: F.conv2d(x, w, stride=0), "stride: expected an integer ≥ 1"),
        (lambda x, w: F.conv2d(x, w, dilation=(1, 2, 3)), "dilation: expected an integer ≥ 1, or 2 of them"),
        (lambda x, w: F.conv2d(x, w, padding=-1), "padding: expected an integer ≥ 0"),
        (lambda x, w: F.conv2d(x, w, padding="full"), "padding: expected integers, 'valid' or 'same'"),
        (lambda x, w: F.conv2d(x, w, padding="same", stride=2), "'same' needs a stride of 1"),
        (lambda x, w: F.conv2d(x, w, dilation=4), "does not fit into the padded input"),
        (
            lambda x, w: F.conv_transpose2d(x, w.transpose(1, 0, 2, 3), output_padding=1),
            "output_padding: expected less",
        ),
        (lambda x, w: F.conv_transpose2d(x, w.transpose(1, 0, 2, 3), padding=4), "padding: with .* cut off"),
    ],
)
def test_invalid_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(mg.ones((1, 2, 5, 5)), mg.ones((4, 2, 3, 3)))
