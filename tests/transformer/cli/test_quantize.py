"""``--quantize``: each command that decodes with quantised weights says what the quantised model says."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigrad.nn.quantized import FORMATS
from tests.transformer.cli.conftest import run
from transformer.pretrained import load_both

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("format", FORMATS)
def test_a_quantised_directory_and_the_option_say_the_same(
    translator: Path, writer: Path, tmp_path: Path, format: str
) -> None:
    for directory, command in (
        (translator, ("translate", "a red cat", "--num-beams", 2)),
        (writer, ("generate", "--prompt", "to be", "--max-new-tokens", 5, "--greedy")),
    ):
        model, tokenizer = load_both(directory)
        model.quantize(format).save_pretrained(tmp_path / command[0], tokenizer)
        name, *rest = command
        option = run(name, "--model", directory, *rest, "--quantize", format).out
        assert option == run(name, "--model", tmp_path / name, *rest).out
        assert option == run(name, "--model", tmp_path / name, *rest, "--quantize", format).out


def test_evaluation_and_filling_are_quantised_too(translator: Path, filler: Path) -> None:
    assert "exact match" in run("evaluate", "--model", translator, "--quantize", "int8").out
    assert "%" in run("fill", "--model", filler, "the [MASK] cat", "--quantize", "int8").out


def test_an_unknown_format_and_a_second_quantisation_are_refused(writer: Path, tmp_path: Path) -> None:
    assert "--quantize" in run("generate", "--model", writer, "--quantize", "int4", status=2).err
    model, tokenizer = load_both(writer)
    model.quantize("int8").save_pretrained(tmp_path, tokenizer)
    assert "quantised already" in run("generate", "--model", tmp_path, "--quantize", "bfloat16", status=2).err
