"""Explanation page: one run of a model with all its numbers, as far as they fit."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from minigrad.viz.html import Page, packed, packed_length
from minigrad.viz.picture import count_text
from transformer.data.tokenizer import Tokenizer
from transformer.explanation.recording import Array, Run, StackRun, Step, record
from transformer.explanation.steps import KINDS, source_of
from transformer.plots.reading import read
from transformer.pretrained import CausalLM, MaskedLM, PretrainedModel

BUDGET = 2_600_000  # characters of packed numbers, for a file under 3 MB
COARSE = BUDGET // 2  # weights that need more are rounded to a byte
LOGITS = 300_000  # characters up to which the logits of all tokens are there
LIKELIEST = 512  # tokens of a position with a logit of their own, where there are more
GROUPS = 64  # of the others
NAMED = 64  # likeliest tokens of a position that are shown by name
SCORES = ("scores", "unscaled_scores", "rescaled_scores", "capped_scores", "biased_scores")


def explain(
    model: PretrainedModel,
    tokenizer: Tokenizer,
    source: str,
    target: str | None = None,
    *,
    max_new_tokens: int = 16,
    max_tokens: int = 40,
) -> Page:
    """Explain one run of a model by an interactive page: all steps with their numbers, attention, and predictions.

    Args:
        model, tokenizer: as trained together.
        source: the sentence to translate, the prompt to continue, or the text, which may have ``[MASK]``.
        target: the translation; the model's own (greedy) when None. For an encoder-decoder model only.
        max_new_tokens: the maximum number of tokens that a causal language model appends to its prompt,
            greedily.
        max_tokens: the number of tokens of a text that the page shows.

    Returns:
        A page with ``save(path)`` and ``to_html()``: one file, which reads nothing else; notebooks show it. It stays
        under 3 MB, unless the attention weights alone need more; its last section tells what it leaves out for that.

    Raises:
        TypeError: the model is of another kind.
        ValueError: the source is empty or too long for the model, there is a target for a model that has none, a
            number is out of range, or the logits are not finite.

    Example:
        >>> from transformer import CausalLM, Tokenizer, TransformerConfig
        >>> tokenizer = Tokenizer.characters("to be or not")
        >>> model = CausalLM(TransformerConfig.preset("nano", vocab_size=tokenizer.vocab_size))
        >>> explain(model, tokenizer, "to be", max_new_tokens=3).title
        'to be'
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens: expected at least 1, got {max_tokens}")
    reading = read(model, tokenizer, source, target, max_new_tokens)
    notes: list[str] = []
    focus = dict.fromkeys(reading.stacks, 0)
    last = list(focus)[-1]
    focus[last] = reading.places[-1 if isinstance(model, CausalLM) else 0]
    windows = {name: _window(name, len(ids), max_tokens, focus[name], notes) for name, ids in reading.stacks.items()}
    run = record(model, *reading.stacks.values(), windows=windows)
    if not np.isfinite(run.logits).all():
        raise ValueError("model: expected finite logits, got NaN or infinite ones")
    packing = _Packing(run, notes)
    start = windows[last].start
    data = {
        "title": reading.title,
        "model": _summary(model),
        "masked": isinstance(model, MaskedLM),
        "stacks": [_stack(stack, tokenizer, packing) for stack in run.stacks],
        "output": [packing.step(step) for step in run.output],
        "next": _predictions(run.logits, tokenizer, packing),
        "chosen": tokenizer.tokens(reading.chosen[windows[last]]),
        "places": [place - start for place in reading.places if 0 <= place - start < len(run.logits)],
        "kinds": {name: _kind(name) for name in KINDS},
        "arrays": packing.arrays,
        "notes": notes,
    }
    return Page(reading.title, "transformer.explanation", "page", data)


