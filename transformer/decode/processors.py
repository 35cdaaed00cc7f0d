"""Logits processors: functions that change the scores of the next token before it is chosen.

Each takes the history, ids (rows, length) with ``PADDING`` at its beginning where a row is shorter, and the scores
(rows, V), and returns new scores; a token that may not follow has -inf. All of them mean the same as Hugging Face's
``LogitsProcessor`` of like name, and :func:`processors` puts them in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from transformer.decode.config import GenerationConfig
from transformer.decode.protocol import Ids, Mask, Scores

PADDING = -1  # padding of a history, equal to no token
Processor = Callable[[Ids, Scores], Scores]


def log_softmax(scores: Scores) -> Scores:
    """Log-softmax of scores (rows, V); a row of -inf stays one."""
    shifted = _shifted(scores)
    return np.asarray(shifted - np.log(np.maximum(np.exp(shifted).sum(-1, keepdims=True), 1)))


def processors(config: GenerationConfig, eos: Sequence[int], prompt_length: int, new_tokens: int) -> Processor:
    """Compose the processors that ``config`` asks for; :func:`unchanged` where it asks for none.

    Args:
        config: the settings; those of sampling apply with ``do_sample``.
        eos: the tokens that end a text.
        prompt_length, new_tokens: the tokens there are before the first new one, and at most after them.
    """
    shortest = config.min_length - prompt_length if config.min_new_tokens is None else config.min_new_tokens
    short = range(prompt_length, prompt_length + shortest)
    first = [prompt_length + (prompt_length == 1 and config.forced_bos_token_id is not None)]
    last = [prompt_length + new_tokens - 1]
    forced_bos = ids_of(config.forced_bos_token_id)
    words = [word for word in config.bad_words_ids if word not in {(token,) for token in eos}]
    forced_eos = ids_of(config.forced_eos_token_id)
    restrictions: list[tuple[object, Processor]] = [
        (config.repetition_penalty != 1, partial(repetition_penalty, penalty=config.repetition_penalty)),
        (config.no_repeat_ngram_size, partial(no_repeat_ngram, size=config.no_repeat_ngram_size)),
        (words, partial(bad_words, words=words)),
        (eos and shortest > 0, during(short, partial(suppress, tokens=eos))),
        (forced_bos, during([1], partial(force, tokens=forced_bos))),
        (forced_eos, during(last, partial(force, tokens=forced_eos))),
        (config.suppress_tokens, partial(suppress, tokens=config.suppress_tokens)),
        (config.begin_suppress_tokens, during(first, partial(suppress, tokens=config.begin_suppress_tokens))),
    ]
    renormalization: tuple[object, Processor] = (config.renormalize_logits, lambda history, scores: log_softmax(scores))
    table = [*restrictions, *(_sampling(config) if config.do_sample else []), renormalization]
    wanted = [processor for asked, processor in table if asked]

    def process(history: Ids, scores: Scores) -> Scores:
        for processor in wanted:
            scores = processor(history, scores)
        return scores

    return process if wanted else unchanged


def unchanged(history: Ids, scores: Scores) -> Scores:
    """Scores as they are."""
    return scores


def _sampling(config: GenerationConfig) -> list[tuple[object, Processor]]:
    return [
        (config.temperature != 1, lambda history, scores: scores / config.temperature),
        (config.top_k, partial(top_k, k=config.top_k or 0)),
        (config.top_p < 1, partial(top_p, p=config.top_p)),
        (config.min_p, partial(min_p, p=config.min_p or 0.0)),
    ]


def ids_of(tokens: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """Convert one id, several or none to a tuple."""
    return () if tokens is None else (tokens,) if isinstance(tokens, int) else tokens


def during(lengths: Sequence[int], processor: Processor) -> Processor:
    """Apply ``processor`` only while the history has one of these lengths."""
    return lambda history, scores: processor(history, scores) if history.shape[1] in lengths else scores


def repetition_penalty(history: Ids, scores: Scores, *, penalty: float) -> Scores:
    """Repetition penalty: divide positive scores of earlier tokens, multiply negative ones. Keskar et al., 2019."""
    penalised = np.where(scores < 0, scores * penalty, scores / penalty)
    return np.where(_mentioned(history, scores.shape[1]), penalised, scores)


def no_repeat_ngram(history: Ids, scores: Scores, *, size: int) -> Scores:
    """Ban tokens that would repeat an n-gram of ``size`` tokens. O(rows · length · size)."""
    if history.shape[1] < size:
        return scores
    windows = np.lib.stride_tricks.sliding_window_view(history, size, axis=1)
    beginning = history[:, history.shape[1] + 1 - size :]
    repeats = (windows[:, :, :-1] == beginning[:, None]).all(-1)
    return np.where(_mentioned(np.where(repeats, windows[:, :, -1], PADDING), scores.shape[1]), -np.inf, scores)


def bad_words(history: Ids, scores: Scores, *, words: Sequence[Sequence[int]]) -> Scores:
    """Ban the last token of each word after its other tokens."""
    scores = scores.copy()
    for word in words:
        *beginning, last = word
        if len(beginning) <= history.shape[1]:
            rows = (history[:, history.shape[1] - len(beginning) :] == beginning).all(-1)
            scores[rows, last] = -np.inf
    return scores


def suppress(history: Ids, scores: Scores, *, tokens: Sequence[int]) -> Scores:
    """Ban these tokens."""
    scores = scores.copy()
    scores[:, list(tokens)] = -np.inf
    return scores


def force(history: Ids, scores: Scores, *, tokens: Sequence[int]) -> Scores:
    """Force one of these tokens: they score 0, all others are banned."""
    scores = np.full_like(scores, -np.inf)
    scores[:, list(tokens)] = 0
    return scores


def top_k(history: Ids, scores: Scores, *, k: int) -> Scores:
    """Top-k: keep the ``k`` highest scores, and ties of the lowest of them. Fan et al., 2018, section 5.4.

    Example:
        >>> top_k(np.zeros((1, 0), int), np.array([[3.0, 1.0, 2.0]]), k=2)
        array([[  3., -inf,   2.]])
    """
    k = min(k, scores.shape[1])
    least = np.partition(scores, -k, axis=-1)[:, -k, None]
    return np.where(scores < least, -np.inf, scores)


def top_p(history: Ids, scores: Scores, *, p: float) -> Scores:
    """Top-p: keep the fewest likeliest tokens that reach probability ``p``. Holtzman et al., 2020, section 3.1.

    Of equally likely tokens as many stay as in Hugging Face's, and those with the lowest ids. It sorts what other
    processors left: O(rows · n log n).
    """
    left = np.flatnonzero((scores > -np.inf).any(0))
    order = left[np.argsort(-scores[:, left], axis=-1, kind="stable")[:, ::-1]]
    ascending = np.take_along_axis(scores, order, -1)
    removed = np.exp(log_softmax(ascending)).cumsum(-1) <= 1 - p
    removed[:, -1] = False
    scores = scores.copy()
    np.put_along_axis(scores, order, np.where(removed, -np.inf, ascending), -1)
    return scores


def min_p(history: Ids, scores: Scores, *, p: float) -> Scores:
    """Min-p: keep tokens of at least ``p`` times the highest probability. Nguyen et al., 2024, section 3."""
    relative = np.exp(_shifted(scores))  # relative to the maximum
    return np.where(relative < p, -np.inf, scores)


def _mentioned(history: Ids, vocab_size: int) -> Mask:
    """Token presence (rows, V): True for tokens in a history."""
    # PADDING, and ids beyond the vocabulary, go to an extra last column that is removed.
    mentioned = np.zeros((len(history), vocab_size + 1), bool)
    mentioned[np.arange(len(history))[:, None], np.minimum(history, vocab_size)] = True
    return mentioned[:, :-1]


def _shifted(scores: Scores) -> Scores:
    """Shift scores so that the maximum of each row is 0."""
    greatest = scores.max(-1, keepdims=True)
    return scores - np.where(greatest > -np.inf, greatest, 0)
