"""The four tasks: their examples, splits and reports."""

from __future__ import annotations

import gc
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as Library, decoders, models, pre_tokenizers

import minigrad as mg
from minigrad.nn import functional as F
from transformer import CausalLM, MaskedLM, TransformerConfig
from transformer.cli.console import sample_text
from transformer.cli.demo import DEFAULTS
from transformer.data.parallel import first_sentence
from transformer.data.tokenizer import Tokenizer
from transformer.tasks import (
    TASKS,
    DataChoice,
    Settings,
    Task,
    continuation,
    digest,
    fill,
    is_trusted,
    read_task,
    train,
    training,
)
from transformer.tasks.task import task_document
from transformer.train import Step, held_out_loss

TINY: dict[str, Any] = {"d_model": 16, "num_heads": 2, "d_ff": 32, "encoder_layers": 1, "decoder_layers": 1}


def _model(name: str, tokenizer: Any, **changes: Any) -> Any:
    task = TASKS[name]
    stacks = {"fill": {"decoder_layers": 0}, "generate": {"encoder_layers": 0}}.get(name, {})
    fields = {**TINY, **stacks, **task.special_ids(tokenizer), "vocab_size": tokenizer.vocab_size, **changes}
    mg.manual_seed(0)
    return task.model(TransformerConfig(**fields)).eval()


@pytest.mark.parametrize("reverse", [False, True])
def test_no_held_out_phrase_of_the_demo_is_in_its_training(reverse: bool) -> None:
    choice = DataChoice(data=("cldr:en-de:2500",), held_out=100, reverse=reverse)
    examples = TASKS["translate"].read(choice)
    assert len(examples.held_out) == 100 and len(examples.train) == 2400
    assert not {source for source, _ in examples.held_out} & {source for source, _ in examples.train}
    assert TASKS["translate"].read(choice).held_out == examples.held_out  # the evaluation finds the same again
    assert TASKS["translate"].read(replace(choice, split_seed=1)).held_out != examples.held_out


def test_the_demo_is_a_translation_of_phrases() -> None:
    assert DEFAULTS.data == ("cldr:en-de",)


def test_texts_with_equal_first_sentences_are_on_one_side_of_the_split(tmp_path: Path) -> None:
    corpus = tmp_path / "texts.tsv"
    corpus.write_text("".join(f"Tool {i % 20}. Part {i}.\tsummary {i}\n" for i in range(60)))
    examples = TASKS["summarize"].read(DataChoice(data=(str(corpus),), held_out=9))
    leads = [{first_sentence(text) for text, _ in part} for part in (examples.train, examples.held_out)]
    assert len(examples.held_out) == 9 and not leads[0] & leads[1]


def test_a_summary_is_reported_beside_the_first_sentence_of_its_text() -> None:
    sources, references = ["The cat sleeps. It is old."], ["The cat sleeps"]
    report = TASKS["summarize"].report(sources, references, ["a dog"])  # type: ignore[attr-defined]
    assert report.figures["rouge1"] == 0 and report.figures["lead_rouge1"] == 100
    assert report.line.startswith("1 summaries: ROUGE1 0.0 (lead 100.0)")


