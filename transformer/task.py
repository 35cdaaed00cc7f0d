"""The translation task from texts to a trained model directory: what ``demo`` and ``train translate`` share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

import minigrad as mg
from transformer import console
from transformer.config import TransformerConfig
from transformer.data import Pair
from transformer.evaluate import Score, score, translate
from transformer.models import Transformer
from transformer.pretrained import save_pretrained
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


@dataclass(frozen=True)
class Trained:
    """A model, its tokenizer and the steps that made it."""

    model: Transformer
    tokenizer: Tokenizer
    steps: list[Step]
    interrupted: bool


def train_translator(
    pairs: Sequence[Pair],
    held_out: Sequence[Pair],
    sizes: ModelSizes,
    training: TrainingConfig,
    directory: str | os.PathLike[str],
    watch_example: bool = True,
) -> Trained:
    """Learn the tokens, train the model with progress on standard error, and save it, also when interrupted.

    Args:
        pairs: what to learn from.
        held_out: pairs whose first is retranslated as training goes on.
        sizes: of the model.
        training: how to train.
        directory: the model directory to write; its parent must exist or be creatable.
        watch_example: whether to show the retranslation.
    """
    Path(directory).mkdir(parents=True, exist_ok=True)  # an unwritable place is found before the training
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
        pad_id=tokenizer.pad_id,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
    )
    sources = tokenizer.encode([source for source, _ in pairs])
    targets = tokenizer.encode([target for _, target in pairs])
    mg.manual_seed(training.seed)
    model = Transformer(config)
    count = sum(parameter.size for parameter in model.parameters())
    console.err.print(
        f"{len(pairs):,} pairs, {tokenizer.vocab_size:,} tokens, {count:,} parameters, {training.steps:,} steps"
    )
    trainer = Trainer(model, list(zip(sources, targets, strict=True)), training)
    steps: list[Step] = []
    interrupted = False
    example = _example(model, tokenizer, held_out[0]) if watch_example and held_out else None
    try:
        console.watch(trainer, training.steps, steps.append, example)
    except KeyboardInterrupt:
        interrupted = True
    save_pretrained(model, tokenizer, directory)
    return Trained(model, tokenizer, steps, interrupted)


def _example(model: Transformer, tokenizer: Tokenizer, pair: Pair) -> Callable[[], Text]:
    source, reference = pair

    def show() -> Text:
        (translation,) = translate(model, tokenizer, [source])
        ink = "green" if translation == reference else "yellow"
        return Text.assemble(("held out  ", "bold"), f"{source} → ", (translation[: 2 * len(reference) + 20], ink))

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
