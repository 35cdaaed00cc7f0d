"""Padding, windows written out, projections, dropout of channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad.nn import functional as F
from minigrad.testing import gradcheck

NUMPY = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("mode", NUMPY)
@given(data=st.data())
def test_padding_is_numpys_and_its_derivatives_agree_with_differences(mode: str, data: st.DataObject) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    axes = data.draw(st.integers(0, 3))
    width = [data.draw(st.integers(0, 2)) for _ in range(2 * axes)]
    pairs = [(0, 0)] * (3 - axes) + [tuple(width[2 * i : 2 * i + 2]) for i in reversed(range(axes))]
    np.testing.assert_array_equal(F.pad(x, width, mode).numpy(), np.pad(x, pairs, NUMPY[mode]))  # type: ignore[call-overload]
    assert gradcheck(lambda x: F.pad(x, width, mode) ** 2, x, order=2)


def test_negative_padding_cuts_off() -> None:
    x = mg.arange(6.0)
    assert F.pad(x, (-1, 2), value=9.0).tolist() == [1, 2, 3, 4, 5, 9, 9]
    assert F.pad(x, (-4, 2), "replicate").tolist() == [4, 5, 5, 5]
    assert F.pad(x, (2, -3), "circular").tolist() == [1, 2, 0, 1, 2]
    assert gradcheck(lambda x: F.pad(x, (-1, 2)) ** 2, np.arange(6.0), order=2)


@given(data=st.data())
def test_unfolding_writes_windows_as_columns_and_folding_is_its_adjoint(data: st.DataObject) -> None:
    window, stride, dilation = ([data.draw(st.integers(1, 2)) for _ in range(2)] for _ in range(3))
    padding = data.draw(st.integers(0, 1))
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((6, 3, *window))
    columns = F.unfold(x, window, dilation, padding, stride)
    products = weight.reshape(6, -1) @ columns.numpy()
    expected = F.conv2d(x, weight, None, stride, padding, dilation).numpy()
    np.testing.assert_allclose(products, expected.reshape(products.shape), atol=1e-12)
    y = rng.standard_normal(columns.shape)
    back = F.fold(y, (4, 5), window, dilation, padding, stride).numpy()
    np.testing.assert_allclose((columns.numpy() * y).sum(), (x * back).sum())
    assert gradcheck(lambda y: F.fold(y * y, (4, 5), window, dilation, padding, stride), y, order=2)


def test_unfolding_needs_no_batch() -> None:
    x = mg.arange(24.0).reshape(2, 3, 4)
    columns = F.unfold(x, 2)
    assert columns.shape == (8, 6)
    assert F.fold(columns, (3, 4), 2).shape == (2, 3, 4)


def test_bilinear_is_its_formula(rng: np.random.Generator) -> None:
    x, y, weight = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 5)), rng.standard_normal((6, 4, 5))
    bias = rng.standard_normal(6)
    np.testing.assert_allclose(
        F.bilinear(x, y, weight, bias).numpy(), np.einsum("abi,kij,abj->abk", x, weight, y) + bias
    )
    assert gradcheck(F.bilinear, (x, y, weight, bias), order=2)


def test_a_linear_map_to_one_number_needs_no_matrix(rng: np.random.Generator) -> None:
    x, weight = rng.standard_normal((2, 3, 4)), rng.standard_normal(4)
    np.testing.assert_allclose(F.linear(x, weight, 1.0).numpy(), x @ weight + 1)


def test_the_padding_row_of_an_embedding_gets_no_gradient() -> None:
    weight = mg.ones((4, 2)).requires_grad_()
    F.embedding([[0, 3, 3], [1, 1, 0]], weight, padding_idx=-1).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[2, 2], [2, 2], [0, 0], [0, 0]]
    with pytest.raises(IndexError, match="padding_idx: expected a row of 4"):
        F.embedding([0], weight, padding_idx=4)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_channel_dropout_drops_channels_as_a_whole(axes: int) -> None:
    dropout = [F.dropout1d, F.dropout2d, F.dropout3d][axes - 1]
    x = mg.ones((50, 40, *(3,) * axes))
    out = dropout(x, 0.25, generator=mg.random.Generator(0)).numpy().reshape(2000, -1)
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / 0.75)}
    np.testing.assert_array_equal(out.min(1), out.max(1))
    assert (out[:, 0] == 0).mean() == pytest.approx(0.25, abs=0.03)
    assert dropout(x, 0.25, training=False) is x
    with pytest.raises(ValueError, match=f"with {axes} spatial axes"):
        dropout(mg.ones(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.pad(x, (1,)), "pad: expected up to 4 pairs"),
        (lambda x: F.pad(x, (-3, -3)), "cuts off more than there is"),
        (lambda x: F.pad(x, (5, 0), "reflect"), "reflects more elements"),
        (lambda x: F.pad(x, (1, 1), "mirror"), "mode: expected 'constant' or one of 'reflect'"),
        (lambda x: F.unfold(x[0, 0], 2), "input: expected .N, C, H, W"),
        (lambda x: F.unfold(x, 9), "kernel_size: windows of"),
        (lambda x: F.fold(x, 4, 2), "input: expected .N, C · 4, 9"),
        (lambda x: F.bilinear(x, x, mg.ones((2, 2))), "weight: expected .out, M, N"),
    ],
)
def test_invalid_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(mg.ones((1, 2, 5, 5)))
