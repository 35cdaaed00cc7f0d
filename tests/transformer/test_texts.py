"""Tokens, modes and scores."""

from __future__ import annotations

import numpy as np
import pytest

from tests.transformer.conftest import PAIRS, small
from transformer import Tokenizer, Transformer
from transformer.evaluate import score, transduce


def test_any_text_survives_encoding(tokenizer: Tokenizer) -> None:
    texts = ["a </s> b <pad> <s>", "one two", "Ünïcödé ☃ 漢字", "  spaces  and\ttabs ", "12345", ""]
    assert tokenizer.decode(tokenizer.encode(texts)) == texts


def test_every_digit_is_a_token_of_its_own() -> None:
    tokenizer = Tokenizer.train(["1234 1234 1234"] * 9, 300)
    (ids,) = tokenizer.encode(["1234"])
    assert tokenizer.tokens(ids) == ["1", "2", "3", "4", "</s>"]


def test_a_tokenizer_survives_json_and_is_learned_alike_each_time(tokenizer: Tokenizer) -> None:
    assert Tokenizer(tokenizer.to_json()).encode(["three"]) == tokenizer.encode(["three"])
    assert Tokenizer.train([t for pair in PAIRS for t in pair], 300).to_json() == tokenizer.to_json()


def test_bad_tokenizers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 259, got 10"):
        Tokenizer.train(["a"], 10)
    with pytest.raises(ValueError, match="not a valid tokenizer"):
        Tokenizer("{}")


def test_decoding_leaves_every_modules_mode_as_it_was(tokenizer: Tokenizer) -> None:
    model = Transformer(small()).train()
    model.encoder.eval()
    transduce(model, tokenizer, ["two"])
    assert model.decoder.training and not model.encoder.training
    assert model.generate(np.array([[5, 2]]), max_new_tokens=3)[0].ids


def test_scores_are_sacrebleus_with_a_signature() -> None:
    result = score(["a b c d e", "x"], ["a b c d e", "y"])
    assert (result.count, result.exact, result.exact_match) == (2, 1, 0.5)
    assert 0 < result.bleu < 100
    assert "tok:13a" in result.signature
    assert score(["same words here now"], ["same words here now"]).bleu == pytest.approx(100)
    with pytest.raises(ValueError, match="expected 1, one a translation, got 2"):
        score(["a"], ["a", "b"])
