"""Pooling: windows of any geometry, chosen elements, and counted elements of a mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import func
from minigrad.nn import functional as F
from minigrad.testing import gradcheck

MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@st.composite
def geometries(draw: st.DrawFn, axes: int, dilated: bool) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The shape of an input, and the arguments of a pooling of it."""
    each = st.lists(st.integers(1, 3), min_size=axes, max_size=axes)
    window, stride = draw(each), draw(each)
    dilation = draw(each) if dilated else [1] * axes
    reach = [d * (k - 1) + 1 for k, d in zip(window, dilation, strict=True)]
    padding = [draw(st.integers(0, r // 2)) for r in reach]
    size = [max(1, r - 2 * p + draw(st.integers(0, 4))) for r, p in zip(reach, padding, strict=True)]
    arguments: dict[str, Any] = {"kernel_size": window, "stride": stride, "padding": padding}
    if dilated:
        arguments["dilation"] = dilation
    return (2, 2, *size), {**arguments, "ceil_mode": draw(st.booleans())}


def windows_of(shape: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Any:
    """The places of each window along each axis, which may lie outside."""
    for size, k, s, p, d in zip(shape, kernel_size, stride, padding, dilation, strict=True):
        room = (size + 2 * p - d * (k - 1) - 1) / s
        count = (math.ceil(room) if ceil_mode else math.floor(room)) + 1
        if ceil_mode and (count - 1) * s >= size + p:
            count -= 1
        yield [[s * q - p + d * i for i in range(k)] for q in range(count)]


def by_definition(x: np.ndarray, arguments: dict[str, Any], collapse: Any) -> np.ndarray:
    """``collapse(values, inside, counted)`` for every window of every channel."""
    full = {"dilation": [1] * (x.ndim - 2), **arguments}
    along = list(windows_of(x.shape[2:], **full))
    out = np.empty((*x.shape[:2], *map(len, along)))
    for place in np.ndindex(out.shape[2:]):
        grids = np.meshgrid(*(axis[q] for axis, q in zip(along, place, strict=True)), indexing="ij")
        inside = np.all([(g >= 0) & (g < n) for g, n in zip(grids, x.shape[2:], strict=True)], axis=0)
        ends = zip(grids, x.shape[2:], full["padding"], strict=True)
        counted = np.all([(g >= -p) & (g < n + p) for g, n, p in ends], axis=0).sum()
        values = x[(..., *(g[inside] for g in grids))]
        out[(..., *place)] = collapse(values, inside.sum(), counted)
    return out


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(data=st.data())
def test_max_pooling_is_its_definition_and_returns_the_indices(axes: int, data: st.DataObject) -> None:
    shape, arguments = data.draw(geometries(axes, dilated=True))
    x = np.random.default_rng(0).standard_normal(shape)
    expected = by_definition(x, arguments, lambda values, inside, counted: values.max(-1, initial=-np.inf))
    values, indices = MAX[axes](x, **arguments, return_indices=True)
    np.testing.assert_array_equal(values.numpy(), expected)
    flat = x.reshape(*shape[:2], -1)
    found = np.take_along_axis(flat, indices.numpy().reshape(*shape[:2], -1), -1).reshape(values.shape)
    np.testing.assert_array_equal(found[expected > -np.inf], expected[expected > -np.inf])


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("axes", [1, 2, 3])
@given(data=st.data())
def test_average_pooling_is_its_definition(axes: int, include: bool, data: st.DataObject) -> None:
    shape, arguments = data.draw(geometries(axes, dilated=False))
    x = np.random.default_rng(0).standard_normal(shape)
    expected = by_definition(
        x, arguments, lambda values, inside, counted: values.sum(-1) / (counted if include else inside)
    )
    found = AVG[axes](x, **arguments, count_include_pad=include).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@given(data=st.data())
def test_derivatives_agree_with_differences_to_second_order(data: st.DataObject) -> None:
    shape, arguments = data.draw(geometries(2, dilated=False))
    rng = np.random.default_rng(0)
    x = rng.permutation(math.prod(shape)).reshape(shape) / 7.0  # no two alike
    assert gradcheck(lambda x: F.max_pool2d(x * x, **arguments), x, order=2)
    assert gradcheck(lambda x: F.avg_pool2d(x * x, **arguments), x, order=2)


@pytest.mark.parametrize("output", [1, 2, (3, None), (4, 5)])
def test_adaptive_pooling_collapses_even_parts(output: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4, 6))
    rows, columns = (output, output) if isinstance(output, int) else (output[0], output[1] or 6)
    parts = [
        [
            x[:, :, i * 4 // rows : -(-(i + 1) * 4 // rows), j * 6 // columns : -(-(j + 1) * 6 // columns)]
            for j in range(columns)
        ]
        for i in range(rows)
    ]
    means = np.moveaxis([[part.mean((2, 3)) for part in row] for row in parts], (0, 1), (2, 3))
    largest = np.moveaxis([[part.max((2, 3)) for part in row] for row in parts], (0, 1), (2, 3))
    np.testing.assert_allclose(F.adaptive_avg_pool2d(x, output).numpy(), means)
    values, indices = F.adaptive_max_pool2d(x, output, return_indices=True)
    np.testing.assert_array_equal(values.numpy(), largest)
    np.testing.assert_array_equal(
        np.take_along_axis(x.reshape(2, 3, -1), indices.numpy().reshape(2, 3, -1), -1).reshape(largest.shape), largest
    )
    assert gradcheck(lambda x: F.adaptive_avg_pool2d(x, output), x, order=2)
    assert gradcheck(lambda x: F.adaptive_max_pool2d(x * x, output), x, order=2)


def test_of_equal_elements_the_first_gets_the_gradient_and_nan_wins() -> None:
    x = mg.tensor([[[1.0, 3.0, 3.0, 0.0, mg.nan, 5.0]]], requires_grad=True)
    out = F.max_pool1d(x, 3)
    out[..., :1].sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], [0, 1, 0, 0, 0, 0])
    values, indices = F.max_pool1d(x.detach(), 3, return_indices=True)
    assert np.isnan(values.numpy()[0, 0, 1]) and indices.tolist() == [[[1, 4]]]


def test_padding_is_never_chosen_not_even_over_minus_infinity() -> None:
    values, indices = F.max_pool2d(mg.full((1, 3, 3), -mg.inf), 3, 2, 1, return_indices=True)
    assert (values.numpy() == -np.inf).all()
    assert indices.tolist() == [[[0, 1], [3, 4]]]


def test_overlapping_windows_add_up_and_a_divisor_may_be_given() -> None:
    x = mg.tensor([[1.0, 5.0, 2.0]], requires_grad=True)
    F.max_pool1d(x, 2, 1).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[0, 2, 0]]
    assert F.avg_pool2d(mg.ones((1, 2, 2)), 2, divisor_override=8).item() == 0.5


def test_the_general_functions_take_as_many_axes_as_the_window(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4, 6))
    np.testing.assert_array_equal(F.max_pool(x, (2, 3)).numpy(), F.max_pool2d(x, (2, 3)).numpy())
    np.testing.assert_array_equal(F.max_pool(x[0], 2).numpy(), F.max_pool1d(x[0], 2).numpy())
    np.testing.assert_array_equal(F.avg_pool(x, 2).numpy(), F.avg_pool2d(x, 2).numpy())


