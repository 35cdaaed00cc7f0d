"""Greedy and beam decoding against exhaustive search."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.transformer.conftest import model_in_float64
from transformer import Transformer, generate
from transformer.decode import Hypothesis

Array = np.ndarray[Any, Any]


@pytest.fixture
def tiny() -> Transformer:
    return model_in_float64(vocab_size=6)


@pytest.fixture
def sentence() -> Array:
    return np.array([[3, 4, 5, 2]])


def _log_probability(model: Transformer, source: Array, ids: list[int], finished: bool) -> float:
    """Of a whole target, in one pass without a cache."""
    told = [*ids, model.config.eos_id] if finished else ids
    logits = model(source, np.array([[model.config.bos_id, *told[:-1]]]))
    table = mg.log_softmax(logits).detach().numpy()[0]
    return float(table[np.arange(len(told)), told].sum())


def test_the_score_reported_is_the_models_log_probability_of_what_is_returned(
    tiny: Transformer, sentence: Array
) -> None:
    for beams in (1, 3):
        (found,) = generate(tiny, sentence, num_beams=beams, max_new_tokens=6)
        expected = _log_probability(tiny, sentence, found.ids, found.finished)
        assert found.log_probability == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 2.0])
def test_a_beam_as_wide_as_the_space_finds_the_best_of_all_targets(
    tiny: Transformer, sentence: Array, length_penalty: float
) -> None:
    steps, eos = 3, tiny.config.eos_id
    words = [token for token in range(6) if token != eos]
    ended = [
        Hypothesis(list(ids), _log_probability(tiny, sentence, list(ids), True), True)
        for length in range(steps)
        for ids in itertools.product(words, repeat=length)
    ]
    best = max(ended, key=lambda hypothesis: hypothesis.score(length_penalty))
    (found,) = generate(tiny, sentence, num_beams=30, max_new_tokens=steps, length_penalty=length_penalty)
    assert found.ids == best.ids
    assert found.score(length_penalty) == pytest.approx(best.score(length_penalty))


def test_a_batch_decodes_as_its_sentences_do_alone(model: Transformer, source: Array) -> None:
    for beams in (1, 3):
        together = generate(model, source, num_beams=beams, max_new_tokens=8)
        alone = [generate(model, row[row != 0][None], num_beams=beams, max_new_tokens=8)[0] for row in source]
        assert [h.ids for h in together] == [h.ids for h in alone]
        np.testing.assert_allclose([h.log_probability for h in together], [h.log_probability for h in alone])


def test_decoding_is_in_evaluation_mode_and_leaves_the_mode_as_it_was(sentence: Array) -> None:
    model = model_in_float64(dropout=0.5).train()
    first, second = (generate(model, sentence, max_new_tokens=5)[0] for _ in range(2))
    assert first == second
    assert model.training


def test_bad_arguments_say_what_is_allowed(tiny: Transformer, sentence: Array) -> None:
    with pytest.raises(ValueError, match="max_new_tokens: expected 1 to 63, got 0"):
        generate(tiny, sentence, max_new_tokens=0)
    with pytest.raises(ValueError, match="num_beams: expected at least 1, got 0"):
        generate(tiny, sentence, num_beams=0)


def test_the_length_penalty_is_the_papers() -> None:
    hypothesis = Hypothesis([7, 8, 9], -4.0, True)
    assert hypothesis.score(0.0) == -4.0
    assert hypothesis.score(0.6) == pytest.approx(-4.0 / ((5 + 4) / 6) ** 0.6)
