"""Masked language modelling by an encoder. Devlin et al., 2019 (BERT), section 3.1, task 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.distributed import ALONE, Group
from transformer.data.batches import IGNORED, MaskedBatches
from transformer.data.normalization import passage
from transformer.data.records import Stored, chunks
from transformer.data.share import Share
from transformer.data.spool import spooled
from transformer.data.tokenizer import MASK, PLACEHOLDER, SPECIAL, Tokenizer, with_masks
from transformer.model.config import TransformerConfig
from transformer.pretrained import MaskedLM
from transformer.tasks.corpora import language_passages, split
from transformer.tasks.reporting import Progress, Sample, silent
from transformer.tasks.task import DataChoice, Defaults, Examples, Report, Task
from transformer.train import TrainingConfig


@dataclass(frozen=True)
class Candidate:
    """Candidate for a masked token, with its probability."""

    text: str
    probability: float


def fill(model: MaskedLM, tokenizer: Tokenizer, text: str, count: int = 5) -> list[list[Candidate]]:
    """Fill masks: the likeliest tokens for each ``[MASK]`` of a text.

    Args:
        model, tokenizer: as trained together.
        text: with at least one ``[MASK]``, read as a passage of a corpus: in Unicode NFC, its words one space apart.
        count: of candidates for each.

    Raises:
        ValueError: there is no mask in the text, no mask token in the tokenizer, or too much text for the model.
    """
    if PLACEHOLDER not in text:
        raise ValueError(f"text: expected at least one {PLACEHOLDER}, got {text[:60]!r}")
    if tokenizer.mask_id is None:
        raise ValueError("tokenizer: has no mask token; expected that of a masked language model")
    if not 1 <= count <= tokenizer.vocab_size:
        raise ValueError(f"count: expected 1 to {tokenizer.vocab_size:,}, got {count}")
    (ids,) = tokenizer.encode([with_masks(passage(text), tokenizer)], split_special_tokens=False)
    with mg.no_grad(), model.evaluating():
        probabilities = mg.softmax(model(np.array([ids])), -1).numpy()[0]
    found = []
    for place in np.flatnonzero(np.array(ids) == tokenizer.mask_id).tolist():
        best = np.argsort(-probabilities[place], kind="stable")[:count].tolist()
        texts = tokenizer.tokens(best)
        found.append([Candidate(t, float(probabilities[place, i])) for t, i in zip(texts, best, strict=True)])
    return found


class Filling(Task[str]):
    """Fill-mask task: predict the masked tokens of a passage."""

    name = "fill"
    aim = "Fill in missing words"
    model = MaskedLM
    held_out_unit = "passages"
    defaults = Defaults(
        data=("topics",),
        held_out=200,
        vocab_size=2000,
        batch_tokens=4096,
        architecture={
            "d_model": 192,
            "d_ff": 768,
            "encoder_layers": 4,
            "decoder_layers": 0,
            "norm_first": True,
            "activation": "gelu",
            "max_length": 256,
        },
        training=TrainingConfig(
            steps=2000,
            optimizer="adamw",
            betas=(0.9, 0.98),
            weight_decay=0.01,
            schedule="linear",
            lr=1e-3,
            warmup=200,
            label_smoothing=0.0,
            evaluate_every=250,
        ),
    )

    def read(self, choice: DataChoice, spool: Path | None = None) -> Examples[str]:
        passages = language_passages(choice.data, skip_bad=choice.skip_bad, spool=spool)
        parts = split(passages, str, held_out=choice.held_out, seed=choice.split_seed)
        return Examples(*parts, (f"left out: {passages.faults}",) if passages.faults else ())

    def learn_tokens(self, examples: Examples[str], vocab_size: int) -> Tokenizer:
        return Tokenizer.train(examples.train, vocab_size, special=(*SPECIAL, MASK))

    def prepare(self, model: Any, tokenizer: Tokenizer, choice: DataChoice) -> Tokenizer:
        if tokenizer.mask_id is None:
            raise ValueError("mask_token: the tokenizer has none; expected one to hide words with")
        if model.config.mask_id is None:
            model.config = replace(model.config, mask_id=tokenizer.mask_id)
        return tokenizer

    def batches(
        self, examples: Sequence[str], tokenizer: Tokenizer, config: TransformerConfig, tokens: int, seed: int
    ) -> MaskedBatches:
        limit = config.max_length
        special = {i for i in self.special_ids(tokenizer).values() if i is not None}

        def cut() -> Iterator[list[int]]:
            for ids in (ids for chunk in chunks(examples) for ids in tokenizer.encode(chunk)):
                parts = _parts(ids, limit, tokenizer.bos_id)
                yield from (part for part in parts if not special.issuperset(part))  # the end has nothing to predict

        pieces: Sequence[Any]
        if isinstance(examples, Stored):
            identity, dtype = (examples.key, tokenizer.to_json(), limit), np.min_scalar_type(tokenizer.vocab_size - 1)
            pieces = spooled(examples.records.path, "ids", identity, dtype, cut)
        else:
            pieces = list(cut())
        return MaskedBatches(
            pieces, tokens, tokenizer.vocab_size, tokenizer.mask_id or 0, config.pad_id or 0, special, seed=seed
        )

    def show(self, model: Any, tokenizer: Tokenizer, example: str) -> Sample:
        words = example.split()[:12]
        while len(words) > 1 and len(tokenizer.encode([" ".join(words)])[0]) > model.config.max_length:
            words.pop()
        hidden, words[len(words) // 2] = words[len(words) // 2], PLACEHOLDER
        guess = fill(model, tokenizer, " ".join(words), 3)[0]
        shown = ", ".join(f"{candidate.text.strip()} {candidate.probability:.0%}" for candidate in guess)
        return Sample(f"{' '.join(words)} → ", shown, f"  ({hidden})")

    def evaluate(
        self,
        model: Any,
        tokenizer: Tokenizer,
        examples: Sequence[str],
        choices: dict[str, Any],
        progress: Progress = silent,
        group: Group = ALONE,
    ) -> Report:
        data = self.batches(examples, tokenizer, model.config, self.defaults.batch_tokens, seed=0)
        sums = np.zeros(3)  # of losses, of right tokens, of all
        batches = list(data.epoch(0, Share(group.rank, group.size)))
        with progress("filling", len(batches)) as advance, mg.no_grad(), model.evaluating():
            for batch in batches:
                chosen = batch.labels != IGNORED
                if chosen.any():
                    logits, labels = model(*batch.inputs).data[chosen], batch.labels[chosen]
                    loss = mg.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
                    sums += (loss, (logits.argmax(-1) == labels).sum(), len(labels))
                advance(1)
        group.all_reduce(sums)
        loss, right, count = sums.tolist()
        loss, accuracy = loss / count, 100 * right / count
        line = (
            f"{count:,.0f} hidden tokens: loss {loss:.3f} nats, perplexity {np.exp(loss):.2f}, right {accuracy:.1f} %"
        )
        return Report({"loss": loss, "accuracy": accuracy}, line)


def _parts(ids: list[int], limit: int, bos_id: int | None) -> Iterator[list[int]]:
    """Parts of an encoded passage of at most ``limit`` tokens, each surrounded as the passage is, if it is."""
    if len(ids) <= limit:
        yield ids
        return
    ends = int(ids[0] == bos_id and limit > 2)  # tokens on either side that each part gets
    body, size = ids[ends : len(ids) - ends], limit - 2 * ends
    for start in range(0, len(body), size):
        yield [*ids[:ends], *body[start : start + size], *ids[len(ids) - ends :]]
