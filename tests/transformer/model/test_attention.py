"""Attention against loops over queries, with every kind of mask and bias; and recorded weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import gradcheck
from tests.transformer.conftest import ARCHITECTURES, model_in_float64
from transformer import CausalLM, MaskedLM, MultiHeadAttention, Transformer, record_attention
from transformer.model.attention import ScaledDotProductAttention, Visibility, causal_mask, padding_mask, window_mask

Array = np.ndarray[Any, Any]


def weights_of(query: Array, key: Array, visible: Array, bias: Array, scale: float, cap: float | None = None) -> Array:
    """(B, H, Q, K): a softmax for each query over the keys it may see, of scores bounded by the cap."""
    batch, heads, queries, _ = query.shape
    weights = np.zeros((batch, heads, queries, key.shape[2]))
    for b, h, q in np.ndindex(batch, heads, queries):
        seen = np.flatnonzero(visible[b, q])
        if len(seen):
            scores = scale * key[b, h * key.shape[1] // heads, seen] @ query[b, h, q]
            scores = (scores if cap is None else cap * np.tanh(scores / cap)) + bias[h, q, seen]
            share = np.exp(scores - scores.max())
            weights[b, h, q, seen] = share / share.sum()
    return weights


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_attention_is_a_weighted_mean_of_what_a_query_may_see(
    groups: int, biased: bool, causal: bool, masked: bool, scale: float | None, rng: np.random.Generator
) -> None:
    query = rng.standard_normal((2, 4, 5, 3))
    key, value = rng.standard_normal((2, 2, groups, 5, 3))
    real = np.array([[True] * 5, [False, False, True, True, True]]) if masked else np.ones((2, 5), bool)
    bias = rng.standard_normal((4, 5, 5)) if biased else np.zeros((4, 5, 5))
    visible = real[:, None, :] & (np.tri(5, dtype=bool) if causal else True)
    weights = weights_of(query, key, np.broadcast_to(visible, (2, 5, 5)), bias, 3**-0.5 if scale is None else scale)
    expected = weights @ value.repeat(4 // groups, axis=1)

    attend = ScaledDotProductAttention(scale=scale)
    given = Visibility(padding_mask(mg.asarray(real)) if masked else None, causal, mg.asarray(bias) if biased else None)
    arguments = [mg.asarray(x) for x in (query, key, value)]
    np.testing.assert_allclose(attend(*arguments, given), expected, atol=1e-12)
    np.testing.assert_allclose(attend.weights(*arguments[:2], given), weights, atol=1e-12)


def test_fewer_heads_of_keys_are_as_many_that_are_equal(rng: np.random.Generator) -> None:
    grouped = MultiHeadAttention(8, 4, num_kv_heads=2, d_k=6).astype(np.float64)
    full = MultiHeadAttention(8, 4, d_k=6).astype(np.float64)
    state = grouped.state_dict()
    for name in ("key", "value"):
        for part in ("weight", "bias"):
            heads = state[f"{name}.{part}"].numpy().reshape(2, 6, -1)
            state[f"{name}.{part}"] = mg.asarray(
                heads.repeat(2, axis=0).reshape(full.state_dict()[f"{name}.{part}"].shape)
            )
    full.load_state_dict(state)
    x = mg.asarray(rng.standard_normal((2, 5, 8)))
    np.testing.assert_allclose(grouped(x, x).detach(), full(x, x).detach(), atol=1e-12)


@pytest.mark.parametrize("bias", [False, True])
def test_a_query_that_may_see_nothing_gives_zeros_and_no_gradient(bias: bool, rng: np.random.Generator) -> None:
    query, key, value = (mg.tensor(rng.standard_normal((1, 2, 3, 4)), requires_grad=True) for _ in range(3))
    learned = mg.tensor(rng.standard_normal((2, 3, 3)), requires_grad=True)
    mask = mg.asarray(np.array([[True, True, True], [False, False, False], [True, False, True]]))
    found = ScaledDotProductAttention()(query, key, value, Visibility(mask, bias=learned if bias else None))
    assert not found.detach().numpy()[:, :, 1].any()
    assert found.detach().numpy()[:, :, [0, 2]].all()
    found.sum().backward()
    for x in (query, key, value, *([learned] if bias else [])):
        assert x.grad is not None and np.isfinite(x.grad.numpy()).all()
    assert query.grad is not None and not query.grad.numpy()[:, :, 1].any()
    if bias:
        assert learned.grad is not None and not learned.grad.numpy()[:, 1].any()


def test_a_query_that_may_see_nothing_weighs_nothing(rng: np.random.Generator) -> None:
    x = mg.asarray(rng.standard_normal((1, 2, 3, 4)))
    mask = mg.asarray(np.array([[True, True, True], [False, False, False], [True, False, True]]))
    sums = ScaledDotProductAttention().weights(x, x, mask).numpy().sum(-1)
    np.testing.assert_allclose(sums, [[[1, 0, 1]] * 2], atol=1e-12)


def test_weights_are_dropped_in_training_and_the_others_grow() -> None:
    attend = ScaledDotProductAttention(dropout=0.25)
    x, units = mg.zeros((1, 1, 100, 4)), mg.asarray(np.eye(100)[None, None])
    dropped = attend(x, x, units).numpy()
    assert set(np.round(dropped, 6).ravel()) == {0.0, np.round(0.01 / 0.75, 6)}
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(attend.eval()(x, x, units), 0.01, rtol=1e-5)


def test_multi_head_attention_agrees_with_differences_to_second_order(rng: np.random.Generator) -> None:
    attention = MultiHeadAttention(4, 2, num_kv_heads=1).astype(np.float64)
    x, memory = rng.standard_normal((1, 3, 4)), rng.standard_normal((1, 3, 4))
    assert gradcheck(lambda x, m: attention(x, m, causal_mask(3)), (x, memory), order=2)


def test_masks_are_their_definitions() -> None:
    for queries, keys, window in ((4, 4, None), (2, 5, None), (4, 4, 2), (3, 6, 1), (1, 4, 3), (2, 3, 9)):
        expected = [
            [0 <= place - key < (window or keys) for key in range(keys)] for place in range(keys - queries, keys)
        ]
        assert causal_mask(queries, keys, window).numpy().tolist() == expected
    assert window_mask(4, 2).numpy().tolist() == [[abs(q - k) < 2 for k in range(4)] for q in range(4)]


def test_bad_arguments_name_themselves() -> None:
    with pytest.raises(ValueError, match="num_heads: 3 heads cannot share d_model=16 evenly"):
        MultiHeadAttention(16, 3)
    with pytest.raises(ValueError, match="num_kv_heads: 3 heads cannot serve num_heads=4 evenly"):
        MultiHeadAttention(16, 4, num_kv_heads=3)
    x = mg.ones((1, 3, 16))
    with pytest.raises(TypeError, match="mask: expected booleans, True where a query may attend, got float32"):
        MultiHeadAttention(16, 2)(x, x, mg.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"query: expected shape \(batch, length, d_model\), got \(3, 16\)"):
        MultiHeadAttention(16, 2)(x[0], x)
    with pytest.raises(ValueError, match="memory: expected positions to attend to, got None without a cache"):
        MultiHeadAttention(16, 2)(x, None)


# Weights of whole models


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", [CausalLM, MaskedLM, Transformer])
def test_recorded_weights_are_those_that_the_model_uses(kind: Any, architecture: str) -> None:
    model = model_in_float64(kind, **ARCHITECTURES[architecture])
    seen: dict[str, tuple[Any, ...]] = {}
    for name, module in model.named_modules():
        if isinstance(module, MultiHeadAttention):
            module.attend.register_forward_hook(
                lambda attend, arguments, output, name=name: seen.__setitem__(name, (attend, *arguments, output))
            )
    source, target = np.array([[5, 6, 7, 8, 9], [0, 0, 10, 11, 12]]), np.array([[1, 5, 6], [1, 7, 8]])
    with record_attention(model) as recorded:
        model(*((source, target) if kind is Transformer else (source,)))
    assert set(recorded) == set(seen)
    for name, weights in recorded.items():
        attend, query, key, value, visible, output = seen[name]
        batch, heads, queries, width = query.shape
        keys = key.shape[2]
        allowed = np.ones((batch, queries, keys), bool)
        if visible.mask is not None:
            allowed = allowed & np.broadcast_to(visible.mask.numpy(), (batch, 1, queries, keys))[:, 0]
        if visible.causal:
            allowed = allowed & np.tri(queries, keys, dtype=bool)
        bias = np.zeros((heads, queries, keys)) if visible.bias is None else visible.bias.detach().numpy()
        scale = width**-0.5 if attend.scale is None else attend.scale
        expected = weights_of(query.detach().numpy(), key.detach().numpy(), allowed, bias, scale, attend.softcap)
        np.testing.assert_allclose(weights, expected, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(
            output.detach(), expected @ value.detach().numpy().repeat(heads // key.shape[1], 1), atol=1e-9, err_msg=name
        )


@pytest.mark.parametrize("positions", ["sinusoidal", "alibi", "relative", "rotary"])
def test_no_weight_falls_outside_the_window_or_on_padding_or_on_the_future(positions: str) -> None:
    source, target = np.array([[0, 5, 6, 7, 8, 9]]), np.array([[1, 5, 6, 7, 8]])
    model = model_in_float64(positions=positions, window=2)
    with record_attention(model) as recorded:
        model(source, target)
    places = np.arange(6)
    near = (np.abs(places[:, None] - places) < 2) & (places > 0)  # the first one is padding
    back = np.tri(5, dtype=bool) & ~np.tri(5, k=-2, dtype=bool)
    for name, weights in recorded.items():
        visible = near if "encoder" in name else back if "self" in name else np.tile(places > 0, (5, 1))
        np.testing.assert_array_equal(weights.numpy() > 0, np.broadcast_to(visible, weights.shape), err_msg=name)


def test_weights_are_recorded_while_the_block_runs_only() -> None:
    model = model_in_float64(CausalLM)
    with record_attention(model) as recorded:
        model([[5, 6, 7]])
    assert list(recorded) == ["decoder.layers.0.self_attention", "decoder.layers.1.self_attention"]
    recorded.clear()
    model([[5, 6, 7]])
    assert not recorded
