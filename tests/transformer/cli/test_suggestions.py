"""Suggestions for unknown options and commands."""

from __future__ import annotations

import argparse

import pytest

from tests.transformer.cli.conftest import run
from transformer import (
    cli,
)
from transformer.cli.suggestions import OTHER_TOOLS

NEAR = {  # command → the suggestion, and the command whose help is named
    "train translate --data x --out m --epochs 3": ("--steps", "train translate"),
    "train translate --epochs=3": ("--steps", "train translate"),  # before anything that is missing
    "train fill --out m --batch-size 8": ("--batch-tokens", "train fill"),
    "train generate --out m --learning-rate 1": ("--lr", "train generate"),
    "train generate --learning_rate 1": ("--lr", "train generate"),
    "train summarize --output-dir m": ("--out", "train summarize"),
    "train summarize --num-layer 3": ("--layers", "train summarize"),
    "train summarize --warmup-step 3": ("--warmup", "train summarize"),
    "translate --model-dir m x": ("--model", "translate"),
    "translate --beam 4 x": ("--num-beams", "translate"),
    "generate --max-tokens 4": ("--max-new-tokens", "generate"),
    "train generate --max-tokens 4": ("--batch-tokens", "train generate"),
    "draw --save x.svg": ("--output", "draw"),
    "train fill --out m --adam_beta1 0.9": ("--betas", "train fill"),
    "train translate --validation_file x": ("--held-out", "train translate"),
    "train translate --encoder-embed-dim 8": ("--d-model", "train translate"),
    "train generate --num-laeyrs 8": ("--layers", "train generate"),
    "demo --source de": ("--from", "demo"),
    "trian": ("train", ""),
    "train trnslate": ("translate", "train"),
    "train generate --data x --out m --positions rotry": ("rotary", "train generate"),
}


@pytest.mark.parametrize("line", NEAR)
def test_a_near_miss_names_our_word_and_the_innermost_commands_help(line: str) -> None:
    ours, command = NEAR[line]
    error = run(*line.split(), status=2).err
    helped = f"transformer {command}".strip()
    assert error.startswith(f"{helped}: error: ")
    assert error.endswith(f"; did you mean {ours}? (try {helped} --help)\n")


@pytest.mark.parametrize("word", ["--xyzzy", "--bogus", "--num-beams", "--do_eval", "--device", "--task"])
def test_a_word_that_resembles_none_or_belongs_elsewhere_gets_no_suggestion(word: str) -> None:
    assert "did you mean" not in run("train", "fill", "--out", "m", word, status=2).err


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("--data x train fill", "--data: comes after COMMAND"),
        ("train --steps 3 fill", "--steps: comes after TASK"),
        ("--epochs 3 train fill", "--epochs: comes after COMMAND"),
        ("translate train --data x", "translate train: did you mean train translate?"),
        ("fill train", "fill train: did you mean train fill?"),
    ],
)
def test_words_in_another_order_are_told_theirs(line: str, where: str) -> None:
    assert where in run(*line.split(), status=2).err


def test_train_is_also_a_text() -> None:
    assert cli._parser().parse_args(["translate", "train", "--model", "m"]).texts == ["train"]


def test_text_that_looks_like_an_option_is_text() -> None:
    words = ["generate", "--model", "m", "--prompt", "--- the end"]
    assert cli._parser().parse_args(words).prompt == "--- the end"
    assert cli._parser().parse_args(["translate", "--model", "m", "--", "--epochs"]).texts == ["--epochs"]


def _options(parser: argparse.ArgumentParser) -> list[set[str]]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    inner = [options for action in below for one in action.choices.values() for options in _options(one)]
    return inner or [{option.removeprefix("--") for option in parser._option_string_actions}]


def test_every_name_of_the_table_is_an_option_and_every_word_is_none_of_that_command() -> None:
    commands = _options(cli._parser())
    for name, words in OTHER_TOOLS.items():
        assert any(name in options for options in commands), name
        for word in words.split():
            assert any(name in options and word not in options for options in commands), (name, word)
