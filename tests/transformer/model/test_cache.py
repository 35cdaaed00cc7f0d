"""Key-value caches: step-by-step results equal those of the whole sequence, for every configuration."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import nn
from tests.transformer.conftest import ARCHITECTURES, model_in_float64
from transformer import CausalLM, Transformer, TransformerConfig
from transformer.decode.state import prompt_state
from transformer.model.attention import MultiHeadAttention
from transformer.model.cache import DecoderCache, KeyValueCache, Paged, dense

Array = np.ndarray[Any, Any]


@cache
def model_of(kind: Any, architecture: str) -> Any:
    return model_in_float64(kind, **{"vocab_size": 20, **ARCHITECTURES[architecture]})


def next_logits(model: Any, *arguments: Any) -> Array:
    """(V,): of the token after a single sequence, computed whole."""
    logits: Array = model(*arguments).detach().numpy()[0, -1]
    return logits


PROMPTS = [[5, 6, 7, 8], [9, 10], [11, 12, 13]]


def padded(rows: list[list[int]], side: str) -> Array:
    length = max(map(len, rows))
    zeros = [[0] * (length - len(row)) for row in rows]
    return np.array([z + row if side == "left" else row + z for z, row in zip(zeros, rows, strict=True)])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
def test_prompts_together_step_by_step_give_the_logits_of_each_alone(
    architecture: str, use_cache: bool, side: str
) -> None:
    model = model_of(CausalLM, architecture)
    with mg.no_grad():
        going = model.begin(padded(PROMPTS, side), use_cache=use_cache)
        found = going.step(going.prompt)
        sequences = [list(row) for row in PROMPTS]
        for new in ([3, 4, 5], [6, 7, 8]):
            for row, sequence in enumerate(sequences):
                np.testing.assert_allclose(found[row], next_logits(model, [sequence]), atol=1e-9)
                sequence.append(new[row])
            found = going.step(np.array(new)[:, None])
        # A beam search goes on with some rows, and with one of them twice.
        going.reorder(np.array([2, 0, 2]))
        sequences = [[*sequences[row], token] for row, token in ((2, 14), (0, 15), (2, 16))]
        found = going.step(np.array([[14], [15], [16]]))
        for row, sequence in enumerate(sequences):
            np.testing.assert_allclose(found[row], next_logits(model, [sequence]), atol=1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
def test_targets_step_by_step_give_the_logits_of_each_pair_alone(architecture: str, use_cache: bool, side: str) -> None:
    model = model_of(Transformer, architecture)
    with mg.no_grad():
        going = model.begin(padded(PROMPTS, side), use_cache=use_cache)
        going.reorder(np.array([0, 0, 1, 2]))  # before the first step: as many rows as there are beams
        origin, targets = [0, 0, 1, 2], [[1], [1], [1], [1]]
        found = going.step(going.prompt[[0, 0, 1, 2]])
        for keep, new in (([3, 1, 1], [4, 5, 6]), ([2, 0, 1], [7, 8, 9]), ([1], [3])):
            for row, target in enumerate(targets):
                expected = next_logits(model, [PROMPTS[origin[row]]], [target])
                np.testing.assert_allclose(found[row], expected, atol=1e-9)
            going.reorder(np.array(keep))
            origin, targets = (
                [origin[row] for row in keep],
                [[*targets[row], t] for row, t in zip(keep, new, strict=True)],
            )
            found = going.step(np.array(new)[:, None])


@given(
    architecture=st.sampled_from(sorted(ARCHITECTURES)),
    prompt=st.integers(1, 6),
    chunks=st.lists(st.integers(1, 4), min_size=1, max_size=5),
)
def test_any_number_of_tokens_may_be_added_at_once(architecture: str, prompt: int, chunks: list[int]) -> None:
    model = model_of(CausalLM, architecture)
    ids = np.random.default_rng(3).integers(3, 20, (2, prompt + sum(chunks)))
    with mg.no_grad():
        whole = model(ids).numpy()
        going = model.begin(ids[:, :prompt])
        found, length = going.step(going.prompt), prompt
        for chunk in chunks:
            np.testing.assert_allclose(found, whole[:, length - 1], atol=1e-9)
            found = going.step(ids[:, length : length + chunk])
            length += chunk
    np.testing.assert_allclose(found, whole[:, -1], atol=1e-9)


def test_a_step_with_a_cache_computes_the_newest_position_alone() -> None:
    model = model_in_float64(CausalLM)
    lengths: list[int] = []
    model.decoder.layers[0].register_forward_hook(lambda layer, arguments, output: lengths.append(output.shape[1]))
    with mg.no_grad():
        for use_cache in (True, False):
            going = model.begin([[5, 6, 7]], use_cache=use_cache)
            for tokens in ([[5, 6, 7]], [[8]], [[9]]):
                going.step(np.array(tokens))
    assert lengths == [3, 1, 1, 3, 4, 5]


def test_keys_of_the_source_are_computed_once() -> None:
    model = model_in_float64()
    calls: list[int] = []
    model.decoder.layers[0].cross_attention.key.register_forward_hook(lambda *_: calls.append(1))
    with mg.no_grad():
        going = model.begin([[5, 6, 7]])
        for token in (1, 8, 9):
            going.step(np.array([[token]]))
    assert len(calls) == 1


def test_a_cache_returns_all_that_it_was_given_and_follows_its_rows(rng: np.random.Generator) -> None:
    store = KeyValueCache()
    given_keys: list[Array] = []
    rows = np.arange(2)
    for length in (3, 1, 1, 2, 5, 1):
        keys = rng.standard_normal((2, 1, length, 4))
        given_keys.append(keys)
        found, values = map(dense, store.extend((mg.asarray(keys), mg.asarray(-keys))))
        np.testing.assert_array_equal(found, np.concatenate(given_keys, axis=2))
        np.testing.assert_array_equal(values, -np.concatenate(given_keys, axis=2))
        store.reorder(rows[::-1])
        given_keys = [keys[::-1] for keys in given_keys]
    assert store.length == 13
    np.testing.assert_array_equal(dense(store.extend(None)[0]), np.concatenate(given_keys, axis=2))


def test_rows_of_one_source_share_its_slots(rng: np.random.Generator) -> None:
    store = KeyValueCache()
    keys = mg.asarray(rng.standard_normal((2, 1, 3, 4)))
    store.extend((keys, keys))
    store.reorder(np.array([1, 1, 0, 1]))
    found, _ = store.extend(None)
    assert isinstance(found, Paged)
    assert found.store.shape == (2 * 3, 1, 4)
    np.testing.assert_array_equal(dense(found), keys.numpy()[[1, 1, 0, 1]])


def test_a_cache_does_not_write_into_what_it_was_given(rng: np.random.Generator) -> None:
    keys = mg.asarray(rng.standard_normal((1, 1, 2, 4)))
    before = keys.numpy().copy()
    store = KeyValueCache()
    first, _ = store.extend((keys, keys))
    store.extend((keys * 0, keys * 0))
    store.extend((keys * 0, keys * 0))
    np.testing.assert_array_equal(keys, before)
    np.testing.assert_array_equal(first, before)


def test_a_cache_refuses_to_be_differentiated_and_to_be_read_empty() -> None:
    x = mg.tensor(np.ones((1, 1, 2, 4)), requires_grad=True)
    with pytest.raises(RuntimeError, match="gradients do not pass through it; use it under no_grad"):
        KeyValueCache().extend((x, x))
    with pytest.raises(ValueError, match="memory: expected positions to attend to, got none, and the cache is empty"):
        KeyValueCache().extend(None)
    with mg.no_grad(), pytest.raises(ValueError, match="memory: expected positions"):
        model_in_float64().decoder([[1]], cache=DecoderCache(2))


def test_a_prompt_without_tokens_and_a_target_without_a_start_are_refused() -> None:
    with pytest.raises(ValueError, match="input_ids: expected prompts of at least one token"):
        model_in_float64(CausalLM).begin(np.zeros((2, 0), np.int64))
    with pytest.raises(ValueError, match="decoder_start_id: this model has no start token of targets"):
        model_in_float64(bos_id=None).begin([[5]])


@pytest.mark.parametrize("kind", [CausalLM, Transformer])
def test_a_row_of_nothing_but_padding_is_refused(kind: Any) -> None:
    model = model_of(kind, next(iter(ARCHITECTURES)))
    with pytest.raises(ValueError, match="input_ids: expected tokens in each row, got nothing but padding in row 1"):
        model.generate([[5, 6], [0, 0]], max_new_tokens=1)
    with pytest.raises(ValueError, match="nothing but padding in row 0"):
        model.begin(np.array([[5, 6]]), np.array([[0, 0]]))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_keys_and_values_in_bfloat16_change_logits_by_its_rounding(architecture: str) -> None:
    mg.manual_seed(1)
    model = CausalLM(TransformerConfig(vocab_size=20, **ARCHITECTURES[architecture])).eval()
    ids = np.random.default_rng(3).integers(3, 20, (2, 9))
    exact, rounded = (prompt_state(model, ids[:, :5], cache_format=form) for form in (None, "bfloat16"))
    np.testing.assert_array_equal(exact.step(exact.prompt), rounded.step(rounded.prompt))  # attends to them as computed
    for place in range(5, 9):
        expected, found = (state.step(ids[:, place : place + 1]) for state in (exact, rounded))
        assert not np.array_equal(expected, found)
        assert np.linalg.norm(found - expected) <= 2**-7 * np.linalg.norm(expected)


class OwnPosition(nn.Module):
    """A user's own attention: each query attends to its own position. It knows of no cache."""

    def forward(self, query: mg.Tensor, key: mg.Tensor, value: mg.Tensor, visible: object) -> mg.Tensor:
        return query + value[:, :, -query.shape[2] :]


def test_an_attention_of_the_users_own_gets_tensors_from_the_cache() -> None:
    model = model_in_float64(CausalLM, vocab_size=20)
    for module in model.modules():
        if isinstance(module, MultiHeadAttention):
            module.attend = OwnPosition()  # type: ignore[assignment]
    with mg.no_grad():
        going = model.begin([[5, 6, 7, 8]])
        going.step(going.prompt)
        newest = going.step(np.array([[9]]))[0]
    np.testing.assert_allclose(newest, next_logits(model, [[5, 6, 7, 8, 9]]), atol=1e-9)
