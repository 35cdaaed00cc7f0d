"""Evaluation of generated texts: exact match, BLEU and ROUGE, with sacreBLEU's signature."""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from minigrad.optional_imports import require
from transformer.data.batches import pad
from transformer.data.normalization import check_texts, line
from transformer.data.tokenizer import Tokenizer
from transformer.decode import generate
from transformer.pretrained import Transformer

ROUGE = ("rouge1", "rouge2", "rougeL")
# The first words of letters' Unicode names, in scripts without spaces between words.
UNSPACED = {"CJK": "han", **dict.fromkeys(("HIRAGANA", "KATAKANA"), "kana")} | dict.fromkeys(
    ("THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"), "other"
)
BLEU_TOKENS = {"": "13a", "han": "zh", "kana": "ja-mecab", "other": "char"}  # sacreBLEU's names
PERFECT = 99.99
MORE_THAN_SOURCE = 50  # tokens that a text may be longer than its source. "Attention Is All You Need", section 6.1


@dataclass(frozen=True)
class Score:
    """Scores of translations against references."""

    count: int
    exact: int  # translations equal to their reference, to the character
    bleu: float  # sacreBLEU, 0 to 100
    signature: str  # sacreBLEU's signature

    @property
    def exact_match(self) -> float:
        """Exact match ratio, 0 to 1."""
        return self.exact / max(self.count, 1)


def score(translations: Sequence[str], references: Sequence[str]) -> Score:
    """Score detokenized translations against references, one each. BLEU: Post, 2018.

    BLEU is sacreBLEU's, as its signature says. Its tokens are ``zh`` for Chinese, ``ja-mecab`` for Japanese where MeCab
    is installed, characters for other scripts without spaces between words, and else ``13a``; where no reference has
    four of them, it counts shorter runs only (``eff:yes``), as a perfect text would have 0 otherwise.
    """
    _check_as_many(translations, references)
    if not translations:
        return Score(0, 0, 0.0, "")
    tokens = BLEU_TOKENS[script(references)]
    if tokens == "ja-mecab" and find_spec("MeCab") is None:
        tokens = "char"
    bleu = require("sacrebleu", "text").metrics.BLEU
    metric, expected = bleu(tokenize=tokens), [list(references)]
    if metric.corpus_score(list(references), expected).score < PERFECT:
        metric = bleu(tokenize=tokens, effective_order=True)
    found = float(metric.corpus_score(list(translations), expected).score)
    exact = sum(translation == reference for translation, reference in zip(translations, references, strict=True))
    return Score(len(references), exact, found, str(metric.get_signature()))


