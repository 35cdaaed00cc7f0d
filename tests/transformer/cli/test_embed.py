"""``transformer embed``: a line of numbers for each text, or an array of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.transformer.cli.conftest import SENTENCES, run
from transformer import SentenceEncoder

LINES = "\n".join(SENTENCES)


def test_each_text_gives_a_list_of_numbers_however_it_comes(filler: Path, tmp_path: Path) -> None:
    expected = SentenceEncoder.from_pretrained(filler).embed(SENTENCES)
    for said in (run("embed", "--model", filler, *SENTENCES), run("embed", "--model", filler, stdin=LINES)):
        np.testing.assert_allclose([json.loads(line) for line in said.out.splitlines()], expected, atol=1e-6)
    path = tmp_path / "sentences.npy"
    assert run("embed", "--model", filler, "--out", path, *SENTENCES).out == f"wrote {path}\n"
    np.testing.assert_array_equal(np.load(path), expected)
    lengths = [np.linalg.norm(json.loads(run("embed", "--model", filler, "--normalize", "a cat").out))]
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_texts_that_cannot_be_embedded_are_one_error(filler: Path) -> None:
    assert "expected some text" in run("embed", "--model", filler, stdin="", status=2).err
    assert "expected a .npy file" in run("embed", "--model", filler, "--out", "x.csv", "a", status=2).err
    assert "prompt: expected one of none" in run("embed", "--model", filler, "--prompt", "query", "a", status=2).err