def _window(name: str, length: int, limit: int, focus: int, notes: list[str]) -> slice:
    """Positions of a stack that are shown: the first ones, or those around ``focus`` if it is not among them."""
    start = 0 if focus < limit else min(focus - limit // 2, length - limit)
    if length > limit:
        notes.append(f"of the {length} tokens of the {name} only {start + 1} to {start + limit} are here")
    return slice(start, min(start + limit, length))


def _steps(run: Run) -> Iterator[Step]:
    for stack in run.stacks:
        yield from stack.embedding
        for layer in stack.layers:
            for part in layer:
                yield from part.steps
        yield from stack.last
    yield from run.output


class _Packing:
    """Numbers of a page, within the budget: weights first, then scores, then as much of the vectors as fits."""

    def __init__(self, run: Run, notes: list[str]) -> None:
        self.arrays: list[dict[str, Any]] = []
        self._masks: dict[bytes, int] = {}
        steps = list(_steps(run))
        weights = sum(step.values.size for step in steps if step.kind == "weights")
        scores = sum(step.values.size for step in steps if step.kind in SCORES)
        vectors = [step.values.shape for step in steps if step.keys is None]
        self._weight_bytes = 2 if packed_length(weights) <= COARSE else 1
        left = BUDGET - packed_length(weights, self._weight_bytes) - LOGITS
        self._with_scores = packed_length(scores) <= left // 2
        left -= packed_length(scores) if self._with_scores else 0
        widest = max(shape[-1] for shape in vectors)

        def needed(width: int) -> int:
            return sum(packed_length(prod(lead) * min(width, full)) for *lead, full in vectors)

        self._features = bisect_right(range(1, widest + 1), max(left, 0), key=needed)
        if self._weight_bytes == 1:
            notes.append("attention weights are rounded to 1/255")
        if not self._with_scores:
            notes.append("the scores before the softmax are left out")
        if self._features < widest:
            notes.append(f"of each vector only the first {self._features} numbers are here; the longest has {widest}")

    def step(self, step: Step) -> dict[str, Any]:
        return {"kind": step.kind, "keys": step.keys, "shape": list(step.values.shape), "array": self._array(step)}

    def _array(self, step: Step) -> int | None:
        if step.kind == "mask":
            key = step.values.tobytes()
            if key not in self._masks:  # all layers have the same
                self._masks[key] = self.add(packed(step.values, 0.0, 1.0, 1))
            return self._masks[key]
        if step.kind == "weights":
            return self.add(packed(step.values, 0.0, 1.0, self._weight_bytes))
        if step.kind in SCORES:
            return self.add(packed(step.values)) if self._with_scores else None
        return self.add(packed(step.values[..., : self._features])) if self._features else None

    def add(self, array: dict[str, Any]) -> int:
        self.arrays.append(array)
        return len(self.arrays) - 1


def _stack(stack: StackRun, tokenizer: Tokenizer, packing: _Packing) -> dict[str, Any]:
    return {
        "name": stack.name,
        "ids": stack.ids,
        "tokens": tokenizer.tokens(stack.ids),
        "embedding": [packing.step(step) for step in stack.embedding],
        "layers": [
            [{"kind": part.kind, "steps": [packing.step(step) for step in part.steps]} for part in layer]
            for layer in stack.layers
        ],
        "last": [packing.step(step) for step in stack.last],
    }


def _predictions(logits: Array, tokenizer: Tokenizer, packing: _Packing) -> dict[str, Any]:
    """Logits of each position, highest first, and the names of the likeliest tokens.

    Of a large vocabulary the less likely tokens are there in groups, each as so many tokens of the same logit.
    """
    order = np.argsort(-logits, axis=-1, kind="stable")
    sorted_logits = np.take_along_axis(logits, order, -1).astype(np.float64)
    counts = [1] * logits.shape[-1]
    if packed_length(logits.size) > LOGITS and logits.shape[-1] > LIKELIEST:
        head, *tail = np.split(sorted_logits, LIKELIEST + _edges(logits.shape[-1] - LIKELIEST), axis=-1)
        means = [group[:, :1] + np.log(np.exp(group - group[:, :1]).mean(-1, keepdims=True)) for group in tail]
        sorted_logits = np.concatenate([head, *means], axis=-1)
        counts = [1] * LIKELIEST + [group.shape[-1] for group in tail]
    named = order[:, :NAMED]
    return {
        "logits": packing.add(packed(sorted_logits)),
        "counts": counts,
        "ids": named.tolist(),
        "tokens": [tokenizer.tokens(ids) for ids in named.tolist()],
    }


def _edges(tokens: int) -> Array:
    """Edges of groups of the less likely tokens, of about equal size."""
    return np.unique(np.linspace(0, tokens, GROUPS + 1).astype(int))[:-1]


def _kind(name: str) -> dict[str, Any]:
    kind, found = KINDS[name], source_of(name)
    return {"title": kind.title, "formula": kind.formula, **found._asdict()}


def _summary(model: PretrainedModel) -> str:
    config = model.config
    layers = " + ".join(str(n) for n in (config.encoder_layers, config.decoder_layers) if n)
    count = count_text(sum(parameter.size for parameter in model.parameters()))
    return f"{type(model).__name__} · {layers} layers · {config.num_heads} heads · d_model {config.d_model} · {count}"