def test_pooling_runs_over_whole_vmaps(rng: np.random.Generator) -> None:
    x = mg.asarray(rng.standard_normal((3, 2, 2, 5, 5)))
    for pool in (F.max_pool2d, F.avg_pool2d, F.adaptive_max_pool2d, F.adaptive_avg_pool2d):
        together = func.vmap(lambda x, pool=pool: pool(x, 3))(x).numpy()
        np.testing.assert_allclose(together, np.stack([pool(x[i], 3).numpy() for i in range(3)]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.max_pool2d(x[0, 0], 2), "input: expected .N, C, …"),
        (lambda x: F.max_pool2d(x, 6), "kernel_size: a window of 6 does not fit"),
        (lambda x: F.max_pool2d(x, 2, padding=2), "padding: expected at most half of the window"),
        (lambda x: F.max_pool2d(x, (2, 2, 2)), "kernel_size: expected one integer, or 2 of them"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), "divisor_override"),
        (lambda x: F.avg_pool2d(x[..., :0], 2), "spatial axes that are not empty"),
        (lambda x: F.adaptive_avg_pool2d(x, -1), "output_size: expected integers ≥ 0"),
    ],
)
def test_invalid_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(mg.ones((1, 2, 5, 5)))


def test_uneven_averages_take_in_only_their_own_elements() -> None:
    x = mg.tensor([[[np.inf, 1.0, 2.0, 3.0, 4.0]]], requires_grad=True)
    out = F.adaptive_avg_pool1d(x, 2)
    assert out.tolist() == [[[np.inf, 3]]]
    out.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[[1 / 3, 1 / 3, 2 / 3, 1 / 3, 1 / 3]]], rtol=1e-6)
