"""Beam search: the k best partial hypotheses of each row, until none can become the best text."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from minigrad import kernels
from transformer.decode.config import GenerationConfig
from transformer.decode.hypothesis import Hypothesis, Text
from transformer.decode.plan import Plan, checked
from transformer.decode.processors import unchanged
from transformer.decode.protocol import Decoding


@dataclass
class Found:
    """Finished hypotheses: the best ``num_beams`` texts of one sentence, and their scores, best first."""

    config: GenerationConfig
    texts: list[tuple[float, Text]] = field(default_factory=list)

    def add(self, score: float, text: Text) -> None:
        self.texts.append((score, text))
        self.texts.sort(key=lambda scored: -scored[0])
        del self.texts[self.config.num_beams :]

    def can_improve(self, total: float, length: int, longest: int) -> bool:
        """True if a partial hypothesis of ``length`` tokens with score ``total`` ≤ 0 may still be returned.

        More tokens never raise the total, and dividing it by the penalty of the greatest length (or, if α < 0, of the
        next) is an upper bound: so nothing is lost. ``early_stopping=False`` compares with the penalty of the
        present length, as Hugging Face does; with α > 0 that may lose a better text.
        """
        config = self.config
        needed = config.num_return_sequences if config.early_stopping == "never" else config.num_beams
        if len(self.texts) < needed:
            return True
        if config.early_stopping is True:
            return False
        exact = longest if config.length_penalty > 0 else length + 1
        attainable = total / config.penalty(exact if config.early_stopping == "never" else length)
        return attainable > self.texts[needed - 1][0]


def beam_search(decoding: Decoding, plan: Plan) -> list[list[Hypothesis]]:
    """Beam search: the best ``num_return_sequences`` texts of each row of the prompt, best first.

    A text's score is the sum of its tokens' processed log-probabilities, divided by the length penalty. Among the
    texts compared are those that have ended and those cut off at the greatest length, as in Hugging Face's.

    A step costs the model's for sentences · num_beams rows, and O(sentences · num_beams · V) for the candidates.
    """
    config = plan.config
    # A beam may end in as many ways as there are end tokens: so many candidates leave enough to continue.
    width = config.num_beams * max(2, 1 + len(plan.eos))
    found = [Found(config) for _ in plan.history]
    sentences = np.arange(len(found))  # sentences still searched
    history = plan.history  # (sentences · beams, length)
    known = np.zeros((len(history), 0))  # (sentences · beams, new) the model's log-probabilities of the new tokens
    totals = np.zeros((len(history), 1))  # (sentences, beams): one beam to begin with, as more would be alike
    tokens = decoding.prompt
    for length in range(1, plan.new_tokens + 1):
        logits, normalizer = checked(decoding.step(tokens))
        scores, offset = logits, totals - normalizer.reshape(totals.shape)
        if plan.process is not unchanged:
            scores, offset = plan.process(history, logits - normalizer[:, None]), totals
        values, places = kernels.top_k(scores.reshape(*totals.shape, -1), width, offset)
        row, token = np.divmod(places, scores.shape[1])
        row += totals.shape[1] * np.arange(len(sentences))[:, None]

        possible = values > -np.inf
        over = np.isin(token, plan.eos) | (length == plan.new_tokens)
        for sentence, rank in np.argwhere(possible & (over | plan.can_stop)).tolist():
            r, t = int(row[sentence, rank]), int(token[sentence, rank])
            new = history[r, plan.prompt_length :].tolist()
            text = Text(plan.prompt(int(sentences[sentence])), new, known[r].tolist())
            text.add(t, float(logits[r, t] - normalizer[r]), plan.eos)
            over[sentence, rank] |= plan.is_over(text)
            if over[sentence, rank] and rank < config.num_beams:
                found[sentences[sentence]].add(values[sentence, rank] / config.penalty(length), text)

        values = np.where(over, -np.inf, values)
        order = np.argsort(-values, axis=-1, kind="stable")[:, : config.num_beams]
        totals, row, token = (np.take_along_axis(array, order, -1) for array in (values, row, token))
        growing = np.flatnonzero(
            [
                total > -np.inf and found[sentence].can_improve(total, length, plan.new_tokens)
                for sentence, total in zip(sentences.tolist(), totals[:, 0].tolist(), strict=True)
            ]
        )
        if not growing.size:
            break
        sentences, totals = sentences[growing], totals[growing]
        kept, tokens = row[growing].ravel(), token[growing].reshape(-1, 1)
        history = np.concatenate([history[kept], tokens], axis=1)
        newest = logits[kept, tokens[:, 0]] - normalizer[kept]
        known = np.concatenate([known[kept], newest[:, None]], axis=1)
        decoding.reorder(kept)
    return [_returned(texts, row, plan) for row, texts in enumerate(found)]


def _returned(found: Found, row: int, plan: Plan) -> list[Hypothesis]:
    wanted = plan.config.num_return_sequences
    if not found.texts:
        raise plan.nothing_allowed(row)
    if len(found.texts) < wanted:
        raise ValueError(
            f"num_return_sequences: {wanted} asked for, but row {row} has {len(found.texts)} possible texts"
        )
    return [text.hypothesis(plan.reader) for _, text in found.texts[:wanted]]
