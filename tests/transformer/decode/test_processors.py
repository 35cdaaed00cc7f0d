"""Logits processors."""

from __future__ import annotations

import numpy as np

from transformer.decode import GenerationConfig
from transformer.decode.processors import log_softmax, min_p, no_repeat_ngram, processors, repetition_penalty, top_p

NOTHING_SAID = np.zeros((1, 0), np.int64)


def test_equally_likely_tokens_are_cut_off_from_the_highest_id() -> None:
    kept = top_p(NOTHING_SAID, np.zeros((1, 4)), p=0.5)
    np.testing.assert_array_equal(kept, [[0, 0, -np.inf, -np.inf]])
    np.testing.assert_array_equal(top_p(NOTHING_SAID, np.zeros((1, 4)), p=0.0), [[0, -np.inf, -np.inf, -np.inf]])


def test_top_p_applies_after_the_other_processors() -> None:
    scores = np.log([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
    scores[0, 0] = scores[1, 1] = -np.inf
    kept = top_p(NOTHING_SAID, scores, p=0.6)
    np.testing.assert_array_equal(kept > -np.inf, [[False, True, True, False], [False, False, True, True]])


def test_padding_and_ids_outside_the_vocabulary_are_no_tokens_said() -> None:
    history = np.array([[-1, -1, 1, 7]])
    scores = np.ones((1, 4))
    np.testing.assert_array_equal(repetition_penalty(history, scores, penalty=2.0), [[1, 0.5, 1, 1]])
    np.testing.assert_array_equal(no_repeat_ngram(history, scores, size=1), [[1, -np.inf, 1, 1]])


def test_a_repetition_is_less_likely_whatever_the_sign_of_its_score() -> None:
    scores = repetition_penalty(np.array([[0, 1]]), np.array([[2.0, -2.0, 2.0]]), penalty=4.0)
    np.testing.assert_array_equal(scores, [[0.5, -8.0, 2.0]])


def test_a_row_without_any_token_stays_one_without_warnings() -> None:
    nothing = np.full((1, 3), -np.inf)
    np.testing.assert_array_equal(log_softmax(nothing), nothing)
    np.testing.assert_array_equal(min_p(NOTHING_SAID, nothing, p=0.1), nothing)


def test_the_scores_given_are_left_as_they_were() -> None:
    config = GenerationConfig(
        do_sample=True, temperature=0.5, top_k=3, top_p=0.9, min_p=0.1, repetition_penalty=1.3, no_repeat_ngram_size=1,
        bad_words_ids=[[1], [2, 3]], suppress_tokens=[4], begin_suppress_tokens=[5], min_new_tokens=2,
    )  # fmt: skip
    scores = np.random.default_rng(0).normal(size=(2, 9))
    before = scores.copy()
    processors(config, [0], 3, 5)(np.array([[1, 2, 3], [6, 7, 2]]), scores)
    np.testing.assert_array_equal(scores, before)


def test_where_nothing_is_asked_for_nothing_changes() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 9))
    assert processors(GenerationConfig(), [0], 1, 5)(np.zeros((2, 1), np.int64), scores) is scores