def test_the_end_of_a_text_is_held_out_from_training(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abcdefghi\n" * 10)
    examples = TASKS["generate"].read(DataChoice(data=(str(text),), held_out=25))
    assert examples.train == [text.read_text()[:75]] and examples.held_out == [text.read_text()[75:]]
    assert not TASKS["generate"].read(DataChoice(data=(str(text),), held_out=0)).held_out


def test_the_loss_of_a_text_is_also_reported_in_bits_a_character(tmp_path: Path) -> None:
    task, text = TASKS["generate"], "abcabd\n" * 40
    tokenizer = task.learn_tokens(task.read(DataChoice(data=(str(_file(tmp_path, text)),), held_out=10)), 0)
    report = task.evaluate(_model("generate", tokenizer, max_length=16), tokenizer, [text], {})
    assert report.figures["bits_per_character"] == pytest.approx(report.figures["loss"] / np.log(2))


def test_the_held_out_loss_of_a_text_counts_each_token_once() -> None:
    task, text = TASKS["generate"], "".join(map(chr, range(97, 120))) * 5
    tokenizer = Tokenizer.characters(text)
    model = _model("generate", tokenizer, max_length=16)
    (ids,) = tokenizer.encode([text])
    windows = [np.array([ids[start : start + 17]]) for start in range(0, len(ids) - 1, 16)]
    with mg.no_grad():
        losses = [F.cross_entropy(model(w[:, :-1])[0], w[0, 1:], reduction="sum").item() for w in windows]
    report = task.evaluate(model, tokenizer, [text], {})
    assert report.figures["loss"] == pytest.approx(sum(losses) / (len(ids) - 1))
    held_out = task.held_out_batches([text], tokenizer, model.config, 64, seed=5)
    assert held_out_loss(model, held_out.epoch(0)) == pytest.approx(report.figures["loss"])


def _file(folder: Path, text: str) -> Path:
    path = folder / "text.txt"
    path.write_text(text)
    return path


def test_an_untrained_encoder_fills_about_as_well_as_chance() -> None:
    task, passages = TASKS["fill"], ["the old cat sleeps in the sun", "a red dog runs over the hill"] * 20
    examples = task.read(DataChoice(data=("topics",), held_out=5))
    assert len(examples.held_out) == 5 and not set(examples.held_out) & set(examples.train)
    tokenizer = task.learn_tokens(replace(examples, train=passages), 300)
    report = task.evaluate(_model("fill", tokenizer), tokenizer, passages, {})
    assert abs(report.figures["loss"] - np.log(tokenizer.vocab_size)) < 1
    repeated = task.evaluate(_model("fill", tokenizer), tokenizer, passages, {})
    assert repeated == report  # the same tokens are hidden each time


def test_candidates_for_a_mask_are_the_likeliest_tokens_with_their_probabilities() -> None:
    task = TASKS["fill"]
    tokenizer = task.learn_tokens(replace(task.read(DataChoice(data=("topics",), held_out=5)), train=["a b c"]), 270)
    model = _model("fill", tokenizer)
    assert isinstance(model, MaskedLM)
    first, second = fill(model, tokenizer, "a [MASK] c [MASK]", tokenizer.vocab_size)
    for candidates in (first, second):
        shares = [candidate.probability for candidate in candidates]
        assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1, abs=1e-4)


def test_a_text_continues_beyond_the_context() -> None:
    task, text = TASKS["generate"], "abcabd\n" * 4
    tokenizer = task.learn_tokens(replace(task.read(DataChoice(data=("topics",), held_out=0)), train=[text]), 0)
    model = _model("generate", tokenizer, max_length=8)
    assert isinstance(model, CausalLM)
    choices: dict[str, Any] = {"do_sample": True, "seed": 3}
    written = "".join(continuation(model, tokenizer, "abc", 50, **choices))
    assert len(written) == 50
    assert written == "".join(continuation(model, tokenizer, "abc", 50, **choices))
    with pytest.raises(ValueError, match="9 tokens are more than the model's context of 8"):
        continuation(model, tokenizer, "abcabcabc", 5)


class _Alphabet(CausalLM, whole=False):
    """After each token comes the next one."""

    def begin(self, input_ids: Any, attention_mask: Any = None, *, use_cache: bool = True) -> Any:
        size = self.config.vocab_size
        return SimpleNamespace(
            prompt=input_ids,
            prompt_mask=np.ones(input_ids.shape, bool),
            step=lambda tokens: 20 * np.eye(size)[(tokens[:, -1] + 1) % size],
        )


def test_a_text_beyond_the_context_ends_before_a_stop_string_at_any_position() -> None:
    tokenizer = Tokenizer.characters("abcdefghijklmnopqrstuvwxyz")
    sizes = {**TINY, "encoder_layers": 0, "pad_id": None, "bos_id": None, "eos_id": None}
    model = _Alphabet(TransformerConfig(vocab_size=26, max_length=8, **sizes))
    for last in "fghijklmnopqrstuvw":
        stop = "abcdefghijklmnopqrstuvwxyz".partition(last)[2]
        found = "".join(continuation(model, tokenizer, "a", 25, stop_strings=(stop,)))
        assert found == "bcdefghijklmnopqrstuvwxyz".partition(stop)[0]


def test_a_text_ends_at_a_stop_string_that_begins_inside_a_token() -> None:
    tokenizer = Tokenizer.train(["ab ab ab"], 261)
    assert tokenizer.tokens([259, 260]) == ["ab", " ab"]
    sizes = {**TINY, "encoder_layers": 0, "pad_id": None, "bos_id": None, "eos_id": None}
    model = _Alphabet(TransformerConfig(vocab_size=tokenizer.vocab_size, max_length=8, **sizes))
    assert list(continuation(model, tokenizer, "ab", 1, stop_strings=("b",))) == [" a"]