def rouge(summaries: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """ROUGE-1, -2 and -L of summaries against references, one each: mean F-measures of stemmed words, 0 to 100.

    In English these are the words of ``rouge-score``. Words of other languages are whole too, and not stemmed; where a
    script puts no spaces between them, each character counts as one.

    Source: Lin, 2004.

    Warns:
        UserWarning: references have no words at all.
    """
    _check_as_many(summaries, references)
    words = Words()
    if empty := sum(not words.tokenize(reference) for reference in references):
        warnings.warn(f"ROUGE means nothing for {empty:,} of the references, which have no words", stacklevel=2)
    scorer = require("rouge_score.rouge_scorer", "text").RougeScorer(list(ROUGE), tokenizer=words)
    scores = [scorer.score(reference, summary) for summary, reference in zip(summaries, references, strict=True)]
    return {kind: 100 * sum(s[kind].fmeasure for s in scores) / max(len(scores), 1) for kind in ROUGE}


class Words:
    """Word tokenizer for ROUGE: runs of letters, digits and their marks, English words stemmed."""

    def __init__(self) -> None:
        self._stem = require("nltk.stem.porter", "text").PorterStemmer().stem

    def tokenize(self, text: str) -> list[str]:
        words = text.lower().translate(_APART).split()
        return [self._stem(word) if len(word) > 3 and word.isascii() else word for word in words]


class _Apart(dict[int, str]):
    """Table for ``str.translate``: spaces for non-word characters, and around letters of scripts without spaces."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        in_word = character.isalnum() or unicodedata.category(character).startswith("M")
        self[code] = " " if not in_word else character if _script(character) is None else f" {character} "
        return self[code]


_APART = _Apart()


def script(texts: Sequence[str]) -> str:
    """Script of most letters, if it has no spaces between words: ``"han"``, ``"kana"`` or ``"other"``; else ``""``.

    Example:
        >>> script(["你好，世界"]), script(["こんにちは世界"]), script(["สวัสดี"]), script(["Hello 世界"])
        ('han', 'kana', 'other', '')
    """
    counts: Counter[str] = Counter()
    for character, count in Counter("".join(texts)).items():
        if character.isalpha():
            counts[_script(character) or ""] += count
    if 2 * counts[""] >= counts.total():
        return ""
    if 10 * counts["kana"] > counts.total():  # Japanese, though most of its letters may be Han
        return "kana"
    return counts.most_common(1)[0][0]


def _script(character: str) -> str | None:
    """Script of a letter, as named by :func:`script`, if it has no spaces between words."""
    block = unicodedata.name(character, "").partition(" ")[0]
    return UNSPACED.get(block)


def _check_as_many(texts: Sequence[str], references: Sequence[str]) -> None:
    check_texts("texts", texts)
    check_texts("references", references)
    if len(texts) != len(references):
        raise ValueError(f"references: expected {len(texts)}, one a text, got {len(references)}")


def transduce(
    model: Transformer,
    tokenizer: Tokenizer,
    sources: Sequence[str],
    *,
    batch_size: int = 128,
    cut: bool = False,
    split_special_tokens: bool = True,
    advance: Callable[[int], None] | None = None,
    **choices: Any,
) -> list[str]:
    """Transduce: generate the target of each source, a translation or a summary, in batches of similar length.

    Args:
        model, tokenizer: as trained together.
        sources: texts, read as lines of a corpus: in Unicode NFC, on one line, without white space around.
        batch_size: texts generated at once.
        cut: truncate a source that is longer than the model can read, instead of raising an error.
        split_special_tokens: read the name of a special token in a source as ordinary text: see
            :meth:`Tokenizer.encode <transformer.Tokenizer.encode>`.
        advance: called with the number of texts that each batch has finished.
        choices: settings of :class:`~transformer.decode.GenerationConfig`, over the model's. Where neither limits
            the length, a target may have 50 tokens more than its batch's longest source.

    Returns:
        The targets in the order of the sources; that of an empty source is empty.

    Raises:
        ValueError: a source is longer than the model can read.
    """
    check_texts("sources", sources)
    sources = [line(source) for source in sources]
    encoded = tokenizer.encode(sources, split_special_tokens=split_special_tokens)
    limit = model.config.position_limit
    if limit is not None:
        for source, ids in zip(sources, encoded, strict=True):
            if len(ids) > limit and not cut:
                raise ValueError(f"source: {len(ids)} tokens, more than the model's {limit}: {source[:60]!r}…")
        encoded = [ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]] for ids in encoded]
    limited = any(choices.get(name) or getattr(model.generation, name) for name in ("max_new_tokens", "max_length"))
    found = [""] * len(sources)
    texts = [index for index, source in enumerate(sources) if source]
    if advance is not None and len(texts) < len(sources):
        advance(len(sources) - len(texts))
    for group in _by_length(encoded, texts, batch_size):
        padded = pad([encoded[index] for index in group], model.config.pad_id or 0)
        mask = np.arange(padded.shape[1]) < np.array([len(encoded[index]) for index in group])[:, None]
        length: dict[str, Any] = {"num_return_sequences": 1}
        if not limited:
            longest = padded.shape[1] + MORE_THAN_SOURCE
            length["max_new_tokens"] = longest if limit is None else min(longest, limit)
        hypotheses = generate(model, padded, mask, tokenizer=tokenizer, **length | choices)
        for index, best in zip(group, hypotheses[:: len(hypotheses) // len(group)], strict=True):
            found[index] = best.text or ""
        if advance is not None:
            advance(len(group))
    return found


def _by_length(encoded: Sequence[Sequence[int]], places: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    order = sorted(places, key=lambda place: len(encoded[place]))
    return (order[start : start + batch_size] for start in range(0, len(order), batch_size))
