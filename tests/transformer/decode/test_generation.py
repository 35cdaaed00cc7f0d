"""Greedy decoding, sampling and streaming, and their arguments."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.transformer.decode.conftest import EOS, Reciter, Spelling, TableModel
from transformer.decode import GenerationConfig, Hypothesis, generate, stream

PROMPTS = [[1, 2], [2, 3], [3, 4], [4, 1]]
RESTRICTED = {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2, "suppress_tokens": [3]}
MODES = {
    "greedy": {},
    "sampling": {"do_sample": True, "temperature": 0.7, "top_k": 4, "top_p": 0.9, "min_p": 0.02, "seed": 3},
    "beams": {"num_beams": 3},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("restricted", [False, True])
def test_the_log_probability_is_the_models_of_the_returned_tokens(mode: str, restricted: bool) -> None:
    finished = set()
    for seed in range(8):
        model = TableModel(seed=seed)
        texts = generate(model, PROMPTS, max_new_tokens=5, **MODES[mode], **(RESTRICTED if restricted else {}))
        for prompt, text in zip(PROMPTS, texts, strict=True):
            said = [*text.ids, EOS] if text.finished else text.ids
            assert text.log_probability == pytest.approx(model.log_probability(prompt, said), rel=1e-12)
            finished.add(text.finished)
            assert text.finished or len(text.ids) == 5
    assert True in finished and (restricted or False in finished)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_gives_the_texts_of_each_prompt_alone(mode: str, side: str) -> None:
    ragged = [[1, 2, 3, 4, 2], [2, 3], [4]]
    width = 5
    settings = {**MODES[mode], **RESTRICTED, "max_new_tokens": 6}
    for seed in range(5):
        model = TableModel(vocab_size=7, seed=seed, pad_id=6)
        fill = [[6] * (width - len(ids)) for ids in ragged]
        padded = [pad + ids if side == "left" else ids + pad for ids, pad in zip(ragged, fill, strict=True)]
        alone = [generate(model, [ids], **settings)[0] for ids in ragged]
        assert generate(model, padded, **settings) == alone
        mask = np.array(padded) != 6
        model.config.pad_id = None
        assert generate(model, padded, mask, **settings) == alone
        assert generate(model, padded, mask.astype(float), **settings) == alone
        assert generate(model, padded, pad_token_id=6, **settings) == alone
        assert generate(model, [[6]], pad_token_id=6, eos_token_id=[EOS, 6], max_new_tokens=1)  # text, not padding


def test_rows_that_have_ended_leave_the_batch() -> None:
    model = Reciter(1, 2, 3)
    texts = generate(model, [[1], [1]], eos_token_id=[3])
    assert [text.ids for text in texts] == [[1, 2], [1, 2]] and model.rows_read == [2, 2, 2]
    model = TableModel(vocab_size=4)
    model.table[:] = 9 * np.eye(4)[[EOS, 2, 3, EOS]]  # 1, 2, 3, end
    generate(model, [[1], [2], [3]])
    assert model.rows_read == [3, 2, 1]


def test_sampling_is_reproducible_from_its_seed_and_different_from_another() -> None:
    model = TableModel(vocab_size=40)
    settings = {"do_sample": True, "max_new_tokens": 10, "eos_token_id": []}
    assert generate(model, PROMPTS, seed=5, **settings) == generate(model, PROMPTS, seed=5, **settings)
    assert generate(model, PROMPTS, seed=5, **settings) != generate(model, PROMPTS, seed=6, **settings)
    assert generate(model, PROMPTS, **settings) != generate(model, PROMPTS, **settings)


def test_a_row_draws_the_same_alone_and_anywhere_in_a_batch_and_anew_when_repeated() -> None:
    model = TableModel(vocab_size=40)
    settings = {"do_sample": True, "max_new_tokens": 10, "seed": 5}
    together = generate(model, PROMPTS, **settings)
    assert generate(model, PROMPTS[::-1], **settings) == together[::-1]
    assert [generate(model, [prompt], **settings)[0] for prompt in PROMPTS] == together
    thrice = generate(model, PROMPTS, **settings, num_return_sequences=3)
    assert thrice[::3] == together
    assert thrice[3:6] == generate(model, [PROMPTS[1]] * 3, **settings)
    assert len({tuple(text.ids) for text in thrice[:3]}) == 3


def test_different_rows_draw_different_numbers() -> None:
    model = TableModel(vocab_size=40)
    model.table[:] = 0.0  # every prompt has the same next tokens
    texts = generate(model, PROMPTS, do_sample=True, max_new_tokens=10, seed=5, eos_token_id=())
    assert len({tuple(text.ids) for text in texts}) == len(PROMPTS)


def test_samples_are_as_frequent_as_the_model_and_its_temperature_say() -> None:
    model = TableModel(vocab_size=5)
    count = 5_000
    texts = generate(
        model,
        [[1]],
        do_sample=True,
        temperature=2.0,
        max_new_tokens=1,
        num_return_sequences=count,
        seed=0,
        eos_token_id=[],
    )
    expected = np.exp(model.logits([1]) / 2)
    expected /= expected.sum()
    frequencies = np.bincount([text.ids[0] for text in texts], minlength=5) / count
    np.testing.assert_allclose(frequencies, expected, atol=4 * np.sqrt(0.25 / count))


def test_truncated_tokens_are_never_sampled() -> None:
    model = TableModel(vocab_size=6)
    settings = {"do_sample": True, "max_new_tokens": 1, "num_return_sequences": 500, "seed": 1, "eos_token_id": ()}
    likeliest = np.argsort(-model.logits([1]))
    drawn = Counter(text.ids[0] for text in generate(model, [[1]], **settings, top_k=2))
    assert set(drawn) == set(likeliest[:2].tolist())
    assert {text.ids[0] for text in generate(model, [[1]], **settings, top_p=0.0)} == {likeliest[0]}
    assert {text.ids[0] for text in generate(model, [[1]], **settings, min_p=1.0)} == {likeliest[0]}


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
def test_a_stream_gives_what_generate_returns_token_by_token(mode: str) -> None:
    for seed in range(5):
        model = TableModel(vocab_size=9, seed=seed)
        whole = generate(model, [[1, 2]], max_new_tokens=8, **MODES[mode])[0].ids
        assert list(stream(model, [1, 2], max_new_tokens=8, **MODES[mode])) == whole


def test_a_stream_gives_each_token_before_the_next_is_computed() -> None:
    model = Reciter(1, 2, 3)
    tokens = stream(model, [1])
    assert model.rows_read == []
    assert next(tokens) == 1 and len(model.rows_read) == 1
    assert next(tokens) == 2 and len(model.rows_read) == 2


def test_the_limit_is_what_was_asked_for_or_the_models_positions() -> None:
    model = TableModel(eos_token_id=())
    assert len(generate(model, [[1, 2]], max_new_tokens=3)[0].ids) == 3
    assert len(generate(model, [[1, 2]], max_length=7)[0].ids) == 5  # the prompt counts
    assert len(generate(model, [[1, 2]], max_length=7, max_new_tokens=3)[0].ids) == 3
    assert len(generate(model, [[1, 2]])[0].ids) == 32 + 1 - 2  # the last token needs no position
    model.config.max_length = None
    assert len(generate(model, [[1, 2]], max_new_tokens=40)[0].ids) == 40
    with pytest.raises(ValueError, match="max_new_tokens: missing"):
        generate(model, [[1, 2]])


def test_choices_come_from_the_model_then_the_configuration_then_the_call() -> None:
    model = TableModel(max_new_tokens=4, eos_token_id=())
    assert len(generate(model, [[1]])[0].ids) == 4
    assert len(generate(model, [[1]], max_new_tokens=2)[0].ids) == 2
    assert len(generate(model, [[1]], max_new_tokens=None)[0].ids) == 4
    config = GenerationConfig(max_new_tokens=5, eos_token_id=())
    assert len(generate(model, [[1]], config=config)[0].ids) == 5
    assert len(generate(model, [[1]], config=config, max_new_tokens=2)[0].ids) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_new_tokens": 32}, r"max_new_tokens: expected at least 1 and at most 31 after 2 tokens, got 32"),
        ({"max_length": 2}, r"max_length: expected at least 3 and at most 33 after 2 tokens, got 2"),
        ({"do_sample": True, "num_beams": 2}, "num_beams: sampling is for one beam"),
        ({"num_return_sequences": 2}, "num_return_sequences: expected at most num_beams=1"),
        ({"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences: expected at most num_beams=2"),
        ({"stop_strings": "end"}, "tokenizer: missing"),
        ({"suppress_tokens": [5]}, "suppress_tokens: expected token ids below the vocabulary's size 5, got 5"),
        ({"bad_words_ids": [[1, 9]]}, "bad_words_ids: expected token ids below"),
        ({"decoder_start_token_id": 1}, "decoder_start_token_id: part of the model"),
        ({"attention_mask": [[True]]}, r"attention_mask: expected the shape \(1, 2\) of input_ids, got \(1, 1\)"),
        ({"temperature": -1.0}, "temperature: expected a number from 1e-100 to 1e100, got -1.0"),
        ({"suppress_tokens": [0, 1, 2, 3, 4]}, "row 0: no token is allowed to follow"),
    ],
)
def test_bad_arguments_say_what_is_allowed(model: TableModel, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(model, [[1, 2]], **arguments)


def test_bad_inputs_say_what_is_allowed(model: TableModel) -> None:
    with pytest.raises(TypeError, match="beams: not a generation setting; those are max_new_tokens, "):
        generate(model, [[1]], beams=3)
    with pytest.raises(TypeError, match="input_ids: expected integers, got float64"):
        generate(model, [[1.0]])
    with pytest.raises(ValueError, match=r"input_ids: expected shape \(rows, length\), each at least 1, got \(2,\)"):
        generate(model, [1, 2])
    with pytest.raises(ValueError, match=r"input_ids: expected shape .*, got \(1, 0\)"):
        generate(model, np.zeros((1, 0), int))
    with pytest.raises(ValueError, match="input_ids: a stream is one text as it is written, expected 1, got 2"):
        stream(model, [[1], [2]])
    with pytest.raises(ValueError, match="num_beams: a stream is one text"):
        stream(model, [1], num_beams=2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("value", "words"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf everywhere")])
def test_invalid_logits_are_one_clear_error(mode: str, value: float, words: str) -> None:
    model = TableModel()
    model.table[1, 2] = value
    with pytest.raises(ValueError, match=f"logits: expected finite numbers, .* row 1 has {words}"):
        generate(model, [[3, 4], [1, 2]], max_new_tokens=3, **MODES[mode])


def test_tokens_that_the_model_rules_out_are_no_error() -> None:
    model = TableModel()
    model.table[..., 3] = -np.inf
    for settings in MODES.values():
        assert 3 not in generate(model, [[1, 2]], max_new_tokens=6, **settings)[0].ids


def test_a_tokenizer_gives_the_text_too() -> None:
    assert generate(Reciter(1, 4), [[1]], tokenizer=Spelling())[0].text == "acab"
    assert generate(Reciter(1, 4), [[1]])[0] == Hypothesis([1, 4], pytest.approx(-0.12, abs=0.1), True, None)
