"""How good translations are: exact match, and BLEU with its signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from transformer.data.batches import pad
from transformer.decode import generate
from transformer.extras import require
from transformer.models import Transformer
from transformer.tokenizers import Tokenizer


@dataclass(frozen=True)
class Score:
    """The result of comparing translations with references."""

    count: int
    exact: int  # translations equal to their reference, to the character
    bleu: float  # sacreBLEU, 0 to 100
    signature: str  # sacreBLEU's account of how it was computed

    @property
    def exact_match(self) -> float:
        """The share of exact translations, 0 to 1."""
        return self.exact / max(self.count, 1)


def score(translations: Sequence[str], references: Sequence[str]) -> Score:
    """Compare detokenized translations with references, one each. Post, 2018, for the BLEU."""
    if len(translations) != len(references):
        raise ValueError(f"references: expected {len(translations)}, one a translation, got {len(references)}")
    metric = require("sacrebleu", "text").metrics.BLEU()
    bleu = metric.corpus_score(list(translations), [list(references)]).score if translations else 0.0
    exact = sum(translation == reference for translation, reference in zip(translations, references, strict=True))
    return Score(len(references), exact, float(bleu), str(metric.get_signature()) if translations else "")


def translate(
    model: Transformer,
    tokenizer: Tokenizer,
    sentences: Sequence[str],
    *,
    num_beams: int = 1,
    length_penalty: float = 0.6,
    batch_size: int = 128,
    advance: Callable[[int], None] | None = None,
) -> list[str]:
    """Translate sentences, in batches of similar length, in the order given.

    Args:
        model, tokenizer: as trained together.
        sentences: source texts.
        num_beams, length_penalty: as in :func:`transformer.decode.generate`.
        batch_size: sentences decoded at once.
        advance: told how many sentences each batch has finished.

    Raises:
        ValueError: a sentence is longer than the model can read.
    """
    encoded = tokenizer.encode(sentences)
    for sentence, ids in zip(sentences, encoded, strict=True):
        if len(ids) > model.config.max_length:
            raise ValueError(
                f"sentence: {len(ids)} tokens, more than the model's {model.config.max_length}: {sentence[:60]!r}…"
            )
    found = [""] * len(sentences)
    for group in _by_length(encoded, batch_size):
        source = pad([encoded[index] for index in group], tokenizer.pad_id)
        hypotheses = generate(model, source, num_beams=num_beams, length_penalty=length_penalty)
        for index, text in zip(group, tokenizer.decode([h.ids for h in hypotheses]), strict=True):
            found[index] = text
        if advance is not None:
            advance(len(group))
    return found


def _by_length(encoded: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    order = np.argsort([len(ids) for ids in encoded], kind="stable").tolist()
    return (order[start : start + batch_size] for start in range(0, len(order), batch_size))