def test_a_continuation_begins_with_the_space_between_words() -> None:
    library = Library(models.WordLevel({"\u2581to": 0, "\u2581be": 1, "\u2581or": 2}, unk_token="\u2581or"))
    library.pre_tokenizer, library.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = Tokenizer(library.to_str())
    sizes = {**TINY, "encoder_layers": 0, "pad_id": None, "bos_id": None, "eos_id": None}
    model = _Alphabet(TransformerConfig(vocab_size=3, max_length=8, **sizes))
    assert list(continuation(model, tokenizer, "to", 2)) == [" be", " or"]
    assert model.generate([[0]], max_new_tokens=2, tokenizer=tokenizer)[0].text == " be or"
    assert model.generate([[0]], tokenizer=tokenizer, stop_strings=" or", eos_token_id=())[0].text == " be"
    assert "".join(continuation(model, tokenizer, "to", 2, stop_strings=(" or",))) == " be"


def test_a_stop_string_is_found_in_any_unicode_form() -> None:
    tokenizer = Tokenizer.characters("abäc")
    sizes = {**TINY, "encoder_layers": 0, "pad_id": None, "bos_id": None, "eos_id": None}
    model = _Alphabet(TransformerConfig(vocab_size=4, max_length=8, **sizes))
    assert "".join(continuation(model, tokenizer, "a", 3, stop_strings=("a\u0308",))) == "bc"


def _shown(task: Task[Any], tokenizer: Tokenizer, example: str, **changes: Any) -> str:
    return sample_text(task.show(_model(task.name, tokenizer, **changes), tokenizer, example)).plain


def test_a_training_shows_an_example_however_short_the_context_is() -> None:
    task, text = TASKS["generate"], "abcabd\n" * 4
    tokenizer = task.learn_tokens(replace(task.read(DataChoice(data=("topics",), held_out=0)), train=[text]), 0)
    assert sample_text(task.show(_model("generate", tokenizer, max_length=2), tokenizer, text)).plain.startswith(
        "held out  a"
    )
    task, text = TASKS["fill"], "nothing is as short as this context"
    tokenizer = task.learn_tokens(replace(task.read(DataChoice(data=("topics",), held_out=5)), train=[text]), 260)
    shown = sample_text(task.show(_model("fill", tokenizer, max_length=12), tokenizer, text)).plain
    assert shown.startswith("held out  nothing [MASK] →")
    assert sample_text(task.show(_model("fill", tokenizer, max_length=2), tokenizer, text)).plain.startswith(
        "held out  [MASK] →"
    )


@pytest.mark.parametrize("name", TASKS)
def test_a_task_and_its_data_survive_their_file(name: str, tmp_path: Path) -> None:
    choice = DataChoice(data=("a.tsv", "b"), held_out=7, reverse=True, split_seed=3, skip_bad=True)
    (tmp_path / "task.json").write_bytes(task_document(TASKS[name], choice))
    assert read_task(tmp_path) == (name, choice) and is_trusted(tmp_path)
    choice = replace(choice, held_out_digests=(digest("a text"), digest(("a", "pair"))))
    (tmp_path / "task.json").write_bytes(task_document(TASKS[name], choice))
    assert read_task(tmp_path) == (name, choice) and is_trusted(tmp_path)


def test_a_long_training_keeps_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = []

    def counting(step: Step) -> None:
        alive.append(sum(type(thing) is Step for thing in gc.get_objects()))

    monkeypatch.setattr(training, "_board", lambda directory, trainer: nullcontext(counting))
    path = tmp_path / "verse.txt"
    path.write_text("to be or not to be, that is the question\n" * 40)
    task = TASKS["generate"]
    sizes = {**task.defaults.architecture, "d_model": 16, "num_heads": 2, "d_ff": 32, "decoder_layers": 1}
    choice = DataChoice(data=(str(path),), held_out=0)
    how = replace(task.defaults.training, steps=8, evaluate_every=None)
    settings = Settings(architecture={**sizes, "max_length": 16}, vocab_size=0, batch_tokens=64, training=how)
    train(task, choice, settings, tmp_path / "m")
    assert len(alive) == 8 and alive[-1] == alive[3]
