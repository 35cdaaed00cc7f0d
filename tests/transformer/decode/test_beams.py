"""Beam search against exhaustive search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.transformer.decode.conftest import EOS, Array, TableModel
from transformer.decode import GenerationConfig, Hypothesis, generate
from transformer.decode.beams import beam_search
from transformer.decode.plan import make_plan

PROMPTS = [[1], [2], [3]]
ALPHAS = [-1.5, 0.0, 0.6, 1.0, 3.0]
FORMS = ["plain", "paper"]


def score(hypothesis: Hypothesis, config: GenerationConfig) -> float:
    return hypothesis.log_probability / config.penalty(len(hypothesis.ids) + hypothesis.finished)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("seed", range(3))
def test_with_enough_beams_it_finds_the_best_texts_there_are_in_order(form: str, alpha: float, seed: int) -> None:
    model = TableModel(vocab_size=4, seed=seed)
    config = GenerationConfig(
        max_new_tokens=4, num_beams=200, num_return_sequences=5, length_penalty=alpha, length_penalty_form=form
    )
    found = generate(model, PROMPTS, config=config)
    for row, prompt in enumerate(PROMPTS):
        best = sorted(model.every_text(prompt, 4), key=lambda text: -score(text, config))[:5]
        mine = found[5 * row : 5 * row + 5]
        assert [text.ids for text in mine] == [text.ids for text in best]
        assert [text.finished for text in mine] == [text.finished for text in best]
        np.testing.assert_allclose([t.log_probability for t in mine], [t.log_probability for t in best], rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_stopping_never_loses_a_text_that_searching_to_the_end_would_find(form: str, alpha: float) -> None:
    settings = {"max_new_tokens": 12, "num_beams": 3, "length_penalty": alpha, "length_penalty_form": form}
    for seed in range(20):
        stopping, exhaustive = TableModel(seed=seed), TableModel(seed=seed)
        # Asking for as many texts as there are beams leaves the search open longer: the first must be the same.
        assert (
            generate(stopping, PROMPTS, **settings)
            == generate(exhaustive, PROMPTS, **settings, num_return_sequences=3)[::3]
        )
        assert sum(stopping.rows_read) <= sum(exhaustive.rows_read)


def test_a_long_text_is_waited_for_where_the_length_penalty_makes_it_the_best() -> None:
    """The likely end at once is not the best text: per token, the sure words that follow it are likelier."""
    model = TableModel(vocab_size=3)
    model.table[:] = np.log([0.6, 0.4, 1e-9])  # after token 1: an end, or
    model.table[:, 2] = np.log([1e-9, 1e-9, 1.0])  # token 2 never ends
    model.table[:, 1] = np.log([0.5, 0.1, 0.4])
    sure = {"max_new_tokens": 8, "num_beams": 2, "length_penalty": 1.0}
    assert generate(model, [[1]], **sure)[0].ids == [2] * 8
    assert generate(model, [[1]], **sure, early_stopping=True)[0].ids == []
    assert generate(model, [[1]], **{**sure, "length_penalty": 0.0})[0].ids == []


def test_it_ends_as_soon_as_nothing_can_be_gained() -> None:
    model = TableModel(vocab_size=3)
    model.table[:] = np.log([0.98, 0.01, 0.01])
    generate(model, [[1]], num_beams=2, max_new_tokens=30, length_penalty=0.0)
    assert len(model.rows_read) == 1  # the end is found first, with 0.98; all that is left has 0.02


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_one_beam_is_greedy_decoding(limit: int) -> None:
    for seed in range(10):
        model = TableModel(seed=seed)
        greedy = generate(model, PROMPTS, max_new_tokens=limit, num_beams=1)
        for prompt, text in zip(PROMPTS, greedy, strict=True):
            tokens = list(prompt)
            while len(tokens) - 1 < limit and (token := int(model.logits(tokens).argmax())) != EOS:
                tokens.append(token)
            assert text.ids == tokens[1:]
        # A search of one beam that ends with its first text is the same.
        config = GenerationConfig(max_new_tokens=limit, early_stopping=True)
        decoding = model.begin(np.array(PROMPTS), None, use_cache=True)
        searched = beam_search(decoding, make_plan(config, model.config, decoding, None))
        assert [(found.ids, found.finished) for (found,) in searched] == [(text.ids, text.finished) for text in greedy]


def test_a_batch_finds_what_each_sentence_finds_alone() -> None:
    for seed in range(10):
        model = TableModel(seed=seed)
        settings = {"max_new_tokens": 9, "num_beams": 4, "num_return_sequences": 2}
        together = generate(model, PROMPTS, **settings)
        assert together == [text for prompt in PROMPTS for text in generate(model, [prompt], **settings)]


def test_the_prompt_is_read_once_a_sentence_and_sentences_leave_when_they_are_done() -> None:
    model = TableModel(vocab_size=4)
    model.table[:, 1] = np.log([0.997, 0.001, 0.001, 0.001])
    generate(model, [[1], [2]], num_beams=3, max_new_tokens=6, length_penalty=0.0)
    assert model.rows_read[0] == 2
    assert max(model.rows_read) <= 6 and model.rows_read[-1] == 3


def test_all_beams_continue_with_any_number_of_end_tokens() -> None:
    class Watched(TableModel):
        def logits(self, tokens: Sequence[int]) -> Array:
            said.append(tuple(tokens[1:]))
            return super().logits(tokens)

    said: list[tuple[int, ...]] = []
    model = Watched(vocab_size=6)
    model.table[:] = [3.0, 2.9, 2.8, 1.0, 0.9, 0.8]  # the three that end a text are likelier than all others
    generate(model, [[4]], num_beams=2, max_new_tokens=3, eos_token_id=[0, 1, 2], length_penalty=20.0)
    assert said[1:3] == [(3,), (4,)]
    assert len(set(said[3:5])) == 2


def test_beams_that_have_no_way_on_are_dropped() -> None:
    model = TableModel(vocab_size=3)
    texts = generate(model, [[1]], num_beams=4, num_return_sequences=3, max_new_tokens=2, suppress_tokens=[2])
    assert sorted(text.ids for text in texts) == [[], [1], [1, 1]]
    with pytest.raises(ValueError, match="num_return_sequences: 4 asked for, but row 0 has 3 possible texts"):
        generate(model, [[1]], num_beams=4, num_return_sequences=4, max_new_tokens=2, suppress_tokens=[2])
    with pytest.raises(ValueError, match="row 0: no token is allowed to follow"):
        generate(model, [[1]], num_beams=4, max_new_tokens=2, suppress_tokens=[0, 1, 2])
