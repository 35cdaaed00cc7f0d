"""Evaluation of generated texts, and their generation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from rouge_score import tokenizers

from tests.transformer.conftest import PAIRS, small
from transformer import Tokenizer, Transformer, generate
from transformer.evaluate import Words, rouge, score, transduce


def test_rouge_is_that_of_its_library_s_own_example() -> None:
    found = rouge(["The quick brown dog jumps on the log."], ["The quick brown fox jumps over the lazy dog"])
    assert found["rouge1"] == pytest.approx(100 * 2 * 0.75 * (2 / 3) / (0.75 + 2 / 3))  # precision 0.75, recall 0.666…
    assert found["rougeL"] == pytest.approx(100 * 2 * 0.625 * (5 / 9) / (0.625 + 5 / 9))  # 0.625, 0.555…


def test_rouge_is_a_mean_over_texts_and_stems_words() -> None:
    assert rouge(["cats", "dog"], ["cat", "mouse"])["rouge1"] == pytest.approx(50)


def test_exact_match_is_counted_to_the_character_and_bleu_carries_its_signature() -> None:
    found = score(["ein Satz ist da", "zwei"], ["ein Satz ist da", "zwei."])
    assert (found.count, found.exact, found.exact_match) == (2, 1, 0.5)
    assert 0 < found.bleu < 100 and found.signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert score(["ein Satz ist da"], ["ein Satz ist da"]).bleu == pytest.approx(100)


SENTENCES = {
    "13a": [
        "Привет, мир, как дела",
        "Die Übung ist für alle da",
        "हिन्दी में लिखा एक वाक्य",
        "안녕하세요 여러분 반갑습니다 오늘",
    ],
    "zh": ["我今天去学校学习中文。", "你好，世界"],
    "char": ["สวัสดีชาวโลก", "こんにちは、世界", "私は学校へ行きます", "ສະບາຍດີຊາວໂລກ", "မင်္ဂလာပါ"],
}


@pytest.mark.parametrize(("tokens", "text"), [(tokens, text) for tokens, texts in SENTENCES.items() for text in texts])
def test_a_perfect_text_scores_full_marks_in_any_script(
    tokens: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformer.evaluate.find_spec", lambda name: None)  # MeCab may be installed
    found = score([text], [text])
    assert found.bleu == pytest.approx(100) and f"|tok:{tokens}|" in found.signature
    assert rouge([text], [text]) == pytest.approx(dict.fromkeys(("rouge1", "rouge2", "rougeL"), 100))
    assert rouge(["x"], [text])["rouge1"] == 0


def test_a_foreign_name_changes_no_tokens() -> None:
    text = "The city of 北京 has many inhabitants"
    assert "|tok:13a|" in score([text], [text]).signature


@given(st.text(st.characters(max_codepoint=127)))
def test_words_in_ascii_are_those_of_the_library(text: str) -> None:
    assert Words().tokenize(text) == tokenizers.DefaultTokenizer(use_stemmer=True).tokenize(text)


@given(st.lists(st.text(st.sampled_from("ab Ж我の ย.")).map(str.strip).filter(bool), min_size=1))
def test_references_are_perfect_translations_of_themselves(texts: list[str]) -> None:
    assert score(texts, texts).bleu == pytest.approx(100)


def test_short_texts_are_scored_by_the_runs_that_they_have() -> None:
    found = score(["Guten Tag", "Hallo"], ["Guten Tag", "Hallo"])
    assert found.bleu == pytest.approx(100) and "|eff:yes|" in found.signature
    assert "|eff:no|" in score(["x"], ["a reference of five words"]).signature


def test_a_figure_that_means_nothing_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="ROUGE means nothing for 1 of the references, which have no words"):
        assert rouge(["!", "a"], ["!", "a"])["rouge1"] == 50


@pytest.mark.parametrize("compare", [score, rouge])
def test_as_many_texts_as_references_are_expected(compare: object) -> None:
    with pytest.raises(ValueError, match="references: expected 1, one a text, got 2"):
        compare(["a"], ["a", "b"])  # type: ignore[operator]


@pytest.fixture
def translator(tokenizer: Tokenizer) -> Transformer:
    return Transformer(small(max_length=32)).eval()


def test_texts_come_in_the_order_of_their_sources_however_they_are_batched(
    translator: Transformer, tokenizer: Tokenizer
) -> None:
    sources = [source for source, _ in PAIRS]
    finished: list[int] = []
    whole = transduce(translator, tokenizer, sources, max_new_tokens=6)
    assert transduce(translator, tokenizer, sources, max_new_tokens=6, batch_size=2, advance=finished.append) == whole
    assert sum(finished) == len(sources)
    for source, text in zip(sources, whole, strict=True):
        ids = np.array(tokenizer.encode([source]))
        assert tokenizer.decode([generate(translator, ids, max_new_tokens=6)[0].ids]) == [text]


def test_a_source_that_is_too_long_is_refused_or_cut_on_request(translator: Transformer, tokenizer: Tokenizer) -> None:
    long = "one two three " * 20
    with pytest.raises(ValueError, match=r"source: .* more than the model's 32"):
        transduce(translator, tokenizer, [long])
    (ids,) = tokenizer.encode([long])
    kept = np.array([[*ids[:31], tokenizer.eos_id]])  # the end of a text is still its end
    expected = tokenizer.decode([generate(translator, kept, max_new_tokens=5)[0].ids])
    assert transduce(translator, tokenizer, [long], cut=True, max_new_tokens=5) == expected
