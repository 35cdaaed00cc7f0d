"""Text generation: whole texts, or a stream of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from transformer.decode.beams import beam_search
from transformer.decode.config import GenerationConfig
from transformer.decode.hypothesis import Hypothesis, Reader, Text, TextDecoder
from transformer.decode.plan import Plan, end_ids, make_plan
from transformer.decode.protocol import Decoding, Generative, Ids, Mask, ModelConfig, Reserving
from transformer.decode.sampling import Choose, greedy, sampler, write


def generate(
    model: Generative,
    input_ids: Any,
    attention_mask: Any = None,
    *,
    config: GenerationConfig | None = None,
    tokenizer: TextDecoder | None = None,
    **overrides: Any,
) -> list[Hypothesis]:
    """Generate a text for each row of ``input_ids``: the continuation of a prompt, or the target of a source.

    Args:
        model: a model with :meth:`~transformer.decode.Generative.begin`.
        input_ids: token ids (rows, length), padded on either side.
        attention_mask: (rows, length), true at tokens and false at padding; None: true where not padding's id, which is
            ``pad_token_id``, or else the model's. An id that also begins or ends texts is no padding.
        config: generation settings; by default ``model.generation``.
        tokenizer: turns ids into text, for ``stop_strings`` and the hypotheses' ``text``.
        overrides: settings of :class:`~transformer.decode.GenerationConfig` that override ``config``; one that is
            None counts as not given.

    Returns:
        ``num_return_sequences`` hypotheses for the first row, as many for the second, and so on; those of a beam search
        begin with the best.

    Raises:
        TypeError: a setting is unknown, or ``input_ids`` are no integers.
        ValueError: a setting is invalid, settings contradict each other, or the model returns invalid logits.

    A step costs the model's for the rows that still grow (times ``num_beams``) and O(rows · V) for the choice, sorting
    with ``top_p`` only.

    Example:
        >>> from types import SimpleNamespace
        >>> class Count:  # after n comes n + 1
        ...     config = SimpleNamespace(vocab_size=8, pad_id=None, eos_id=6, max_length=16)
        ...     generation = GenerationConfig()
        ...     def begin(self, input_ids, attention_mask, *, use_cache):
        ...         self.prompt, self.prompt_mask = input_ids, np.ones(input_ids.shape, bool)
        ...         return self
        ...     def step(self, tokens):
        ...         return 20 * np.eye(8)[(tokens[:, -1] + 1) % 8]
        ...     def reorder(self, rows):
        ...         "It remembers nothing."
        >>> [hypothesis.ids for hypothesis in generate(Count(), [[1, 2], [7, 0]])]
        [[3, 4, 5], [1, 2, 3, 4, 5]]
        >>> generate(Count(), [[1, 2]], max_new_tokens=2, num_beams=4)[0].finished
        False
    """
    config, reader = _choices(model, config, tokenizer, overrides)
    ids, mask = _checked(input_ids, attention_mask, config, model.config)
    decoding, plan = _begun(model, ids, mask, config, reader)
    if config.num_beams > 1:
        return [hypothesis for found in beam_search(decoding, plan) for hypothesis in found]
    texts = [Text(plan.prompt(row)) for row in range(len(ids)) for _ in range(config.num_return_sequences)]
    for _ in write(decoding, texts, plan, _chooser(config, ids, mask)):
        pass
    return [text.hypothesis(reader) for text in texts]


def stream(
    model: Generative,
    input_ids: Any,
    attention_mask: Any = None,
    *,
    config: GenerationConfig | None = None,
    tokenizer: TextDecoder | None = None,
    **overrides: Any,
) -> Iterator[int]:
    """Stream the ids that :func:`generate` returns for one row, each as soon as it is final.

    A token that may become part of a stop string is held back.

    Args:
        model, attention_mask, config, tokenizer, overrides: as for :func:`generate`; greedy or sampling.
        input_ids: token ids (length,) or (1, length).

    Raises:
        TypeError, ValueError: as :func:`generate`, at once; or there is more than one row, text or beam.
    """
    config, reader = _choices(model, config, tokenizer, overrides)
    given = None if attention_mask is None else np.atleast_2d(attention_mask)
    ids, mask = _checked(np.atleast_2d(input_ids), given, config, model.config)
    for name, count in (
        ("input_ids", len(ids)),
        ("num_beams", config.num_beams),
        ("num_return_sequences", config.num_return_sequences),
    ):
        if count > 1:
            raise ValueError(f"{name}: a stream is one text as it is written, expected 1, got {count}")
    decoding, plan = _begun(model, ids, mask, config, reader)
    text = Text(plan.prompt(0))
    reader = reader and reader.after(text.prompt)
    steps = write(decoding, [text], plan, _chooser(config, ids, mask))

    def tokens() -> Iterator[int]:
        given = 0
        for _ in steps:
            settled = reader.settled(text.ids) if reader and plan.can_stop else len(text.ids)
            yield from text.ids[given:settled]
            given = max(given, settled)
        yield from text.hypothesis(reader).ids[given:]

    return tokens()


def _choices(
    model: Generative, config: GenerationConfig | None, tokenizer: TextDecoder | None, overrides: dict[str, Any]
) -> tuple[GenerationConfig, Reader | None]:
    config = (model.generation if config is None else config).override(overrides)
    config.check_used()
    copies, beams = config.num_return_sequences, config.num_beams
    if config.do_sample and beams > 1:
        raise ValueError(f"num_beams: sampling is for one beam, expected 1 with do_sample=True, got {beams}")
    if not config.do_sample and copies > beams:
        raise ValueError(
            f"num_return_sequences: expected at most num_beams={beams} without do_sample=True, got {copies}"
        )
    if config.stop_strings and tokenizer is None:
        raise ValueError("tokenizer: missing; stop_strings can only be found in the text that it decodes")
    if overrides.get("decoder_start_token_id") is not None:
        raise ValueError("decoder_start_token_id: part of the model, which begins with it; expected none here")
    return config, None if tokenizer is None else Reader(tokenizer, config.stop_strings)


def _checked(input_ids: Any, attention_mask: Any, config: GenerationConfig, model: ModelConfig) -> tuple[Ids, Mask]:
    """Validated prompts, and their mask of tokens."""
    ids = np.asarray(input_ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"input_ids: expected integers, got {ids.dtype}")
    if ids.ndim != 2 or not ids.size:
        raise ValueError(f"input_ids: expected shape (rows, length), each at least 1, got {ids.shape}")
    if attention_mask is None:
        pad = model.pad_id if config.pad_token_id is None else config.pad_token_id
        begins = {config.bos_token_id, getattr(model, "bos_id", None)}  # not all models have one
        is_text = pad is None or pad in begins | {model.eos_id, *end_ids(config, model)}
        return ids.astype(np.int64), np.ones(ids.shape, bool) if is_text else ids != pad
    mask = np.asarray(attention_mask)
    if mask.shape != ids.shape:
        raise ValueError(f"attention_mask: expected the shape {ids.shape} of input_ids, got {mask.shape}")
    return ids.astype(np.int64), mask != 0


def _begun(
    model: Generative, ids: Ids, mask: Mask, config: GenerationConfig, reader: Reader | None
) -> tuple[Decoding, Plan]:
    decoding = model.begin(ids, mask, use_cache=config.use_cache)
    plan = make_plan(config, model.config, decoding, reader)
    if isinstance(decoding, Reserving):
        decoding.reserve(plan.new_tokens, max(config.num_beams, config.num_return_sequences))
    return decoding, plan


def _chooser(config: GenerationConfig, ids: Ids, mask: Mask) -> Choose:
    if not config.do_sample:
        return greedy
    copies = config.num_return_sequences
    return sampler(config.seed, np.repeat(ids, copies, axis=0), np.repeat(mask, copies, axis=0))
