"""Texts as a model reads them, for pictures and pages of one run."""

from __future__ import annotations

from dataclasses import dataclass

from transformer.data.normalization import characters, line, passage
from transformer.data.tokenizer import Tokenizer, with_masks
from transformer.pretrained import CausalLM, MaskedLM, PretrainedModel, Transformer

LONGEST = 60  # letters of a text in the title

Ids = list[int]


@dataclass(frozen=True)
class Reading:
    """Token ids of each stack of a model, and the tokens that follow."""

    stacks: dict[str, Ids]  # in the order of the model's arguments
    chosen: Ids  # the token that follows each position of the last stack, as far as it is known
    places: list[int]  # positions of the last stack whose prediction matters: those of new tokens, or of masks
    title: str


def read(
    model: PretrainedModel, tokenizer: Tokenizer, source: str, target: str | None = None, max_new_tokens: int = 0
) -> Reading:
    """Prepare the texts for this kind of model, and let it write what it would.

    Raises:
        TypeError: the model is of another kind.
        ValueError: the text is empty, or there is a target for a model that has none.
    """
    if not source.strip():
        raise ValueError("source: expected a sentence, got an empty one")
    if isinstance(model, Transformer):
        return _translation(model, tokenizer, source, target)
    if not isinstance(model, (CausalLM, MaskedLM)):
        raise TypeError(f"model: expected a Transformer, CausalLM or MaskedLM, got {type(model).__name__}")
    if target is not None:
        raise ValueError(f"target: expected None for a {type(model).__name__}, which reads one text only")
    if isinstance(model, CausalLM):
        return _continuation(model, tokenizer, source, max_new_tokens)
    (ids,) = tokenizer.encode([with_masks(passage(source), tokenizer)], split_special_tokens=False)
    masks = [place for place, token in enumerate(ids) if token == tokenizer.mask_id]
    return Reading({"encoder": ids}, [], masks or [0], _clipped(source))


def _continuation(model: CausalLM, tokenizer: Tokenizer, source: str, max_new_tokens: int) -> Reading:
    (ids,) = tokenizer.encode([characters(source)], add_special_tokens=False)
    limit = model.config.position_limit
    room = max_new_tokens if limit is None else min(max_new_tokens, max(limit - len(ids), 0))
    whole = ids
    if room:
        (hypothesis,) = model.generate([ids], room, do_sample=False, num_beams=1, stop_strings=())
        whole = [*ids, *hypothesis.ids]
    return Reading({"decoder": whole}, whole[1:], list(range(len(ids) - 1, len(whole))), _clipped(source))


def _translation(model: Transformer, tokenizer: Tokenizer, source: str, target: str | None) -> Reading:
    (ids,) = tokenizer.encode([line(source)])
    if target is None:
        (hypothesis,) = model.generate([ids], do_sample=False, num_beams=1, stop_strings=())
        eos_id = model.config.eos_id
        written = [*hypothesis.ids, eos_id] if hypothesis.finished and eos_id is not None else hypothesis.ids
        (target,) = tokenizer.decode([written])
    else:
        (written,) = tokenizer.encode([line(target)])
    start = [] if model.config.start_id is None else [model.config.start_id]
    before = [*start, *written[:-1]]
    title = f"{_clipped(source)} → {_clipped(target)}"
    stacks = {"encoder": ids, "decoder": before}
    return Reading(stacks, written, list(range(len(before))), title)


def _clipped(text: str) -> str:
    """Truncate a text to the length of a title."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
