"""Text generation by a decoder, trained as a causal language model. Radford et al., 2018 (GPT)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.distributed import ALONE, Group
from transformer.data.batches import Batch, TextBatches, WindowBatches
from transformer.data.normalization import characters
from transformer.data.records import Stored
from transformer.data.share import Share
from transformer.data.spool import spooled
from transformer.data.text_files import Blocks, pieces
from transformer.data.tokenizer import Tokenizer
from transformer.decode import GenerationConfig, generate, stream
from transformer.model.config import TransformerConfig
from transformer.model.presets import PRESETS
from transformer.pretrained import CausalLM
from transformer.tasks.corpora import language_text
from transformer.tasks.reporting import Progress, Sample, silent
from transformer.tasks.task import DataChoice, Defaults, Examples, Report, Task
from transformer.train import TrainingConfig, held_out_loss

NEW_TOKENS = 200  # of a text without a given limit
WINDOW = 1024  # maximum positions of a window in an evaluation, whose logits are all in memory
MAX_BATCH_TOKENS = 2**24  # minimum of a batch, also of a short text
SHOWN = 60  # characters of the sample shown during training


def continuation(
    model: CausalLM,
    tokenizer: Tokenizer,
    prompt: str | Sequence[int],
    max_new_tokens: int | None = None,
    *,
    split_special_tokens: bool = True,
    **choices: Any,
) -> Iterator[str]:
    """Continuation of a prompt, in pieces as it is generated; in one piece with beam search.

    Where it grows longer than the model's context, the model goes on from the newer half of it.

    Args:
        model, tokenizer: as trained together.
        prompt: at least one token; a text is read in Unicode NFC, with LF at the ends of lines.
        max_new_tokens: at most; None: as the model says, or 200.
        split_special_tokens: read the name of a special token in the prompt as ordinary text.
        choices: settings of :class:`~transformer.decode.GenerationConfig` that override the model's own.

    Raises:
        ValueError: the prompt is empty, or longer than the model's context.
    """
    ids = list(prompt) if not isinstance(prompt, str) else _encoded(prompt, tokenizer, split_special_tokens)
    if not ids:
        raise ValueError("prompt: expected at least one character, got none")
    if model.config.position_limit is not None and len(ids) > model.config.position_limit:
        raise ValueError(
            f"prompt: {len(ids)} tokens are more than the model's context of {model.config.position_limit}; give its "
            "end"
        )
    config = model.generation.override({**choices, "num_return_sequences": 1})
    count = _new_tokens(config, len(ids)) if max_new_tokens is None else max_new_tokens
    if count < 1:
        raise ValueError(f"max_new_tokens: expected at least 1, got {count}")
    # Searched in the text: a stop string may begin inside a token, or in one context and end in the next.
    tokens = _tokens(model, ids, count, replace(config, stop_strings=(), max_length=None))
    pieces = tokenizer.decode_stream(tokens, ids)
    return before_stop(pieces, list(filter(None, map(characters, config.stop_strings))))


def _encoded(prompt: str, tokenizer: Tokenizer, split_special_tokens: bool) -> list[int]:
    options = {"add_special_tokens": False, "split_special_tokens": split_special_tokens}
    return tokenizer.encode([characters(prompt)], **options)[0]


def _new_tokens(config: GenerationConfig, prompt: int) -> int:
    if config.max_new_tokens is not None:
        return config.max_new_tokens
    if config.max_length is None:
        return NEW_TOKENS
    if config.max_length <= prompt:
        raise ValueError(f"max_length: expected more than the {prompt} tokens of the prompt, got {config.max_length}")
    return config.max_length - prompt


def before_stop(pieces: Iterable[str], stop_strings: Sequence[str]) -> Iterator[str]:
    """Pieces of a text up to the first stop string; text that may become part of one is held back.

    Example:
        >>> list(before_stop(["a", "b", "ab", "c", "d"], ["abc"]))
        ['ab']
    """
    waiting = ""
    for piece in pieces:
        waiting += piece
        found = [at for string in stop_strings if (at := waiting.find(string)) >= 0]
        if found:
            waiting = waiting[: min(found)]
            break
        begun = (at for at in range(len(waiting)) if any(string.startswith(waiting[at:]) for string in stop_strings))
        settled = next(begun, len(waiting))
        if settled:
            yield waiting[:settled]
            waiting = waiting[settled:]
    if waiting:
        yield waiting


def _tokens(model: CausalLM, ids: list[int], count: int, config: GenerationConfig) -> Iterator[int]:
    least = config.min_new_tokens or 0
    while count > 0:
        capacity = model.config.max_length + 1 - len(ids)
        if capacity < 1:  # only without a limit on positions: the prompt is read as a whole, whatever its length
            capacity = model.config.max_length
        limit = min(count, capacity)
        new = []
        window = replace(config, max_new_tokens=limit, min_new_tokens=min(least, limit) or None)
        for token in _written(model, ids, window):
            new.append(token)
            yield token
        if len(new) < limit:  # it has ended by itself
            return
        count, least = count - limit, max(least - limit, 0)
        ids = [*ids, *new][-max(model.config.max_length // 2, 1) :]
        if config.seed is not None:
            config = replace(config, seed=config.seed + 1)


def _written(model: CausalLM, ids: list[int], config: GenerationConfig) -> Iterable[int]:
    if config.num_beams == 1:
        return stream(model, ids, config=config)
    return generate(model, [ids], config=config)[0].ids


class Generation(Task[str]):
    """Text generation task: a causal language model, by default nanoGPT's character-level recipe for a CPU."""

    name = "generate"
    aim = "Continue a text"
    model = CausalLM
    held_out_unit = "per cent of the text, its end,"
    options = ("skip_bad",)
    defaults = Defaults(
        data=("topics",),
        held_out=10,
        vocab_size=0,
        batch_tokens=768,
        architecture=PRESETS["nano"],
        training=TrainingConfig(
            steps=2000,
            optimizer="adamw",
            betas=(0.9, 0.99),
            eps=1e-8,
            weight_decay=0.1,
            schedule="cosine",
            lr=2e-3,  # twice nanoGPT's, which learns as stably and gets lower
            final_factor=0.1,
            warmup=100,
            label_smoothing=0.0,
            evaluate_every=250,
        ),
    )

    def read(self, choice: DataChoice, spool: Path | None = None) -> Examples[str]:
        if not 0 <= choice.held_out < 100:
            raise ValueError(f"held_out: expected 0 to 99 per cent of the text, got {choice.held_out}")
        texts = language_text(choice.data, skip_bad=choice.skip_bad, spool=spool)
        notes = (f"left out: {texts.faults}",) if texts.faults else ()
        train: Sequence[str]
        if isinstance(texts, Blocks):
            cut = texts.stop * (100 - choice.held_out) // 100
            train, end = Blocks(texts.records, cut), texts.rest(cut)
        else:
            text = "\n".join(texts)
            cut = len(text) * (100 - choice.held_out) // 100
            train, end = [text[:cut]], text[cut:]
        return Examples(train, [end] if choice.held_out else [], notes)

    def learn_tokens(self, examples: Examples[str], vocab_size: int) -> Tokenizer:
        if vocab_size:
            return Tokenizer.train(pieces(examples.train), vocab_size)
        return Tokenizer.characters(chain(examples.train, examples.held_out))  # the whole alphabet

    def batches(
        self, examples: Sequence[str], tokenizer: Tokenizer, config: TransformerConfig, tokens: int, seed: int
    ) -> WindowBatches:
        if tokens > MAX_BATCH_TOKENS:
            raise ValueError(f"batch_tokens: expected at most {MAX_BATCH_TOKENS:,}, got {tokens:,}")
        ids = self._ids(examples, tokenizer)
        _check_longer(ids, config)
        return WindowBatches(ids, config.max_length, max(tokens // config.max_length, 1), seed)

    def held_out_batches(
        self, examples: Sequence[str], tokenizer: Tokenizer, config: TransformerConfig, tokens: int, seed: int
    ) -> TextBatches:
        ids = self._ids(examples, tokenizer)
        _check_longer(ids, config)
        return TextBatches(ids, config.max_length, max(tokens // config.max_length, 1))

    def _ids(self, examples: Sequence[str], tokenizer: Tokenizer) -> np.ndarray[Any, Any]:
        def encoded() -> Iterator[np.ndarray[Any, Any]]:
            for piece in pieces(examples):
                yield np.array(tokenizer.encode([piece], add_special_tokens=False)[0], np.int32)

        if isinstance(examples, Stored):
            identity = (examples.key, tokenizer.to_json())
            return spooled(examples.records.path, "ids", identity, np.int32, encoded).values
        return np.concatenate([np.zeros(0, np.int32), *encoded()])

    def show(self, model: Any, tokenizer: Tokenizer, example: str) -> Sample:
        prompt = example[: max(1, min(20, model.config.max_length // 4))]  # a character is at most four tokens
        choices: dict[str, Any] = {"do_sample": True, "temperature": 0.8, "seed": 0}
        pieces = continuation(model, tokenizer, prompt, SHOWN, **choices)
        return Sample(prompt, "".join(islice(pieces, SHOWN)))

    def evaluate(
        self,
        model: Any,
        tokenizer: Tokenizer,
        examples: Sequence[str],
        choices: dict[str, Any],
        progress: Progress = silent,
        group: Group = ALONE,
    ) -> Report:
        block = min(model.config.max_length, WINDOW)
        data = TextBatches(self._ids(examples, tokenizer), block, max(self.defaults.batch_tokens // block, 1))
        batches = list(data.epoch(0, Share(group.rank, group.size)))
        with progress("reading", len(batches)) as advance:

            def counted() -> Iterator[Batch]:
                for batch in batches:
                    yield batch
                    advance(1)

            loss = held_out_loss(model, counted(), group)
        characters = sum(map(len, examples)) / max(len(data.ids), 1)
        bits = loss / math.log(2) / characters
        line = f"loss {loss:.4f} nats a token, perplexity {math.exp(loss):.2f}, {bits:.3f} bits a character"
        return Report({"loss": loss, "bits_per_character": bits}, line)

    def special_ids(self, tokenizer: Tokenizer) -> dict[str, int | None]:
        return {**super().special_ids(tokenizer), "pad_id": None}  # a text has no padding


def _check_longer(ids: np.ndarray[Any, Any], config: TransformerConfig) -> None:
    """Refuse a text that is shorter than a window and its last label."""
    if len(ids) <= config.max_length:
        raise ValueError(
            f"max_length: expected less than the tokens of the training and of the held-out text, one of which has "
            f"{len(ids):,}, got {config.max_length}"
        )
