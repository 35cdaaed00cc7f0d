"""Token embedding: the measures of its tables."""

from __future__ import annotations

import numpy as np
import pytest

from transformer.data.tokenizer import Tokenizer
from transformer.examples import embedding


def test_cosines_do_not_depend_on_lengths() -> None:
    one, other = np.array([[3.0, 0], [0, 5]]), np.array([[0, 0.1], [2, 2]])
    np.testing.assert_allclose(embedding.cosines(one, other), [[0, 0.5**0.5], [1, 0.5**0.5]])


def test_neighbours_come_by_their_cosine_and_without_the_token_itself() -> None:
    tokenizer = Tokenizer.train(["1 2", "2 1"], 300)
    names = tokenizer.tokens(range(tokenizer.vocab_size))
    vectors = np.eye(tokenizer.vocab_size)
    vectors[names.index("1"), names.index("2")] = 0.5
    found = embedding.nearest("1", tokenizer, vectors)
    assert found[0].startswith("'2' 0.45") and len(found) == embedding.NEIGHBOURS
    with pytest.raises(ValueError, match="nearest: expected tokens of the vocabulary, got 'abc'"):
        embedding.nearest("abc", tokenizer, vectors)
