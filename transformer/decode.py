"""From a model's probabilities to sentences: greedy decoding and beam search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from minigrad import no_grad

if TYPE_CHECKING:
    from transformer.models import Transformer

Ids = np.ndarray[Any, Any]
Scores = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Hypothesis:
    """A decoded sequence, without ``bos`` and, where it was reached, without ``eos``."""

    ids: list[int]
    log_probability: float  # of the whole sequence, its end included
    finished: bool  # whether it ended by itself

    def score(self, length_penalty: float) -> float:
        """log P / lp with lp = ((5 + length) / 6)^α. Wu et al., 2016, equation 14; α = 0 is the plain log P."""
        length = len(self.ids) + self.finished
        return self.log_probability / ((5 + length) / 6) ** length_penalty


class _Decoder:
    """One step at a time: the log-probabilities of the next token of each row."""

    def __init__(self, model: Any, source: Ids, rows_each: int = 1) -> None:
        self.going = model.begin(source)
        self.going.keep(np.repeat(np.arange(len(source)), rows_each))
        self.keep = self.going.keep

    def step(self, tokens: Ids) -> Scores:
        """(rows,) newest tokens to (rows, V) log-probabilities."""
        return np.asarray(mg.log_softmax(mg.asarray(self.going.step(tokens[:, None])), -1).data, np.float64)


def generate(
    model: Any,
    source: Any,
    attention_mask: Any = None,
    *,
    max_new_tokens: int | None = None,
    num_beams: int = 1,
    length_penalty: float = 0.6,
) -> list[Hypothesis]:
    """Decode the best target for each source.

    Args:
        model: an encoder-decoder model; it is run in evaluation mode.
        source: token ids (B, S), padded at the end with ``pad_id``.
        max_new_tokens: where to stop; by default 50 more than the source has, as in the paper, section 6.1.
        num_beams: hypotheses to keep; 1 is greedy decoding.
        length_penalty: α of :meth:`Hypothesis.score`, by which beams are compared.

    Returns:
        The best hypothesis for each source.

    Cost grows with (targets' length) · (B · num_beams) decoder steps; keys and values are cached.
    """
    source = mg.asarray(source).data
    limit = model.config.max_length - 1
    steps = min(source.shape[1] + 50, limit) if max_new_tokens is None else max_new_tokens
    if not 1 <= steps <= limit:
        raise ValueError(f"max_new_tokens: expected 1 to {limit}, got {max_new_tokens}")
    if num_beams < 1:
        raise ValueError(f"num_beams: expected at least 1, got {num_beams}")
    with no_grad(), model.evaluating():
        if num_beams == 1:
            return _greedy(model, source, steps)
        return _beam_search(model, source, steps, num_beams, length_penalty)


def _greedy(model: Transformer, source: Ids, steps: int) -> list[Hypothesis]:
    """Always the likeliest next token. Rows leave the batch as they end."""
    eos = model.config.eos_id
    decoder = _Decoder(model, source)
    ids: list[list[int]] = [[] for _ in source]
    total = np.zeros(len(source))
    finished = np.zeros(len(source), bool)
    rows = np.arange(len(source))  # the sentences still growing
    tokens = np.full(len(source), model.config.bos_id)
    for _ in range(steps):
        log_probabilities = decoder.step(tokens)
        tokens = log_probabilities.argmax(-1)
        total[rows] += log_probabilities[np.arange(len(rows)), tokens]
        ended = tokens == eos
        finished[rows[ended]] = True
        for row, token in zip(rows[~ended], tokens[~ended], strict=True):
            ids[row].append(int(token))
        if ended.any():
            going = np.flatnonzero(~ended)
            if not going.size:
                break
            decoder.keep(going)
            rows, tokens = rows[going], tokens[going]
    return [Hypothesis(ids[i], float(total[i]), bool(finished[i])) for i in range(len(source))]


def _beam_search(model: Transformer, source: Ids, steps: int, beams: int, length_penalty: float) -> list[Hypothesis]:
    """Keep the ``beams`` likeliest beginnings; end when no beginning can still beat what has ended."""
    eos, batch = model.config.eos_id, len(source)
    decoder = _Decoder(model, source, beams)
    ids = np.zeros((batch, beams, 0), np.int64)
    # All beams begin alike: the first alone may be continued, or they would stay alike.
    totals = np.where(np.arange(beams) == 0, 0.0, -np.inf) * np.ones((batch, 1))
    tokens = np.full(batch * beams, model.config.bos_id)
    ended: list[list[Hypothesis]] = [[] for _ in range(batch)]
    growing = np.ones(batch, bool)
    for step in range(1, steps + 1):
        scores = totals[:, :, None] + decoder.step(tokens).reshape(batch, beams, -1)
        vocab = scores.shape[-1]
        # Each beam can end in one way only, so 2 · beams candidates always leave enough to go on with.
        best = np.argsort(-scores.reshape(batch, -1), axis=-1, kind="stable")[:, : 2 * beams]
        origin = np.zeros((batch, beams), np.int64)
        chosen = np.full((batch, beams), model.config.pad_id)
        for b in np.flatnonzero(growing).tolist():
            kept = 0
            for rank, candidate in enumerate(best[b]):
                beam, token = divmod(int(candidate), vocab)
                value = float(scores[b, beam, token])
                if value == -np.inf:
                    continue
                if token == eos:
                    if rank < beams:
                        ended[b].append(Hypothesis(ids[b, beam].tolist(), value, True))
                elif kept < beams:
                    origin[b, kept], chosen[b, kept], totals[b, kept] = beam, token, value
                    kept += 1
            totals[b, kept:] = -np.inf
            growing[b] = kept > 0 and _can_improve(ended[b], float(totals[b, 0]), beams, steps, length_penalty)
        ids = np.concatenate([np.take_along_axis(ids, origin[:, :, None], 1), chosen[:, :, None]], axis=2)
        if not growing.any() or step == steps:
            break
        decoder.keep((np.arange(batch)[:, None] * beams + origin).ravel())
        tokens = chosen.ravel()
    results = []
    for b in range(batch):
        unfinished = [Hypothesis(ids[b, k].tolist(), float(totals[b, k]), False) for k in range(beams) if growing[b]]
        candidates = ended[b] or [h for h in unfinished if h.log_probability > -np.inf]
        results.append(max(candidates, key=lambda hypothesis: hypothesis.score(length_penalty)))
    return results


def _can_improve(ended: list[Hypothesis], best: float, beams: int, steps: int, length_penalty: float) -> bool:
    """Whether a beginning of log-probability ``best`` may still end better than the best that has ended.

    Going on only lowers log P, and the penalty's divisor is largest at the greatest length, or at the least if α < 0.
    """
    if len(ended) < beams:
        return True
    length = steps if length_penalty > 0 else 1
    attainable = best / ((5 + length) / 6) ** length_penalty
    return attainable > max(hypothesis.score(length_penalty) for hypothesis in ended)
