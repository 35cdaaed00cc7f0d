"""Differences, slopes, integrals, interpolation and convolution are NumPy's, and differentiable in all their inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad.testing import gradcheck, strategies


@given(data=st.data())
def test_differences_are_numpys(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1), data.draw(strategies.dtypes("bif")), 0, 5))
    axis = data.draw(strategies.axes(x.ndim, several=False))
    n = data.draw(st.integers(1, 3))
    ends = dict.fromkeys(data.draw(st.sets(st.sampled_from(["prepend", "append"]))), x)
    result = mg.diff(mg.asarray(x), n=n, axis=axis, **ends)
    expected = np.diff(x, n=n, axis=axis, **ends)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy(), expected)
    if x.dtype == np.float64 and result.size:
        assert gradcheck(lambda x: mg.diff(x * x, n=n, axis=axis, prepend=x), x, order=2)


def test_differences_take_numbers_at_the_ends_and_refuse_a_negative_order() -> None:
    x = mg.tensor([[1, 4], [9, 16]])
    assert mg.diff(x, prepend=0, append=mg.tensor(20)).tolist() == [[1, 3, 16], [9, 7, 4]]
    assert mg.diff(x, n=0) is x
    with pytest.raises(ValueError, match="n: expected"):
        mg.diff(x, n=-1)


@given(data=st.data())
def test_integrals_are_numpys_and_differentiable_in_values_and_places(data: st.DataObject) -> None:
    y = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    axis = data.draw(strategies.axes(y.ndim, several=False))
    x = np.arange(y.shape[axis]) ** 1.5
    np.testing.assert_allclose(mg.trapezoid(y, x, axis=axis).numpy(), np.trapezoid(y, x, axis=axis), atol=1e-12)
    np.testing.assert_allclose(mg.trapezoid(y, dx=0.5, axis=axis).numpy(), np.trapezoid(y, dx=0.5, axis=axis))
    assert gradcheck(lambda y, x: mg.trapezoid(y * y, x, axis=axis), (y, x), order=2)


@settings(max_examples=15)
@given(data=st.data())
def test_slopes_are_numpys_and_differentiable(data: st.DataObject) -> None:
    f = data.draw(strategies.arrays(strategies.shapes(min_dims=1, max_dims=2, min_side=3, max_side=5)))
    order = data.draw(st.sampled_from([1, 2]))
    places = [np.arange(size) ** 1.5 for size in f.shape]
    for spacing in ((), (0.5,), places):
        result = mg.gradient(mg.asarray(f), *spacing, edge_order=order)
        expected = np.gradient(f, *spacing, edge_order=order)
        for one, other in zip(*((r if isinstance(r, tuple) else (r,)) for r in (result, expected)), strict=True):
            np.testing.assert_allclose(one.numpy(), other, atol=1e-12)
    assert gradcheck(lambda f, x: mg.gradient(f * f, x, axis=0, edge_order=order), (f, places[0]), order=2)


def test_a_slope_between_neighbours_is_rounded_once_and_does_not_see_what_lies_between() -> None:
    f = np.array([1e-7, -1.0, 0.0, np.inf, 2.0], np.float32)
    np.testing.assert_array_equal(mg.gradient(f).numpy(), np.gradient(f))


def test_slopes_refuse_spacings_that_do_not_fit() -> None:
    f = mg.ones((3, 4))
    for arguments, options, message in (
        ((f, 1.0, 1.0, 1.0), {}, "varargs: expected a spacing"),
        ((f, [0.0, 1.0]), {"axis": 0}, "varargs: expected 3 coordinates"),
        ((f,), {"edge_order": 3}, "edge_order"),
        ((mg.ones(1),), {}, "f: expected at least 2"),
    ):
        with pytest.raises(ValueError, match=message):
            mg.gradient(*arguments, **options)


@given(data=st.data())
def test_interpolation_is_numpys_and_differentiable_in_places_points_and_values(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 5))
    xp = np.cumsum(data.draw(strategies.arrays((count,), low=0.5, high=1)))
    fp = data.draw(strategies.arrays((count,)))
    x = data.draw(strategies.arrays(strategies.shapes(), low=0.1, high=5, distinct=0.01))
    np.testing.assert_allclose(mg.interp(x, xp, fp).numpy(), np.interp(x, xp, fp), rtol=1e-12, atol=1e-14)
    ends = {"left": -7.0, "right": 7.0}
    np.testing.assert_allclose(mg.interp(x, xp, fp, **ends).numpy(), np.interp(x, xp, fp, **ends), atol=1e-12)
    if np.min(np.abs(x[..., None] - xp)) > 1e-3:
        assert gradcheck(mg.interp, (x, xp, fp), order=2)


def test_interpolation_hits_its_points_and_refuses_pairs_that_do_not_match() -> None:
    xp, fp = mg.tensor([0.0, 1.0, 3.0]), mg.tensor([5.0, 7.0, 1.0])
    assert mg.interp(xp, xp, fp).tolist() == fp.tolist()
    assert mg.interp([0.5, 2.0], [1.0], [3.0]).tolist() == [3, 3]
    with pytest.raises(ValueError, match="xp, fp"):
        mg.interp(0.5, xp, fp[:2])


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
@settings(max_examples=15)
@given(sizes=st.tuples(st.integers(1, 6), st.integers(1, 6)))
def test_convolutions_are_numpys_and_differentiable_whichever_is_longer(
    name: str, mode: str, sizes: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    a, v = (rng.standard_normal(size) for size in sizes)
    function = getattr(mg, name)
    np.testing.assert_allclose(function(a, v, mode).numpy(), getattr(np, name)(a, v, mode), rtol=1e-12, atol=1e-14)
    assert gradcheck(lambda a, v: function(a, v, mode), (a, v), order=2)


def test_convolution_refuses_what_it_cannot_slide() -> None:
    for a, mode, message in ((mg.ones((2, 2)), "full", "a: expected"), (mg.ones(2), "wrap", "mode: expected")):
        with pytest.raises(ValueError, match=message):
            mg.convolve(a, mg.ones(2), mode)  # type: ignore[arg-type]
    assert mg.convolve(mg.tensor([1, 2]), mg.tensor([1, 1])).dtype == mg.int64


@given(data=st.data())
def test_interpolation_is_numpys_between_infinite_values_and_nan_too(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 4))
    xp = np.cumsum(data.draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))).astype(np.float64)
    values = st.sampled_from([1.0, 2.0, -1.0, np.inf, -np.inf, np.nan])
    fp = np.array(data.draw(st.lists(values, min_size=count, max_size=count)))
    x = np.array([*xp, *(xp + 0.25), *(xp - 0.75), np.nan, np.inf, -np.inf])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(mg.interp(x, xp, fp).numpy(), np.interp(x, xp, fp))


def test_interpolation_keeps_its_slope_at_the_points() -> None:
    x = mg.tensor([1.0, 2.0], dtype=mg.float64, requires_grad=True)
    mg.interp(x, [1.0, 2.0, 3.0], [0.0, 10.0, 40.0]).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [10, 30]
