"""Languages whose tokens stand beside texts: NLLB, mBART, M2M-100."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.transformer.conftest import small
from transformer import Tokenizer, Transformer, from_pretrained
from transformer.cli import main
from transformer.data.tokenizer import SPECIAL
from transformer.tasks import TASKS, DataChoice, between_languages

TOKENS = [*SPECIAL, "<unk>", "fra_Latn", "deu_Latn"]


@pytest.fixture
def tokenizer() -> Tokenizer:
    """Tokenizer of two languages: a text begins with its own, French by default."""
    document = json.loads(Tokenizer.train(["un deux trois"], 280, special=TOKENS).to_json())
    single = [{"SpecialToken": {"id": "fra_Latn", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    single.append({"SpecialToken": {"id": "</s>", "type_id": 0}})
    special = {name: {"id": name, "ids": [TOKENS.index(name)], "tokens": [name]} for name in ("fra_Latn", "</s>")}
    document["post_processor"] = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": single,
        "special_tokens": special,
    }
    document["post_processor"]["pair"] = [*single, {"Sequence": {"id": "B", "type_id": 0}}]
    return Tokenizer(json.dumps(document))


def test_a_text_is_marked_with_the_language_that_is_asked_for(tokenizer: Tokenizer) -> None:
    french, german = tokenizer.encode(["un"])[0], tokenizer.with_language("deu_Latn").encode(["un"])[0]
    assert tokenizer.tokens(french)[0] == "fra_Latn" and tokenizer.tokens(german)[0] == "deu_Latn"
    assert french[1:] == german[1:]
    assert tokenizer.encode(["un"])[0] == french  # the first is as before
    with pytest.raises(
        ValueError, match="language: expected one of this model's, deu_Latn, fra_Latn …; got 'tlh_Latn'"
    ):
        tokenizer.with_language("tlh_Latn")
    with pytest.raises(ValueError, match="expected one of this model's, none; got 'fra_Latn'"):
        Tokenizer.train(["un"], 270).with_language("fra_Latn")


@pytest.mark.parametrize(("start", "before"), [(2, [5]), (None, [])])
def test_targets_begin_with_their_language(start: int | None, before: list[int], tokenizer: Tokenizer) -> None:
    model = Transformer(small(vocab_size=280, decoder_start_id=start, max_length=20)).eval()
    sources = between_languages(model, tokenizer, "fra_Latn", "deu_Latn")
    ids = np.array(sources.encode(["un deux"]))
    (text,) = model.generate(ids, max_new_tokens=3)
    assert text.ids[: len(before)] == before
    assert model.config.start_id == (5 if start is None else start)
    with pytest.raises(
        ValueError, match="target-language: this model writes 2 languages, name one: deu_Latn, fra_Latn"
    ):
        between_languages(Transformer(small(vocab_size=280)), tokenizer, None, None)


def test_the_command_translates_between_the_languages_that_it_is_given(
    tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Transformer(small(vocab_size=280, decoder_start_id=2, max_length=20)).save_pretrained(tmp_path, tokenizer)
    command = ["translate", "--model", str(tmp_path), "--max-new-tokens", "3", "un deux"]
    assert main([*command, "--source-language", "fra_Latn", "--target-language", "deu_Latn"]) == 0
    assert main(command) == 2
    assert "target-language: this model writes 2 languages" in capsys.readouterr().err


@pytest.mark.parametrize("start", [2, None])
def test_pairs_to_train_on_are_marked_with_their_languages(start: int | None, tokenizer: Tokenizer) -> None:
    task, choice = (
        TASKS["translate"],
        DataChoice(data=(), held_out=0, source_language="deu_Latn", target_language="fra_Latn"),
    )
    if start is None:  # as mBART: the language stands behind the text
        document = json.loads(tokenizer.to_json())
        single = document["post_processor"]["single"]
        document["post_processor"]["single"] = [*single[1:], single[0]]
        tokenizer = Tokenizer(json.dumps(document))
    model = Transformer(small(vocab_size=280, decoder_start_id=start, max_length=20))
    prepared = task.prepare(model, tokenizer, choice)
    (batch,) = task.batches([("eins", "un")], prepared, model.config, 64, 0).epoch(0)
    source, target = batch.inputs[:2]
    (one,), (other,) = tokenizer.encode(["un"]), prepared.encode(["eins"])
    assert source[0].tolist() == other and TOKENS.index("deu_Latn") in other
    assert batch.labels[0].tolist() == one
    assert target[0].tolist() == [TOKENS.index("fra_Latn") if start is None else start, *one[:-1]]


@pytest.mark.parametrize("start", [2, 4])  # the end of texts, or another language
def test_a_fine_tuned_model_remembers_its_languages(
    start: int, tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, old, new = tmp_path / "pairs.tsv", tmp_path / "old", tmp_path / "new"
    data.write_text("un\teins\ndeux\tzwei\ntrois\tdrei\n")
    model = Transformer(small(vocab_size=280, decoder_start_id=start, max_length=20))
    model.generation = dataclasses.replace(model.generation, decoder_start_token_id=start)
    model.save_pretrained(old, tokenizer)
    command = ["train", "translate", "--data", str(data), "--from", str(old), "--out", str(new)]
    options = ["--steps", "2", "--held-out", "1", "--batch-tokens", "64"]
    if start == 2:
        assert main([*command, *options]) == 2
        assert "target-language: this model writes 2 languages" in capsys.readouterr().err
    assert main([*command, *options, "--target-language", "deu_Latn"]) == 0
    assert main([*command, *options, "--target-language", "deu_Latn", "--resume"]) == 0
    assert main(["translate", "--model", str(new), "--max-new-tokens", "3", "un deux"]) == 0
    assert TOKENS.index("deu_Latn") in (
        from_pretrained(new).config.decoder_start_id,
        from_pretrained(new).generation.forced_bos_token_id,
    )
    assert main(["evaluate", "--model", str(new)]) == 0
    capsys.readouterr()
    code = main(["evaluate", "--task", "translate", "--data", str(data), "--all", "--model", str(old)])
    assert code == (2 if start == 2 else 0)
    assert main([*command[:4], "--out", str(tmp_path / "fresh"), *options, "--target-language", "deu_Latn"]) == 2
    assert "expected none without one, got 'deu_Latn'" in capsys.readouterr().err


@pytest.mark.peers
@pytest.mark.parametrize("name", ["NllbTokenizer", "MBartTokenizer", "MBart50Tokenizer"])
def test_marks_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="compares with Hugging Face's transformers")
    pieces: Any = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "▁a"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    arguments = (
        {"vocab": vocabulary, "merges": [("▁", "a")]}
        if name == "NllbTokenizer"
        else {"vocab": [(piece, -float(i)) for piece, i in vocabulary.items()]}
    )
    theirs = getattr(transformers, name)(**arguments)
    theirs.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    ours = Tokenizer((tmp_path / "tokenizer.json").read_text(), config)
    for language in list(ours.languages)[:3]:
        theirs.src_lang = language
        assert ours.with_language(language).encode(["a b a"])[0] == theirs("a b a").input_ids
