"""Spooled corpora: the same examples, tokens and batches as in memory, which does not grow with the corpus."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transformer import TransformerConfig
from transformer.data import lines, parallel, text_files
from transformer.data.batches import Data, fingerprint
from transformer.data.records import Stored, chunks
from transformer.data.share import Share
from transformer.data.text_files import pieces
from transformer.data.tokenizer import Tokenizer
from transformer.tasks import TASKS, DataChoice, Examples, Settings, Task, corpora, train
from transformer.tasks.training import SPOOL
from transformer.train import LOG

WORDS = ["the", "a", "cat", "é", "漢", "sees", "hears", "12", "small,", "old.", "house", "tree", "under\u2003of"]
ARCHITECTURE: dict[str, Any] = {"d_model": 16, "num_heads": 2, "d_ff": 32, "max_length": 24}
STACKS = {"fill": (1, 0), "generate": (0, 1)}


def _sentences(count: int, seed: int, words: int = 9) -> Iterator[str]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield " ".join(WORDS[place] for place in rng.integers(0, len(WORDS), rng.integers(2, words)))


def _write(folder: Path, kind: str, count: int = 90, words: int = 9) -> tuple[str, ...]:
    """Files of a corpus, with bad lines."""
    source, target = _sentences(count, 0, words), _sentences(count, 1, words)
    files = {
        "pairs": {"pairs.tsv": (f"{s}\t{t}\n" for s, t in zip(source, target, strict=True))},
        "sides": {"source.txt": (f"{s}\n" for s in source), "target.txt": (f"{t}\n" for t in target)},
        "lines": {"lines.txt": (f"{s}\n" for s in source), "more.txt": (f"{t}\n" for t in target)},
        "passages": {"passages.txt": (f"{s}\n{t}\n\n" for s, t in zip(source, target, strict=True))},
    }[kind]
    for name, content in files.items():
        with open(folder / name, "wb") as file:
            file.writelines(line.encode() for line in content)
            file.write(b"b\xe4d\n")
    return tuple(str(folder / name) for name in files)


CORPORA = [
    ("translate", "pairs"),
    ("translate", "sides"),
    ("summarize", "pairs"),
    ("fill", "lines"),
    ("fill", "passages"),
    ("generate", "lines"),
]


def _choice(data: tuple[str, ...], **changes: Any) -> DataChoice:
    return replace(DataChoice(data=data, held_out=10, split_seed=3, skip_bad=True), **changes)


def _config(task: Task[Any], tokenizer: Tokenizer) -> TransformerConfig:
    encoder, decoder = STACKS.get(task.name, (1, 1))
    fields = {**ARCHITECTURE, "encoder_layers": encoder, "decoder_layers": decoder, **task.special_ids(tokenizer)}
    return TransformerConfig(**fields, vocab_size=tokenizer.vocab_size)


def _batches(task: Task[Any], examples: Examples[Any], tokenizer: Tokenizer) -> Data:
    config = _config(task, tokenizer)
    examples = task.readable(examples, tokenizer, config, skip_bad=True)
    return task.batches(examples.train, tokenizer, config, 96, 5)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "BLOCK", 100)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("name", "kind"), CORPORA)
def test_a_spooled_corpus_is_the_one_in_memory(tmp_path: Path, name: str, kind: str, reverse: bool) -> None:
    task, choice = TASKS[name], _choice(_write(tmp_path, kind), reverse=reverse)
    listed, stored = task.read(choice), task.read(choice, tmp_path / "spool")
    assert isinstance(stored.train, Stored) and not isinstance(listed.train, Stored)
    assert stored.held_out == listed.held_out and stored.notes == listed.notes != ()
    if name == "generate":
        assert "".join(stored.train) == "".join(listed.train)
    else:
        assert list(stored.train) == listed.train
    tokenizer = task.learn_tokens(listed, 280)
    assert task.learn_tokens(stored, 280).to_json() == tokenizer.to_json()
    if name == "generate":
        assert task.learn_tokens(stored, 0).to_json() == task.learn_tokens(listed, 0).to_json()
    config = _config(task, tokenizer)
    readable = [task.readable(examples, tokenizer, config, skip_bad=True) for examples in (listed, stored)]
    assert readable[0].notes == readable[1].notes
    assert (len(readable[0].notes) > 1) == (name in ("translate", "summarize"))  # some were too long
    found, expected = _batches(task, stored, tokenizer), _batches(task, listed, tokenizer)
    assert fingerprint(found) == fingerprint(expected)
    for one, other in zip(found.epoch(1), expected.epoch(1), strict=True):
        for a, b in zip((*one.inputs, one.labels), (*other.inputs, other.labels), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("name", "kind"), CORPORA)
def test_what_is_spooled_is_neither_read_nor_tokenized_again(
    tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, choice, spool = TASKS[name], _choice(_write(tmp_path, kind)), tmp_path / "spool"
    examples = task.read(choice, spool)
    tokenizer = task.learn_tokens(examples, 280)
    first = fingerprint(_batches(task, replace(examples, held_out=[]), tokenizer))
    with monkeypatch.context() as patch:
        for module in (lines, parallel, text_files):
            patch.setattr(module, "read_lines", lambda path: pytest.fail(f"{path} is read again"))
        patch.setattr(corpora, "split_places", lambda *args, **options: pytest.fail("split again"))
        patch.setattr(Tokenizer, "encode", lambda *args, **options: pytest.fail("tokenized again"))
        again = task.read(choice, spool)
        data = _batches(task, replace(again, held_out=[]), tokenizer)
        assert again.held_out == examples.held_out and again.notes == examples.notes and fingerprint(data) == first
        assert len(list(data.epoch(0, Share(1, 2)))) == len(list(data.epoch(0)))  # type: ignore[call-arg]
    other = fingerprint(_batches(task, examples, task.learn_tokens(examples, 270)))
    assert other != first and len(list(spool.glob("texts-*/ids-*"))) == 1  # those of the other tokenizer are removed
    for path in choice.data:
        with open(path, "ab") as file:
            file.write(b"one\tmore\n")
    grown = task.read(choice, spool)
    assert sum(map(len, grown.train)) > sum(map(len, examples.train)) and len(list(spool.iterdir())) == 1


@pytest.mark.parametrize(("name", "kind"), CORPORA)
def test_bad_lines_are_counted_as_in_memory_and_leave_no_spool(tmp_path: Path, name: str, kind: str) -> None:
    choice = _choice(_write(tmp_path, kind), skip_bad=False)
    messages = []
    for spool in (None, tmp_path / "model" / "spool"):
        with pytest.raises(ValueError, match="not in UTF-8") as error:
            TASKS[name].read(choice, spool)
        messages.append(str(error.value))
    assert messages[0] == messages[1] and not (tmp_path / "model").exists()


def test_a_corpus_by_name_needs_no_spool(tmp_path: Path) -> None:
    choice = DataChoice(data=("topics",), held_out=5)
    assert TASKS["fill"].read(choice, tmp_path / "spool") == TASKS["fill"].read(choice)
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize(("name", "kind"), [("translate", "pairs"), ("fill", "lines"), ("generate", "lines")])
def test_a_training_on_a_spooled_corpus_takes_the_same_steps(
    tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, choice = TASKS[name], _choice(_write(tmp_path, kind))
    encoder, decoder = STACKS.get(name, (1, 1))
    architecture = {**ARCHITECTURE, "encoder_layers": encoder, "decoder_layers": decoder}
    training = replace(task.defaults.training, steps=3, evaluate_every=3)
    settings = Settings(architecture=architecture, vocab_size=280, batch_tokens=96, training=training)
    read, losses = task.read, []
    for spooled in (True, False):
        directory = tmp_path / f"model-{spooled}"
        if not spooled:
            monkeypatch.setattr(task, "read", lambda choice, spool: read(choice))
        train(task, choice, settings, directory)
        assert not (directory / SPOOL).exists()  # it has served
        steps = [json.loads(line) for line in (directory / LOG).read_bytes().splitlines()[1:]]
        losses.append([(step["loss"], step["tokens"], step.get("held_out_loss")) for step in steps])
    assert losses[0] == losses[1] and len(losses[0]) == 3


@pytest.mark.parametrize(("name", "kind"), [c for c in CORPORA if c != ("summarize", "pairs")])
def test_memory_does_not_grow_with_the_corpus_but_for_some_bytes_an_example(
    tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "__defaults__", (64,))
    monkeypatch.setattr(pieces, "__defaults__", (1000,))
    task, peaks, counts = TASKS[name], [], (500, 3000)
    for count in counts:
        folder = tmp_path / str(count)
        folder.mkdir()
        choice = _choice(_write(folder, kind, count, words=80), held_out=10 if name != "generate" else 0)
        tokenizer = Tokenizer.train(WORDS, 300, special=("<pad>", "<s>", "</s>", "<mask>"))
        config = replace(_config(task, tokenizer), max_length=400)
        gc.collect()
        tracemalloc.start()
        examples = task.read(choice, folder / "spool")
        examples = task.readable(examples, tokenizer, config, skip_bad=True)
        data = task.batches(examples.train, tokenizer, config, 2000, 0)
        fingerprint(data)
        for _ in data.epoch(0):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        del examples, data
    grown = (peaks[1] - peaks[0]) / (counts[1] - counts[0])
    assert grown < 150, f"{grown:.0f} bytes an example"  # its two texts alone are some 500
