"""Softmax, normalisation, attention and the loss: the operations that run on kernels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad.nn import functional as F
from minigrad.testing import gradcheck, strategies


@pytest.mark.parametrize("function", [mg.softmax, mg.log_softmax])
@given(data=st.data())
def test_softmax_derivatives_agree_with_differences_to_second_order(function: object, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    axis = data.draw(strategies.axes(x.ndim, several=False))
    assert gradcheck(lambda t: function(t, axis=axis), x, order=2)


def test_a_row_with_nothing_to_choose_from_gives_zeros_and_zero_gradient() -> None:
    x = mg.tensor([[-np.inf, -np.inf], [0.0, -np.inf]], requires_grad=True)
    y = mg.softmax(x)
    np.testing.assert_array_equal(y.detach().numpy(), [[0, 0], [1, 0]])
    (y * mg.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros((2, 2)))


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


def test_layer_norm_over_several_axes_is_its_formula(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4))
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(F.layer_norm(mg.asarray(x), (3, 4)).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_derivatives_agree_with_differences_to_second_order(
    smoothing: float, reduction: str, rng: np.random.Generator
) -> None:
    logits = rng.standard_normal((5, 4))
    targets = np.array([0, 3, -100, 1, 1])
    assert gradcheck(
        lambda x: F.cross_entropy(x, targets, label_smoothing=smoothing, reduction=reduction),
        logits,
        order=2,
    )


def test_cross_entropy_is_its_definition(rng: np.random.Generator) -> None:
    logits = rng.standard_normal((6, 5))
    targets = rng.integers(0, 5, 6)
    targets[2] = -100
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    wanted = np.full((6, 5), 0.2 / 5)
    wanted[np.arange(6), np.maximum(targets, 0)] += 0.8
    expected = -(wanted * log_p).sum(1)[targets != -100].mean()
    found = F.cross_entropy(mg.asarray(logits), targets, label_smoothing=0.2)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_cross_entropy_refuses_classes_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="expected classes 0 to 2 or -100"):
        F.cross_entropy(mg.ones((2, 3)), np.array([0, 3]))
    with pytest.raises(ValueError, match=r"expected \(N,\)"):
        F.cross_entropy(mg.ones((2, 3)), np.array([0, 1, 2]))
    with pytest.raises(TypeError, match="integer classes"):
        F.cross_entropy(mg.ones((2, 3)), np.array([0.0, 1.0]))


def test_attention_derivatives_agree_with_differences_to_second_order(rng: np.random.Generator) -> None:
    query, key, value = (rng.standard_normal(shape) for shape in ((2, 3, 4), (2, 5, 4), (2, 5, 3)))
    mask = np.ones((3, 5), np.bool_)
    mask[1, 2:] = False
    mask[2] = False  # nothing to attend to
    attend = F.scaled_dot_product_attention
    assert gradcheck(lambda q, k, v: attend(q, k, v, mask), (query, key, value), order=2)
    assert gradcheck(lambda q, k, v: attend(q, k, v, is_causal=True), (query, key, value), order=2)


def test_grouped_query_heads_share_keys_and_values(rng: np.random.Generator) -> None:
    query, key, value = (rng.standard_normal(shape) for shape in ((1, 4, 3, 2), (1, 2, 5, 2), (1, 2, 5, 2)))

    def attend(q: mg.Tensor, k: mg.Tensor, v: mg.Tensor) -> mg.Tensor:
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    repeated = F.scaled_dot_product_attention(*(mg.asarray(x) for x in (query, key.repeat(2, 1), value.repeat(2, 1))))
    np.testing.assert_allclose(attend(*map(mg.asarray, (query, key, value))).numpy(), repeated.numpy())
    assert gradcheck(attend, (query, key, value), order=2)
    with pytest.raises(ValueError, match="its 2 heads cannot serve 3 query heads evenly"):
        attend(mg.ones((1, 3, 3, 2)), mg.asarray(key), mg.asarray(value))
    with pytest.raises(ValueError, match=r"query: expected heads, positions and features, got shape \(3, 2\)"):
        attend(mg.ones((3, 2)), mg.asarray(key), mg.asarray(value))


def test_attention_operands_that_do_not_fit_are_named() -> None:
    q, k = mg.ones((2, 3, 4)), mg.ones((2, 5, 4))
    with pytest.raises(ValueError, match="key: expected the query's 4 features"):
        F.scaled_dot_product_attention(q, mg.ones((2, 5, 3)), k)
    with pytest.raises(ValueError, match="value: expected the key's 5 positions"):
        F.scaled_dot_product_attention(q, k, mg.ones((2, 6, 4)))
    with pytest.raises(ValueError, match=r"attn_mask: expected a shape that broadcasts to \(2, 3, 5\), got \(7,\)"):
        F.scaled_dot_product_attention(q, k, k, np.ones(7, np.bool_))
    with pytest.raises(ValueError, match="attn_mask"):
        F.scaled_dot_product_attention(q, k, k, np.ones((4, 2, 3, 5), np.bool_))  # would make the result larger
    with pytest.raises(TypeError, match="attn_mask: expected booleans, or floats to add to the scores, got int64"):
        F.scaled_dot_product_attention(q, k, k, np.ones((3, 5), np.int64))


def test_other_losses_agree_with_differences(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 6)), rng.random((2, 6))
    assert gradcheck(F.mse_loss, (x, y), order=2)
    assert gradcheck(lambda x: F.binary_cross_entropy_with_logits(x, y), x, order=2)
    targets = np.array([1, -100])
    assert gradcheck(lambda x: F.nll_loss(mg.log_softmax(x), targets), x, order=2)
    assert gradcheck(lambda x: F.silu(x), x, order=2)


def test_losses_refuse_targets_that_do_not_fit() -> None:
    for loss in (F.mse_loss, F.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match=r"target: expected the input's shape \(3, 1\), got \(3,\)"):
            loss(mg.ones((3, 1)), mg.ones(3))
    for targets in ([0, -1, 1], [0, 1]):
        with pytest.raises(ValueError, match="target: expected"):
            F.nll_loss(mg.ones((3, 2)), np.array(targets))
    ignored = F.nll_loss(mg.tensor([[-np.inf, 0.0], [0.0, -1.0]]), np.array([-100, 1]))
    assert ignored.item() == 1.0
