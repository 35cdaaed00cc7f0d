"""Positions: each scheme against its definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import gradcheck
from tests.transformer.conftest import small
from transformer.model.positions import POSITIONS, alibi_slopes, relative_buckets, rotate, sinusoidal

Array = np.ndarray[Any, Any]


def test_sinusoidal_positions_are_the_papers_and_a_shift_is_a_rotation() -> None:
    table = sinusoidal(50, 8).numpy().astype(np.float64)
    assert table[3, 2] == pytest.approx(np.sin(3 / 10000 ** (2 / 8)), rel=1e-6)
    assert table[3, 3] == pytest.approx(np.cos(3 / 10000 ** (2 / 8)), rel=1e-6)
    # section 3.5: PE(pos + k) is a linear function of PE(pos), the same at every position
    shift, *_ = np.linalg.lstsq(table[:-5], table[5:], rcond=None)
    np.testing.assert_allclose(table[:-5] @ shift, table[5:], atol=1e-5)


def test_sinusoidal_halves_are_all_sines_and_then_all_cosines() -> None:
    found = POSITIONS["sinusoidal_halves"](small(), False)(mg.zeros((1, 7, 16)), mg.arange(7)).numpy()[0]
    for pos in range(7):
        for i in range(8):
            angle = pos / 10000 ** (2 * i / 16)
            assert found[pos, i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert found[pos, 8 + i] == pytest.approx(math.cos(angle), abs=1e-6)


@pytest.mark.parametrize("kind", ["sinusoidal", "sinusoidal_halves", "learned"])
def test_a_token_gets_the_vector_of_its_own_position(kind: str, rng: np.random.Generator) -> None:
    positions = POSITIONS[kind](small(), False)
    x = rng.standard_normal((2, 3, 16), np.float32)
    table = positions(mg.zeros((1, 9, 16)), mg.arange(9)).detach().numpy()[0]
    assert len({row.tobytes() for row in table}) == 9
    np.testing.assert_allclose(positions(mg.asarray(x), mg.asarray([4, 5, 6])).detach(), x + table[4:7], rtol=1e-6)
    places = np.array([[0, 0, 1], [7, 8, 2]])
    np.testing.assert_allclose(positions(mg.asarray(x), mg.asarray(places)).detach(), x + table[places], rtol=1e-6)


@pytest.mark.parametrize("kind", ["rotary", "alibi", "relative", "none"])
def test_the_other_schemes_leave_embeddings_alone_and_any_length_is_allowed(kind: str) -> None:
    positions = POSITIONS[kind](small(), True)
    x = mg.ones((1, 3, 16))
    assert positions(x, mg.arange(3)) is x


@pytest.mark.parametrize(
    ("kind", "rotates", "biases"),
    [
        ("sinusoidal", False, False),
        ("learned", False, False),
        ("none", False, False),
        ("rotary", True, False),
        ("alibi", False, True),
        ("relative", False, True),
    ],
)
def test_a_scheme_acts_in_one_place_only(kind: str, rotates: bool, biases: bool) -> None:
    positions = POSITIONS[kind](small(), True)
    assert (positions.rotation(mg.arange(3)) is not None) == rotates
    assert (positions.bias(3, 3) is not None) == biases


# Rotary


def test_rotary_positions_turn_each_pair_as_a_complex_number(rng: np.random.Generator) -> None:
    rotary = POSITIONS["rotary"](small(num_heads=2, rotary_base=100.0), True)
    x, places = rng.standard_normal((1, 2, 5, 8)), np.array([0, 1, 2, 5, 9])
    found = rotate(mg.asarray(x), _given(rotary.rotation(mg.asarray(places)))).numpy()
    for i in range(4):
        turned = (x[..., i] + 1j * x[..., i + 4]) * np.exp(1j * places * 100.0 ** (-2 * i / 8))
        np.testing.assert_allclose(found[..., i] + 1j * found[..., i + 4], turned, atol=1e-6)


def test_products_of_turned_vectors_depend_on_the_distance_only(rng: np.random.Generator) -> None:
    rotary = POSITIONS["rotary"](small(num_heads=1), True)
    q, k = (mg.asarray(np.tile(rng.standard_normal(16), (1, 1, 20, 1))) for _ in range(2))
    rotation = _given(rotary.rotation(mg.arange(20)))
    products = (rotate(q, rotation) @ rotate(k, rotation).mT).numpy()[0, 0]
    for distance in range(-19, 20):
        np.testing.assert_allclose(np.diagonal(products, distance), products.diagonal(distance)[0], atol=1e-5)
    assert np.ptp(products) > 1


def test_rows_may_stand_at_positions_of_their_own(rng: np.random.Generator) -> None:
    rotary = POSITIONS["rotary"](small(), True)
    x, places = mg.asarray(rng.standard_normal((2, 2, 3, 8))), np.array([[0, 1, 2], [4, 5, 6]])
    both = rotate(x, _given(rotary.rotation(mg.asarray(places)))).numpy()
    for row in range(2):
        alone = rotate(x[row : row + 1], _given(rotary.rotation(mg.asarray(places[row]))))
        np.testing.assert_array_equal(both[row], alone.numpy()[0])


def test_the_turn_differentiates(rng: np.random.Generator) -> None:
    rotation = _given(POSITIONS["rotary"](small(), True).rotation(mg.arange(3)))
    assert gradcheck(lambda x: rotate(x, rotation), (rng.standard_normal((1, 2, 3, 8)),), order=2)


@pytest.mark.peers
def test_rotary_positions_are_llamas(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    pytest.importorskip("transformers", reason="compares with transformers")
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    peer = LlamaRotaryEmbedding(LlamaConfig(hidden_size=16, num_attention_heads=2, max_position_embeddings=64))
    q, places = rng.standard_normal((2, 2, 5, 8), np.float32), np.array([[0, 1, 2, 3, 4], [7, 8, 30, 31, 60]])
    cos, sin = peer(torch.from_numpy(q), torch.from_numpy(places))
    expected, _ = apply_rotary_pos_emb(torch.from_numpy(q), torch.from_numpy(q), cos, sin)
    rotation = _given(POSITIONS["rotary"](small(), True).rotation(mg.asarray(places)))
    np.testing.assert_allclose(rotate(mg.asarray(q), rotation), expected.numpy(), atol=1e-5)


# ALiBi


def test_alibi_slopes_are_the_papers() -> None:
    assert alibi_slopes(8) == [2.0**-i for i in range(1, 9)]  # section 3
    assert alibi_slopes(1) == [2.0**-8]
    # where H is no power of two, those of 8 heads and then every other of 16
    assert alibi_slopes(12) == pytest.approx([2.0**-i for i in range(1, 9)] + [2.0 ** -(i / 2) for i in (1, 3, 5, 7)])
    assert alibi_slopes(3) == [2.0**-4, 2.0**-8, 2.0**-2]


def test_alibi_subtracts_the_distance_times_the_slope() -> None:
    bias = _given(POSITIONS["alibi"](small(num_heads=2), True).bias(2, 4)).numpy()
    assert bias.shape == (2, 2, 4)
    for head, slope in enumerate((2.0**-4, 2.0**-8)):
        for query, place in enumerate((2, 3)):  # the last query stands at the last key
            np.testing.assert_allclose(bias[head, query], [-slope * abs(place - key) for key in range(4)])


@pytest.mark.peers
@pytest.mark.parametrize("heads", [1, 2, 3, 6, 8, 12, 20])
def test_alibi_slopes_are_blooms(heads: int) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom", reason="compares with transformers")
    expected = bloom.build_alibi_tensor(torch.ones((1, 2)), heads, torch.float32)[:, 0, 1]
    np.testing.assert_allclose(alibi_slopes(heads), expected.numpy(), rtol=1e-6)


# T5's relative positions


def test_short_distances_have_buckets_of_their_own_and_long_ones_share() -> None:
    distance = -np.arange(200)
    bucket = relative_buckets(distance, 32, 128, causal=True)
    assert bucket[:16].tolist() == list(range(16))
    assert (np.diff(bucket) >= 0).all()
    assert (bucket[128:] == 31).all() and bucket[100] < 31
    assert relative_buckets(np.array([1, 5, 100]), 32, 128, causal=True).tolist() == [0, 0, 0]  # later keys
    both = relative_buckets(np.array([-3, 0, 3, 500]), 32, 128, causal=False)
    assert both.tolist() == [3, 0, 16 + 3, 31]


def test_the_bias_is_one_number_for_each_head_and_distance() -> None:
    relative = POSITIONS["relative"](small(relative_buckets=8, relative_max_distance=20), False)
    weight = dict(relative.named_parameters())["weight"].detach().numpy()
    bias = _given(relative.bias(3, 5)).detach().numpy()
    assert bias.shape == (2, 3, 5)
    for query in range(3):
        for key in range(5):
            distance = np.array(key - (query + 2))
            bucket = relative_buckets(distance, 8, 20, causal=False)
            np.testing.assert_array_equal(bias[:, query, key], weight[bucket])


@pytest.mark.peers
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (8, 20), (4, 3), (64, 1000)])
def test_buckets_are_t5s(buckets: int, furthest: int, causal: bool) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5", reason="compares with transformers")
    distance = np.arange(-1500, 1501)
    expected = t5.T5Attention._relative_position_bucket(torch.from_numpy(distance), not causal, buckets, furthest)
    np.testing.assert_array_equal(relative_buckets(distance, buckets, furthest, causal), expected.numpy())


def _given(x: mg.Tensor | None) -> mg.Tensor:
    assert x is not None
    return x
