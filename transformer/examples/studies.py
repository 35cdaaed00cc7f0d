"""Comparisons of recurrent layers with a Transformer: copy memory, translation, and training speed.

In each of them all models have about as many parameters, and make the same steps of the same trainer on the same
batches; only the learning rate is each model's own.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from transformer.cli import console
from transformer.data import cldr
from transformer.data.batches import Data, PairBatches, WindowBatches
from transformer.data.tokenizer import Tokenizer
from transformer.evaluate import score, transduce
from transformer.examples.copy_memory import VOCABULARY, CopyMemory, memoryless_loss, recall
from transformer.examples.joined_phrases import joined
from transformer.examples.recurrent import KINDS, RecurrentConfig, RecurrentLM, RecurrentTranslator, of_size, size
from transformer.model.config import TransformerConfig
from transformer.pretrained import CausalLM, Transformer
from transformer.train import Step, Trainer, TrainingConfig, held_out_loss

TRANSFORMER = "Transformer"
MODELS = (*KINDS, TRANSFORMER)
LEARNING_RATES = {"RNN": 1e-3, "LSTM": 3e-3, "GRU": 3e-3, TRANSFORMER: 3e-3}
BYTES = 256  # the vocabulary of the speed comparison, in which nothing is learned
Builders = dict[str, Callable[[], Any]]  # a model by its name


@dataclass(frozen=True)
class Memory:
    """Copy memory result of a model at a distance."""

    model: str
    distance: int
    parameters: int
    loss: float  # held out, nats a position
    memoryless: float  # loss of the memoryless baseline
    recall: float  # share of the symbols; 1/8 is chance
    seconds: float  # of the training


@dataclass(frozen=True)
class Quality:
    """Translation result of a model on held-out sources of about the same length."""

    model: str
    phrases: int  # of a source
    tokens: float  # of a source, on average
    count: int
    parameters: int
    bleu: float
    exact_match: float  # percent
    signature: str  # sacreBLEU's
    seconds: float  # of the training


@dataclass(frozen=True)
class Speed:
    """Training speed of a model at a sequence length."""

    model: str
    length: int
    batch: int
    parameters: int
    tokens_per_second: float  # of the median step


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """Settings of copy memory: a training for each distance and model costs O(steps · batch · distance)."""

    distances: tuple[int, ...] = (10, 25, 50, 100, 200)
    steps: int = 500
    batch: int = 16
    held_out: int = 16  # batches
    d_model: int = 64


@dataclass(frozen=True, kw_only=True)
class TranslationSettings:
    """Settings of translation: a training for each model costs O(steps · tokens)."""

    phrases: int = 20_000
    held_out_phrases: int = 1000
    texts: int = 20_000
    held_out: int = 360
    most: int = 6  # phrases of the longest texts
    steps: int = 700
    tokens: int = 1536  # of a batch
    vocabulary: int = 1500
    d_model: int = 128


@dataclass(frozen=True, kw_only=True)
class SpeedSettings:
    """Settings of speed: a measurement costs O(steps · tokens), with attention O(steps · tokens · length)."""

    lengths: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024)
    tokens: int = 4096  # of a batch, however long its rows are
    steps: int = 3  # that count; one before them does not
    d_model: int = 128


def memory(settings: MemorySettings, seed: int) -> Iterator[Memory]:
    """Copy memory: new models for each distance. Source: see :mod:`transformer.examples.copy_memory`."""
    for distance in settings.distances:
        data = CopyMemory(distance, settings.batch, settings.steps, seed)
        held_out = CopyMemory(distance, settings.batch, settings.held_out, seed + 1)
        for name, build in _memory_models(settings).items():
            model, seconds = _trained(
                f"copy memory over {distance}: {name}", build, data, _training(name, settings.steps, 0.0, seed)
            )
            loss = held_out_loss(model, held_out.epoch(0))
            yield Memory(name, distance, size(model), loss, memoryless_loss(distance), recall(model, held_out), seconds)


def translation(settings: TranslationSettings, seed: int) -> Iterator[Quality]:
    """Translation, English to German: CLDR phrases, by their number in a text. No held-out phrase is trained on."""
    drawn = cldr.corpus("en", "de", count=settings.phrases, held_out=settings.held_out_phrases, seed=seed)
    train, held_out = (
        joined(phrases, count, settings.most, seed)
        for phrases, count in zip(drawn, (settings.texts, settings.held_out), strict=True)
    )
    tokenizer = Tokenizer.train((text for pair in train for text in pair), settings.vocabulary)
    sources, targets = (tokenizer.encode([pair[side] for pair in train]) for side in (0, 1))
    pad, bos = tokenizer.pad_id or 0, tokenizer.bos_id or 0
    data = PairBatches(list(zip(sources, targets, strict=True)), settings.tokens, pad, bos, seed)
    longest = max(map(len, [*sources, *targets]))
    for name, build in _translators(settings, tokenizer, 2 * longest).items():
        model, seconds = _trained(f"translation: {name}", build, data, _training(name, settings.steps, 0.1, seed))
        with console.counting(f"translating: {name}", len(held_out)) as advance:
            texts = transduce(model, tokenizer, [source for source, _ in held_out], advance=advance)
        for phrases in range(1, settings.most + 1):
            chosen = slice(phrases - 1, None, settings.most)  # as `joined` deals them out
            of_length = held_out[chosen]
            found = score(texts[chosen], [target for _, target in of_length])
            tokens = statistics.mean(map(len, tokenizer.encode([source for source, _ in of_length])))
            percent = 100 * found.exact_match
            yield Quality(
                name, phrases, tokens, found.count, size(model), found.bleu, percent, found.signature, seconds
            )


def speed(settings: SpeedSettings, seed: int) -> Iterator[Speed]:
    """Training speed on random bytes, in rows of growing length with the same total number of tokens."""
    text = np.random.default_rng(seed).integers(0, BYTES, 16 * settings.tokens)
    for length in settings.lengths:
        batch = max(settings.tokens // length, 1)
        for name, build in _speed_models(settings, max(settings.lengths)).items():
            mg.manual_seed(seed)
            model = build()
            steps = list(
                Trainer(model, WindowBatches(text, length, batch, seed), _training(name, 1 + settings.steps, 0.0, seed))
            )
            seconds = statistics.median(step.seconds for step in steps[1:])  # the first may compile kernels
            yield Speed(name, length, batch, size(model), steps[0].tokens / seconds)


def _training(name: str, steps: int, label_smoothing: float, seed: int) -> TrainingConfig:
    return TrainingConfig(
        steps=steps,
        lr=LEARNING_RATES[name],
        schedule="cosine",
        warmup=math.ceil(steps / 10),
        label_smoothing=label_smoothing,
        seed=seed,
    )


def _trained(what: str, build: Callable[[], nn.Module], data: Data, config: TrainingConfig) -> tuple[Any, float]:
    """Train a model with progress output; returns it and the seconds."""
    mg.manual_seed(config.seed)
    model = build()
    console.err.print(f"{what}, {size(model):,} parameters")
    start = time.perf_counter()
    console.watch(Trainer(model, data, config), config.steps, _ignore)
    return model, time.perf_counter() - start


def _ignore(step: Step) -> None:
    """Callback that ignores a step."""


def _memory_models(settings: MemorySettings) -> Builders:
    config = TransformerConfig(
        vocab_size=VOCABULARY,
        d_model=settings.d_model,
        d_ff=2 * settings.d_model,
        encoder_layers=0,
        decoder_layers=2,
        positions="rotary",
        norm_first=True,
        dropout=0.0,
        pad_id=None,
        bos_id=None,
        eos_id=None,
    )
    return _language_models(config, layers=1)


def _speed_models(settings: SpeedSettings, longest: int) -> Builders:
    config = TransformerConfig(
        vocab_size=BYTES,
        d_model=settings.d_model,
        d_ff=4 * settings.d_model,
        encoder_layers=0,
        decoder_layers=2,
        norm_first=True,
        dropout=0.0,
        max_length=longest,
        pad_id=None,
    )
    return _language_models(config, layers=2)


def _language_models(config: TransformerConfig, layers: int) -> Builders:
    """Language models: the Transformer of a configuration, and recurrent models of its size."""
    parameters = size(CausalLM(config))

    def rival(kind: Any) -> RecurrentLM:
        sizes = RecurrentConfig(
            kind=kind, vocab_size=config.vocab_size, d_model=config.d_model, layers=layers, dropout=config.dropout
        )
        return of_size(RecurrentLM, sizes, parameters)

    return _by_name(rival, lambda: CausalLM(config))


def _translators(settings: TranslationSettings, tokenizer: Tokenizer, max_length: int) -> Builders:
    special = {"pad_id": tokenizer.pad_id, "bos_id": tokenizer.bos_id, "eos_id": tokenizer.eos_id}
    common: dict[str, Any] = {
        "vocab_size": tokenizer.vocab_size,
        "d_model": settings.d_model,
        "max_length": max_length,
        **special,
    }
    config = TransformerConfig(d_ff=4 * settings.d_model, encoder_layers=2, decoder_layers=2, **common)
    parameters = size(Transformer(config))

    def rival(kind: Any) -> RecurrentTranslator:
        return of_size(RecurrentTranslator, RecurrentConfig(kind=kind, layers=2, **common), parameters)

    return _by_name(rival, lambda: Transformer(config))


def _by_name(rival: Callable[[str], nn.Module], transformer: Callable[[], nn.Module]) -> Builders:
    return {name: (lambda kind=name: rival(kind)) for name in KINDS} | {TRANSFORMER: transformer}
