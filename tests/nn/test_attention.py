"""Attention as one operation: its derivatives, and that it is its composed definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F
from minigrad.nn.functional.attention import composed_attention, fused_attention
from minigrad.testing import gradcheck

SHAPES = {
    "plain": ((2, 3, 4), (2, 5, 4), (2, 5, 3)),
    "matrices": ((3, 4), (5, 4), (5, 2)),
    "batch": ((2, 2, 3, 2), (2, 2, 3, 2), (2, 2, 3, 4)),
    "grouped": ((1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2)),
    "shared by a batch": ((2, 2, 3, 2), (2, 3, 2), (3, 2)),
    "queries shared": ((1, 3, 2), (2, 3, 2), (2, 3, 2)),
    "values of more heads": ((3, 2), (3, 2), (2, 2, 3, 4)),
}
MASK = np.array([[True, False, True], [False, False, False], [False, True, True]])
OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "causal": {"causal": True},
    "scaled": {"scale": -0.7},
    "boolean": {"mask": MASK},
    "floating": {"mask": np.where(MASK, 0.3, -np.inf)},
    "dropout": {"dropout": 0.4, "seed": 5},
    "all": {"mask": MASK, "causal": True, "dropout": 0.4, "seed": 6},
}


def operands(name: str, rng: np.random.Generator) -> list[Any]:
    return [rng.standard_normal(shape) for shape in SHAPES[name]]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("option", OPTIONS)
def test_values_and_derivatives_are_those_of_the_composed_definition(
    name: str, option: str, rng: np.random.Generator
) -> None:
    arrays = operands(name, rng)
    options = {"scale": 0.5, **OPTIONS[option]}
    mask = options.pop("mask", None)
    if mask is not None and arrays[1].shape[-2] != 3:
        mask = np.concatenate([mask, mask[:, :2]], axis=1)
    results = []
    for attend in (fused_attention, composed_attention):
        tensors = [mg.tensor(array, requires_grad=True) for array in arrays]
        out = attend(*tensors, mask, **options)
        (out * mg.cos(out)).sum().backward()
        results.append([out.detach(), *(tensor.grad for tensor in tensors)])
    for fused, composed in zip(*results, strict=True):
        assert fused is not None
        assert composed is not None
        np.testing.assert_allclose(fused.numpy(), composed.numpy(), atol=1e-12)


@pytest.mark.parametrize("option", OPTIONS)
def test_derivatives_agree_with_differences_to_second_order(option: str, rng: np.random.Generator) -> None:
    options = {"scale": 0.5, **OPTIONS[option]}
    mask = options.pop("mask", None)
    arrays = operands("batch", rng)
    assert gradcheck(lambda q, k, v: fused_attention(q, k, v, mask, **options), arrays, order=2)


def test_an_added_mask_gets_its_gradient(rng: np.random.Generator) -> None:
    arrays = [*operands("plain", rng), rng.standard_normal((3, 5))]
    assert gradcheck(F.scaled_dot_product_attention, arrays, order=2)


def test_one_node_stands_for_all() -> None:
    q = mg.ones((2, 3, 4)).requires_grad_()
    out = F.scaled_dot_product_attention(q, q, q, is_causal=True)
    assert out.node is not None
    assert out.node.name == "scaled_dot_product_attention"
    assert [source[0] for source in out.node.inputs if source] == [q, q, q]


def test_dtypes_are_those_of_the_inputs_promoted(rng: np.random.Generator) -> None:
    single, double = (mg.tensor(rng.standard_normal((2, 3, 4)).astype(t), requires_grad=True) for t in "fd")
    integers = mg.ones((2, 3, 4), dtype=mg.int64)
    assert F.scaled_dot_product_attention(single, integers, single).dtype == np.float32
    mixed = F.scaled_dot_product_attention(single, double, single)
    assert mixed.dtype == np.float64
    mixed.sum().backward()
    assert single.grad is not None
    assert single.grad.dtype == np.float32


def test_dropout_follows_the_seed_and_keeps_the_mean(rng: np.random.Generator) -> None:
    q, k = (rng.standard_normal((1, 1, 40, 8)) for _ in range(2))
    ones = np.ones((1, 1, 40, 1))
    draws = []
    for _ in range(2):
        mg.manual_seed(3)
        draws.append(F.scaled_dot_product_attention(q, k, ones, dropout_p=0.25).numpy())
    np.testing.assert_array_equal(*draws)
    assert (draws[0] != F.scaled_dot_product_attention(q, k, ones, dropout_p=0.25).numpy()).any()
    many = [F.scaled_dot_product_attention(q, k, ones, dropout_p=0.25).numpy().mean() for _ in range(200)]
    assert np.mean(many) == pytest.approx(1, abs=5 * np.std(many) / 200**0.5)
    assert (F.scaled_dot_product_attention(q, k, ones, dropout_p=1.0).numpy() == 0).all()
    with pytest.raises(ValueError, match="p: expected a probability between 0 and 1, got 2"):
        F.scaled_dot_product_attention(q, k, ones, dropout_p=2)


def test_heads_that_do_not_fit_are_named() -> None:
    q = mg.ones((4, 3, 2))
    with pytest.raises(ValueError, match=r"key: expected a shape that fits the query's \(4, 3, 2\), got \(2, 3, 2\)"):
        F.scaled_dot_product_attention(q, mg.ones((2, 3, 2)), mg.ones((2, 3, 2)))
    with pytest.raises(ValueError, match=r"query: expected positions by features, got shape \(2,\)"):
        F.scaled_dot_product_attention(mg.ones(2), q, q)


def test_examples_of_a_batch_are_attended_one_by_one(rng: np.random.Generator) -> None:
    arrays = [rng.standard_normal((5, 2, 3, 4)) for _ in range(3)]
    attend = mg.func.vmap(lambda q, k, v: fused_attention(q, k, v, scale=0.5, causal=True))
    whole = fused_attention(*arrays, scale=0.5, causal=True)
    np.testing.assert_allclose(attend(*map(mg.tensor, arrays)).numpy(), np.asarray(whole), atol=1e-12)


def test_a_learned_scale_gets_its_gradient(rng: np.random.Generator) -> None:
    gradcheck(
        lambda q, k, v, scale: F.scaled_dot_product_attention(q, k, v, scale=scale),
        [*operands("plain", rng), np.array(0.7)],
        order=2,
    )


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
