"""Greedy decoding and sampling: one text a row, one token at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from transformer.decode.hypothesis import Text
from transformer.decode.plan import Plan, checked
from transformer.decode.processors import unchanged
from transformer.decode.protocol import Decoding, Ids, Mask, Scores

Choose = Callable[[Ids, Scores], Ids]  # (rows,) which texts they are, (rows, V) scores, to (rows,) tokens


def greedy(rows: Ids, scores: Scores) -> Ids:
    """Greedy choice: the likeliest token, the first of ties."""
    return scores.argmax(-1)


def sampler(seed: int | None, input_ids: Ids, mask: Mask) -> Choose:
    """Sampler: draw from the softmax of the scores, with separate random numbers for each row of ``input_ids``.

    They depend on the seed, on the row's tokens and on the number of equal rows before it, and so on no other row, no
    padding and no order: a row gives the same text alone and in any batch, and another one when it is repeated.
    """
    entropy = np.random.SeedSequence().entropy if seed is None else seed
    seen: Counter[tuple[int, ...]] = Counter()
    generators = []
    for ids, real in zip(input_ids, mask, strict=True):
        key = tuple(ids[real].tolist())
        generators.append(np.random.default_rng([entropy, seen[key], len(key), *key]))
        seen[key] += 1

    def choose(rows: Ids, scores: Scores) -> Ids:
        draws = np.array([generators[row].random() for row in rows.tolist()])
        exact = scores.astype(np.float64, copy=False)
        cumulative = np.exp(exact - exact.max(-1, keepdims=True)).cumsum(-1)
        # Strictly above, so that a token without probability, which adds nothing, is never the first above the draw.
        return np.argmax(cumulative > draws[:, None] * cumulative[:, -1:], axis=-1)

    return choose


def write(decoding: Decoding, texts: Sequence[Text], plan: Plan, choose: Choose) -> Iterator[None]:
    """Extend ``texts`` in place, yielding after each token; each row has equally many, one after the other.

    A text that has ended leaves the batch, so that each step costs the rows that still grow.
    """
    logits, normalizer = checked(decoding.step(decoding.prompt))
    history, rows = plan.history, np.arange(len(texts))
    if len(texts) > len(history):
        # The prompt was read once for all the texts that follow it.
        origin = rows * len(history) // len(texts)
        decoding.reorder(origin)
        logits, normalizer, history = logits[origin], normalizer[origin], history[origin]
    for new in range(1, plan.new_tokens + 1):
        scores = logits if plan.process is unchanged else plan.process(history, logits.astype(np.float64))
        if (silent := rows[scores.max(-1) == -np.inf]).size:
            raise plan.nothing_allowed(int(silent[0]))
        tokens = choose(rows, scores)
        of_model = logits[np.arange(len(rows)), tokens] - normalizer
        for row, token, value in zip(rows.tolist(), tokens.tolist(), of_model.tolist(), strict=True):
            texts[row].add(token, value, plan.eos)
        yield
        growing = np.flatnonzero([not plan.is_over(texts[row]) for row in rows.tolist()])
        if new == plan.new_tokens or not growing.size:
            return
        if growing.size < rows.size:
            decoding.reorder(growing)
            rows, history, tokens = rows[growing], history[growing], tokens[growing]
        history = np.concatenate([history, tokens[:, None]], axis=1)
        logits, normalizer = checked(decoding.step(tokens[:, None]))
