"""The translation task from texts to a trained model directory: what ``demo`` and ``train translate`` share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

import minigrad as mg
from transformer import console
from transformer.config import TransformerConfig
from transformer.data import Pair
from transformer.data.batches import PairBatches
from transformer.evaluate import Score, score, translate
from transformer.extras import require
from transformer.models import Transformer
from transformer.tokenizers import Tokenizer
from transformer.train import Step, Trainer, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """The part of a :class:`TransformerConfig` that does not follow from the tokenizer."""

    d_model: int
    d_ff: int
    layers: int  # in the encoder and in the decoder
    vocab_size: int
    num_heads: int = 4
    dropout: float = 0.1
    norm_first: bool = False
    max_length: int = 512  # tokens of a sentence


@dataclass(frozen=True)
class Trained:
    """A model, its tokenizer and the steps that made it."""

    model: Transformer
    tokenizer: Tokenizer
    steps: list[Step]


def train_translator(
    pairs: Sequence[Pair],
    held_out: Sequence[Pair],
    sizes: ModelSizes,
    training: TrainingConfig,
    batch_tokens: int,
    directory: str | os.PathLike[str],
) -> Trained:
    """Learn the tokens, train the model with progress on standard error, and save it, also when interrupted.

    Args:
        pairs: what to learn from.
        held_out: pairs whose first is retranslated as training goes on.
        sizes: of the model.
        training: how to train.
        batch_tokens: padded tokens of a batch, on the longer of its two sides.
        directory: the model directory to write; its parent must exist or be creatable.
    """
    directory = Path(directory)
    require("tokenizers", "text")
    if held_out:
        require("sacrebleu", "text")
    directory.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=directory).close()  # an unwritable place is found before the training, not after it
    tokenizer = Tokenizer.train((text for pair in pairs for text in pair), sizes.vocab_size)
    config = TransformerConfig(
        vocab_size=tokenizer.vocab_size,
        d_model=sizes.d_model,
        num_heads=sizes.num_heads,
        d_ff=sizes.d_ff,
        encoder_layers=sizes.layers,
        decoder_layers=sizes.layers,
        dropout=sizes.dropout,
        norm_first=sizes.norm_first,
        max_length=sizes.max_length,
        pad_id=tokenizer.pad_id,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
    )
    encoded = _encoded(tokenizer, pairs, config.max_length)
    _encoded(tokenizer, held_out, config.max_length)
    mg.manual_seed(training.seed)
    model = Transformer(config)
    count = sum(parameter.size for parameter in model.parameters())
    console.err.print(
        f"{len(pairs):,} pairs, {tokenizer.vocab_size:,} tokens, {count:,} parameters, {training.steps:,} steps"
    )
    data = PairBatches(encoded, batch_tokens, tokenizer.pad_id, tokenizer.bos_id, training.seed)
    trainer = Trainer(model, data, training)
    steps: list[Step] = []
    example = _example(model, tokenizer, held_out[0]) if held_out else None
    try:
        console.watch(trainer, training.steps, steps.append, example)
    finally:
        if steps:  # whatever ended the training, what was learned is kept
            model.save_pretrained(directory, tokenizer)
            if len(steps) < training.steps:
                console.err.print(f"stopped after step {len(steps)}; the model so far is in {directory}")
    return Trained(model, tokenizer, steps)


def _encoded(tokenizer: Tokenizer, pairs: Sequence[Pair], longest: int) -> list[tuple[list[int], list[int]]]:
    """The ids of all pairs, or an error that shows the first one that is too long."""
    sides = [tokenizer.encode([pair[side] for pair in pairs]) for side in (0, 1)]
    encoded = list(zip(*sides, strict=True))
    for pair, ids in zip(pairs, encoded, strict=True):
        if max(map(len, ids)) > longest:
            raise ValueError(
                f"max_length: expected sentences of at most {longest} tokens, got {max(map(len, ids))} in "
                f"{pair[0][:60]!r}"
            )
    return encoded


def _example(model: Transformer, tokenizer: Tokenizer, pair: Pair) -> Callable[[], Text]:
    source, reference = pair

    def show() -> Text:
        (translation,) = translate(model, tokenizer, [source])
        ink = "green" if translation == reference else "yellow"
        return Text.assemble(("held out  ", "bold"), f"{source} → ", (console.clipped(translation, reference), ink))

    return show


def evaluate_translator(
    model: Transformer, tokenizer: Tokenizer, pairs: Sequence[Pair], num_beams: int = 1, length_penalty: float = 0.6
) -> tuple[list[str], Score]:
    """Translate the sources of all pairs, with progress on standard error, and compare with their targets."""
    sources = [source for source, _ in pairs]
    with console.counting("translating", len(pairs)) as advance:
        translations = translate(
            model, tokenizer, sources, num_beams=num_beams, length_penalty=length_penalty, advance=advance
        )
    return translations, score(translations, [target for _, target in pairs])


def report(score: Score) -> str:
    """A score in one line, with the signature that makes its BLEU comparable."""
    return (
        f"exact match {100 * score.exact_match:.1f} % ({score.exact:,} of {score.count:,})   "
        f"sacreBLEU {score.bleu:.2f}   {score.signature}"
    )
