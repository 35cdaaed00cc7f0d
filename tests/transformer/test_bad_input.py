"""Invalid values: one clear error each, at the command line one line and exit status 2."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.transformer.conftest import small
from transformer import (
    CausalLM,
    Decoder,
    GenerationConfig,
    MaskedLM,
    Tokenizer,
    TrainingConfig,
    Transformer,
    from_pretrained,
)
from transformer.cli import main
from transformer.data import read_passages, read_texts
from transformer.data.tokenizer import MASK, SPECIAL
from transformer.evaluate import rouge, score, transduce
from transformer.tasks import DataChoice, Filling
from transformer.train.weight_selection import MeanWeights, weight_selection


def _training(tmp_path: Path, *options: str) -> int:
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question\n" * 20, "utf-8")
    return main(["train", "generate", "--data", str(text), "--out", str(tmp_path / "model"), *options])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch-tokens", "-5"), "batch_tokens: expected at least 1, got -5"),
        (("--d-model", str(10**15)), "d_model: expected less than 2**31, got 1000000000000000"),
        (("--d-model", str(2**30)), "Unable to allocate"),
        (("--vocab-size", str(10**9)), "vocab_size: expected 259 to 1,048,576, got 1,000,000,000"),
        (("--lr", "inf"), "lr: expected a positive number, got inf"),
    ],
)
def test_absurd_sizes_are_one_line_and_exit_status_2(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _training(tmp_path, *options) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("transformer train: error: ")
    assert message in last


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 1.5}, "steps: expected an integer, got 1.5"),
        ({"steps": "3"}, "steps: expected an integer, got '3'"),
        ({"steps": True}, "steps: expected an integer, got True"),
        ({"betas": 0.9}, "betas: expected 2 values, got 0.9"),
        ({"betas": (0.9, "x")}, "betas: expected a number, got 'x'"),
        ({"optimizer": ["adam"]}, r"optimizer: expected a name, got \['adam'\]"),
        ({"lr": float("inf")}, "lr: expected a positive number, got inf"),
        ({"weight_decay": float("inf")}, "weight_decay: expected a number ≥ 0, got inf"),
    ],
)
def test_a_training_setting_of_the_wrong_kind_names_what_is_allowed(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**{"steps": 3, **settings})


def test_an_average_of_the_last_evaluations_of_endless_steps_lists_these_alone() -> None:
    kept = weight_selection(TrainingConfig(steps=10**15, average=3, evaluate_every=1))
    assert isinstance(kept, MeanWeights)
    assert kept.steps == {10**15 - 2, 10**15 - 1, 10**15}


def test_an_average_counts_the_last_step_once() -> None:
    kept = weight_selection(TrainingConfig(steps=8, average=2, evaluate_every=4))
    assert isinstance(kept, MeanWeights)
    assert kept.steps == {4, 8}


@pytest.mark.parametrize("choices", [{"temperature": 1e-100}, {"temperature": 1e100}, {"repetition_penalty": 1e100}])
def test_the_most_extreme_factors_allowed_overflow_nowhere(choices: dict[str, float]) -> None:
    model = CausalLM(small(encoder_layers=0)).eval()
    (found,) = model.generate(np.array([[5, 6]]), max_new_tokens=4, do_sample=True, seed=0, **choices)
    assert np.isfinite(found.log_probability)


@pytest.mark.parametrize("value", [1e9, -1e9])
def test_a_length_penalty_that_would_overflow_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="length_penalty: expected a number from -50 to 50"):
        GenerationConfig(length_penalty=value)


def test_the_number_of_tokens_to_learn_is_bounded() -> None:
    with pytest.raises(ValueError, match="vocab_size: expected 259 to 1,048,576, got 1,048,577"):
        Tokenizer.train(["a"], 2**20 + 1)


@pytest.mark.parametrize("encoder_layers", [0, 1])
def test_a_decoder_alone_is_read_back_with_or_without_a_memory(encoder_layers: int, tmp_path: Path) -> None:
    decoder = Decoder(small(encoder_layers=encoder_layers)).eval()
    decoder.save_pretrained(tmp_path)
    again = from_pretrained(tmp_path)
    assert isinstance(again, Decoder)
    assert (again.layers[0].cross_attention is None) == (encoder_layers == 0)
    assert again.state_dict().keys() == decoder.state_dict().keys()


@pytest.mark.parametrize("name", ["Stack", "GenerativeModel", "PretrainedModel"])
def test_a_base_of_several_models_is_no_architecture(name: str, tmp_path: Path) -> None:
    CausalLM(small(encoder_layers=0, positions="alibi")).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"CausalLM"', f'"{name}"'))
    with pytest.raises(
        ValueError, match="expected one of Encoder, Decoder, Transformer, CausalLM, MaskedLM, TokenClassifier, "
    ):
        from_pretrained(tmp_path)


def test_a_choice_that_is_not_allowed_is_an_error_before_anything_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = Tokenizer.characters("to be")
    CausalLM(small(encoder_layers=0, vocab_size=tokenizer.vocab_size, pad_id=None)).save_pretrained(tmp_path, tokenizer)
    assert main(["generate", "--model", str(tmp_path), "--prompt", "to", "--temperature", "0"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("transformer generate: error: temperature: ")


@pytest.fixture
def filler(tmp_path: Path) -> tuple[Path, Tokenizer]:
    tokenizer = Tokenizer.train(["one two three"], 270, special=(*SPECIAL, MASK))
    model = MaskedLM(small(decoder_layers=0, vocab_size=tokenizer.vocab_size, mask_id=tokenizer.mask_id))
    model.save_pretrained(tmp_path, tokenizer)
    return tmp_path, tokenizer


def test_the_tokenizers_own_mask_counts_as_a_missing_word(
    filler: tuple[Path, Tokenizer], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fill", "--model", str(filler[0]), "--count", "1", "one <mask> two [MASK] three"]) == 0
    first, _, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" two [MASK] three")
    assert "one [MASK] two " in second and second.endswith(" three")


def test_a_passages_end_alone_is_no_piece_to_learn_from(filler: tuple[Path, Tokenizer]) -> None:
    _, tokenizer = filler
    room = len(tokenizer.encode(["one two three"])[0]) - 1
    config = small(decoder_layers=0, vocab_size=tokenizer.vocab_size, mask_id=tokenizer.mask_id, max_length=room)
    data = Filling().batches(["one two three"], tokenizer, config, tokens=1, seed=0)
    assert [batch.targets > 0 for batch in data.epoch(0)] == [True]


TOKENIZER = Tokenizer.train(["one two three"], 270)
ONE: Any = "May 3, 2024"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TOKENIZER.encode(ONE), "texts: expected a list of texts, got the text 'May 3, 2024'; [text]"),
        (lambda: TOKENIZER.encode(ONE.encode()), "texts: expected a list of texts, got the text b'May 3, 2024'"),
        (lambda: Tokenizer.train(ONE, 270), "texts: expected a list of texts, got the text 'May 3, 2024'"),
        (lambda: TOKENIZER.decode([5, 6]), "sequences: expected lists of token ids, got [5, 6]"),  # type: ignore[list-item]
        (lambda: score(ONE, ONE), "texts: expected a list of texts, got the text 'May 3, 2024'"),
        (lambda: rouge(["abc"], "a"), "references: expected a list of texts, got the text 'a'"),
        (lambda: transduce(Transformer(small()), TOKENIZER, ONE), "sources: expected a list of texts, got the text"),
        (lambda: read_texts("book.txt"), "paths: expected a list of files, got 'book.txt'; [path] is a list of one"),
        (lambda: read_passages("book.txt"), "paths: expected a list of files, got 'book.txt'"),
        (lambda: DataChoice(data=ONE, held_out=1), "data: expected a tuple of names, got the name 'May 3, 2024'"),
    ],
)
def test_one_text_is_not_taken_for_many(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
        call()
