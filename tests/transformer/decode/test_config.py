"""Generation configuration: settings, file and errors."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.transformer.decode.conftest import TableModel
from transformer.decode import GenerationConfig, generate
from transformer.decode.config import ALLOWED

BART = """{"_from_model_config": true, "bos_token_id": 0, "decoder_start_token_id": 2, "early_stopping": true,
"eos_token_id": 2, "forced_bos_token_id": 0, "forced_eos_token_id": 2, "length_penalty": 2.0, "max_length": 142,
"min_length": 56, "no_repeat_ngram_size": 3, "num_beams": 4, "pad_token_id": 1, "transformers_version": "4.27.0",
"temperature": null}"""


def test_a_file_from_the_hub_is_read_and_what_is_unknown_passed_over() -> None:
    config = GenerationConfig.from_json(BART)
    known = {
        k: v
        for k, v in json.loads(BART).items()
        if k not in ("_from_model_config", "transformers_version", "temperature")
    }
    assert {name: getattr(config, name) for name in known} == known
    assert config.temperature == 1.0


@pytest.mark.parametrize(
    "config",
    [
        GenerationConfig(),
        GenerationConfig.from_json(BART),
        GenerationConfig(do_sample=True, top_k=7, top_p=0.5, min_p=0.1, temperature=0.5, seed=3),
        GenerationConfig(num_beams=3, length_penalty_form="paper", length_penalty=0.6, bad_words_ids=[[1, 2], [3]]),
        GenerationConfig(stop_strings="end", eos_token_id=[1, 2], suppress_tokens=[4]),
    ],
)
def test_settings_survive_a_json_round_trip(config: GenerationConfig) -> None:
    read = GenerationConfig.from_json(config.to_json())
    assert dataclasses.replace(read, top_k=read.top_k or None) == config
    assert hash(read) is not None


def test_every_choice_has_a_rule_that_its_default_keeps() -> None:
    assert set(ALLOWED) == {field.name for field in dataclasses.fields(GenerationConfig)}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_new_tokens", 0, "max_new_tokens: expected an integer of at least 1, got 0"),
        ("num_beams", 1.5, "num_beams: expected an integer from 1 to 10,000, got 1.5"),
        ("num_beams", True, "num_beams: expected an integer from 1 to 10,000, got True"),
        ("num_beams", None, "num_beams: expected an integer from 1 to 10,000, got None"),
        ("temperature", float("nan"), "temperature: expected a number from 1e-100 to 1e100, got nan"),
        ("top_p", 1.01, "top_p: expected a number from 0 to 1, got 1.01"),
        ("min_p", -0.1, "min_p: expected a number from 0 to 1, got -0.1"),
        ("repetition_penalty", 0, "repetition_penalty: expected a number from 1e-100 to 1e100, got 0"),
        ("length_penalty", float("inf"), "length_penalty: expected a number from -50 to 50, got inf"),
        ("length_penalty_form", "wu", "length_penalty_form: expected 'plain' or 'paper', got 'wu'"),
        ("length_penalty_form", [], "length_penalty_form: expected 'plain' or 'paper'"),
        ("early_stopping", "soon", "early_stopping: expected True, False or 'never', got 'soon'"),
        ("do_sample", 1, "do_sample: expected True or False, got 1"),
        ("stop_strings", ["a", ""], "stop_strings: expected strings of at least one character"),
        ("suppress_tokens", [-1], "suppress_tokens: expected a list of token ids"),
        ("bad_words_ids", [[]], "bad_words_ids: expected lists of token ids"),
        ("bad_words_ids", [1], "bad_words_ids: expected lists of token ids"),
        ("eos_token_id", "2", "eos_token_id: expected a token id or a list of them, got '2'"),
        ("seed", -1, "seed: expected an integer of at least 0, got -1"),
    ],
)
def test_a_bad_choice_is_named_with_what_is_allowed(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenerationConfig(**{name: value})


def test_the_least_length_is_below_the_greatest() -> None:
    with pytest.raises(ValueError, match="min_new_tokens: expected at most max_new_tokens=3, got 4"):
        GenerationConfig(min_new_tokens=4, max_new_tokens=3)


@pytest.mark.parametrize("text", ["{", "[]", '{"num_beams": "4"}', '{"max_length": 1e3}'])
def test_a_file_that_is_no_configuration_is_one_clear_error(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"not valid JSON|expected a JSON object|num_beams: expected|max_length: expected"
    ):
        GenerationConfig.from_json(text)


def test_the_length_penalties_are_the_papers_and_the_plain_one() -> None:
    paper = GenerationConfig(length_penalty=0.6, length_penalty_form="paper")
    assert paper.penalty(7) == pytest.approx(2**0.6)
    assert GenerationConfig(length_penalty=0.6).penalty(7) == pytest.approx(7**0.6)
    assert GenerationConfig(length_penalty=0.0).penalty(7) == 1.0
    assert GenerationConfig(length_penalty=-1.0).penalty(4) == 0.25


BOS = GenerationConfig(bos_token_id=3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"temperature": 0.5, "length_penalty": 2.0}', GenerationConfig(temperature=0.5, length_penalty=2.0)),
        ('{"pad_token_id": -1, "bos_token_id": -100}', GenerationConfig()),
        ('{"eos_token_id": -1}', GenerationConfig(eos_token_id=())),
        ('{"eos_token_id": [58, -1, 59], "forced_eos_token_id": -1}', GenerationConfig(eos_token_id=(58, 59))),
        (
            '{"model_type": "bart", "force_bos_token_to_be_generated": true, "bos_token_id": 3}',
            GenerationConfig(forced_bos_token_id=3, bos_token_id=3),
        ),
        ('{"model_type": "bart", "force_bos_token_to_be_generated": true}', GenerationConfig()),
        ('{"model_type": "bart", "force_bos_token_to_be_generated": false, "bos_token_id": 3}', BOS),
        ('{"force_bos_token_to_be_generated": true, "bos_token_id": 3}', BOS),
        ('{"typical_p": 0.2, "num_beam_groups": 3, "top_h": 0.5, "guidance_scale": 1.0}', GenerationConfig()),
    ],
)
def test_contradictions_in_an_unused_mode_are_ignored(text: str, expected: GenerationConfig) -> None:
    assert GenerationConfig.from_json(text) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"typical_p": 0.2, "do_sample": true}', "typical_p"),
        ('{"num_beams": 6, "num_beam_groups": 3}', "num_beam_groups"),
        ('{"encoder_no_repeat_ngram_size": 3}', "encoder_no_repeat_ngram_size"),
        ('{"guidance_scale": 1.5}', "guidance_scale"),
        ('{"do_sample": true, "num_beams": 4}', "num_beams"),
    ],
)
def test_a_setting_that_there_is_not_here_and_that_changes_the_text_is_warned_of_by_name(text: str, name: str) -> None:
    with pytest.warns(UserWarning, match=f"^{name}: .*so that texts differ"):
        GenerationConfig.from_json(text)


REFUSED = [
    ('{"temperature": 0.0, "do_sample": false}', {"do_sample": True}, "temperature: expected .*, got 0.0"),
    ('{"top_k": -1, "min_p": 2}', {"do_sample": True}, "top_k: expected .*, got -1"),
    ('{"length_penalty": 99.0, "early_stopping": "soon"}', {"num_beams": 2}, "early_stopping: expected .*, got 'soon'"),
    ('{"length_penalty": 99.0, "length_penalty_form": [1]}', {"num_beams": 2}, "length_penalty: expected .*, got 99.0"),
]


@pytest.mark.parametrize(("text", "use", "message"), REFUSED)
def test_contradictions_are_errors_in_their_mode(
    text: str, use: dict[str, object], message: str, model: TableModel
) -> None:
    model.generation = GenerationConfig.from_json(text)
    generate(model, [[1]], max_new_tokens=2)
    with pytest.raises(ValueError, match=message):
        generate(model, [[1]], max_new_tokens=2, **use)
    with pytest.raises(ValueError, match=message):
        generate(model, [[1]], max_new_tokens=2, config=GenerationConfig.from_json(json.dumps(json.loads(text) | use)))
    good = {"temperature": 0.5, "top_k": 3, "min_p": 0.1, "length_penalty": 1.0}
    assert generate(model, [[1]], max_new_tokens=2, **use, **good, early_stopping=True, length_penalty_form="plain")
    assert json.loads(model.generation.to_json()).items() >= json.loads(text).items()


def test_a_greatest_length_asked_for_is_also_the_least_where_a_directory_asks_for_more() -> None:
    config = GenerationConfig(min_new_tokens=9)
    assert config.override({"max_new_tokens": 4}).min_new_tokens == 4
    with pytest.raises(ValueError, match="min_new_tokens: expected at most max_new_tokens=4, got 5"):
        config.override({"max_new_tokens": 4, "min_new_tokens": 5})
    assert GenerationConfig.from_json('{"min_new_tokens": 9, "max_new_tokens": 4}').min_new_tokens == 4


def test_settings_and_defaults_of_a_file_mean_the_same_as_there() -> None:
    assert GenerationConfig.from_json('{"num_beams": 4}') == GenerationConfig(num_beams=4, early_stopping=False)
    assert GenerationConfig.from_json('{"do_sample": true}') == GenerationConfig(do_sample=True, top_k=50)
    assert GenerationConfig.from_json('{"do_sample": true, "top_k": 0}').top_k == 0
    assert GenerationConfig.from_json('{"do_sample": false, "num_beams": 1}') == GenerationConfig(do_sample=False)
