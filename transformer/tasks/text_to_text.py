"""Text-to-text tasks: translation and summarization by an encoder-decoder."""

from __future__ import annotations

import dataclasses
import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minigrad.distributed import ALONE, Group
from transformer.data.batches import EncodedPair, Ids, PairBatches
from transformer.data.parallel import Pair, first_sentence
from transformer.data.records import Pairs, Selection, Stored, chunks, select
from transformer.data.share import Share
from transformer.data.spool import spooled
from transformer.data.tokenizer import Tokenizer
from transformer.data.validation import Corpus
from transformer.decode import GenerationConfig
from transformer.evaluate import rouge, score, transduce
from transformer.model.config import TransformerConfig
from transformer.pretrained import Transformer
from transformer.tasks.corpora import phrases, split, summary_pairs, translation_pairs
from transformer.tasks.reporting import Progress, Sample, silent
from transformer.tasks.task import DataChoice, Defaults, Examples, Report, Task
from transformer.train import TrainingConfig

PAPER_SEARCH = GenerationConfig(length_penalty=0.6, length_penalty_form="paper")  # section 6.1, where there are beams


class TextToText(Task[Pair]):
    """Text-to-text task: examples are pairs of source and target."""

    model = Transformer
    generation = PAPER_SEARCH
    held_out_unit = "pairs"
    cut: ClassVar[bool]  # truncate sources that are too long
    writing: ClassVar[str]  # activity shown during evaluation

    @abstractmethod
    def pairs(self, choice: DataChoice, spool: Path | None) -> Corpus[Pair] | Pairs[str]:
        """All pairs of the corpus."""

    def read(self, choice: DataChoice, spool: Path | None = None) -> Examples[Pair]:
        pairs = self.pairs(choice, spool)
        held_out, seed = choice.held_out, choice.split_seed
        parts = split(pairs, lambda pair: pair[0], held_out=held_out, seed=seed, group=self.group)
        return Examples(*parts, (f"left out: {pairs.faults}",) if pairs.faults else ())

    def group(self, source: str) -> str:
        """Group of a source: one group is never on both sides of the split."""
        return source

    def learn_tokens(self, examples: Examples[Pair], vocab_size: int) -> Tokenizer:
        return Tokenizer.train((text for pair in examples.train for text in pair), vocab_size)

    def lengths(self, examples: Sequence[Pair], tokenizer: Tokenizer, config: TransformerConfig) -> Ids:
        return _longer_sides(self._encoded(examples, tokenizer, config))

    def batches(
        self, examples: Sequence[Pair], tokenizer: Tokenizer, config: TransformerConfig, tokens: int, seed: int
    ) -> PairBatches:
        pairs = self._encoded(examples, tokenizer, config)
        lengths = _longer_sides(pairs)
        for place in np.flatnonzero(lengths > config.max_length)[:1].tolist():
            raise ValueError(
                f"max_length: expected texts of at most {config.max_length} tokens, got {lengths[place]} in "
                f"{examples[place][0][:60]!r}"
            )
        return PairBatches(pairs, tokens, config.pad_id or 0, config.start_id or 0, seed)

    def prepare(self, model: Any, tokenizer: Tokenizer, choice: DataChoice) -> Tokenizer:
        if model.config.start_id is None:
            raise ValueError("decoder_start_token_id: expected the token that targets begin with, got none")
        return tokenizer

    def _encoded(
        self, examples: Sequence[Pair], tokenizer: Tokenizer, config: TransformerConfig
    ) -> Sequence[EncodedPair]:
        """Ids of examples; stored ones are tokenized once, with all others of their corpus."""
        if isinstance(examples, Selection):
            return select(self._encoded(examples.items, tokenizer, config), examples.places)
        if not isinstance(examples, Stored):
            return list(self._ids(examples, tokenizer, config))
        identity = (tokenizer.to_json(), tokenizer.target_language, config.max_length if self.cut else None)
        dtype = np.min_scalar_type(tokenizer.vocab_size - 1)

        def sides() -> Iterator[Any]:
            return chain.from_iterable(self._ids(examples, tokenizer, config))

        return Pairs(spooled(examples.records.path, "ids", identity, dtype, sides))

    def _ids(self, examples: Sequence[Pair], tokenizer: Tokenizer, config: TransformerConfig) -> Iterator[EncodedPair]:
        max_length, end = config.max_length, [] if config.eos_id is None else [config.eos_id]
        of_targets = tokenizer.of_targets
        for chunk in chunks(examples):
            sources = tokenizer.encode([source for source, _ in chunk])
            targets = of_targets.encode([target for _, target in chunk])
            # mBART's have the token of their language behind their end
            targets = [ids if ids[-1:] == end or ids[-2:-1] == end else [*ids, *end] for ids in targets]
            if self.cut:
                sources = [ids if len(ids) <= max_length else [*ids[: max_length - 1], ids[-1]] for ids in sources]
            yield from zip(sources, targets, strict=True)

    def show(self, model: Any, tokenizer: Tokenizer, example: Pair) -> Sample:
        source, reference = example
        (found,) = transduce(model, tokenizer, [source], cut=self.cut)
        shown = source if len(source) <= 60 else source[:60] + "…"
        return Sample(f"{shown} → ", found, reference=reference)

    def evaluate(
        self,
        model: Any,
        tokenizer: Tokenizer,
        examples: Sequence[Pair],
        choices: dict[str, Any],
        progress: Progress = silent,
        group: Group = ALONE,
    ) -> Report:
        sources, references = [pair[0] for pair in examples], [pair[1] for pair in examples]
        share = Share(group.rank, group.size)
        own = [] if share.idle(len(sources)) else sources[share.rows(len(sources))]
        with progress(self.writing, len(own)) as advance:
            texts = transduce(model, tokenizer, own, cut=self.cut, advance=advance, **choices)
        everyone = group.all_gather(json.dumps(texts).encode())
        return self.report(sources, references, [text for part in everyone for text in json.loads(part)])

    @abstractmethod
    def report(self, sources: Sequence[str], references: Sequence[str], texts: list[str]) -> Report:
        """Score the texts against the references."""


def _longer_sides(pairs: Sequence[EncodedPair]) -> Ids:
    """Lengths of the longer sides of pairs (N,)."""
    if isinstance(pairs, Stored):
        return pairs.lengths.max(1)
    return np.array([max(len(source), len(target)) for source, target in pairs], np.int64)


def between_languages(model: Any, tokenizer: Tokenizer, source: str | None, target: str | None) -> Tokenizer:
    """Prepare a model for the translation between two languages that its vocabulary has tokens for.

    Targets begin with their language's token: in the place of the start token where the model has none of its own
    (mBART), or after it (mBART-50, M2M-100, NLLB). Their language is the model's where it has been given one before.

    Returns:
        The tokenizer that marks sources with their language, and of whose targets the language is known.

    Raises:
        ValueError: there is no such language, or no target for a model of many languages.
    """
    languages = tokenizer.languages
    if target is not None:
        token = tokenizer.language_id(target)
        changes = {"forced_bos_token_id": token}
        if model.config.decoder_start_id in (None, *languages.values()):
            model.config = dataclasses.replace(model.config, decoder_start_id=token)
            forced = changes if model.generation.forced_bos_token_id in languages.values() else {}
            changes = {"decoder_start_token_id": token, **forced}
        model.generation = dataclasses.replace(model.generation, **changes)
    elif languages:
        named = {token: language for language, token in languages.items()}
        target = named.get(model.generation.forced_bos_token_id) or named.get(model.config.decoder_start_id)
        if target is None:
            some = ", ".join(sorted(languages)[:5])
            raise ValueError(f"target-language: this model writes {len(languages)} languages, name one: {some} …")
    return tokenizer.with_languages(source, target)


class Translation(TextToText):
    """Translation task. "Attention Is All You Need", section 6.1."""

    name = "translate"
    aim = "Translate sentences"
    options = ("reverse", "split_seed", "skip_bad", "source_language", "target_language")
    cut = False
    writing = "translating"
    # Found by experiment on two cores: a training on a hundred thousand sentences ends within twenty minutes.
    defaults = Defaults(
        data=(),
        held_out=500,
        vocab_size=4000,
        batch_tokens=2048,
        architecture={"d_model": 192, "d_ff": 768, "encoder_layers": 2, "decoder_layers": 2},
        training=TrainingConfig(steps=3000, schedule="linear", evaluate_every=500),
    )

    def read(self, choice: DataChoice, spool: Path | None = None) -> Examples[Pair]:
        if len(choice.data) == 1 and choice.data[0].startswith("cldr:"):
            (name,) = choice.data
            return Examples(*phrases(name, reverse=choice.reverse, held_out=choice.held_out, seed=choice.split_seed))
        return super().read(choice, spool)

    def pairs(self, choice: DataChoice, spool: Path | None) -> Corpus[Pair] | Pairs[str]:
        return translation_pairs(choice.data, reverse=choice.reverse, skip_bad=choice.skip_bad, spool=spool)

    def prepare(self, model: Any, tokenizer: Tokenizer, choice: DataChoice) -> Tokenizer:
        tokenizer = between_languages(model, tokenizer, choice.source_language, choice.target_language)
        return super().prepare(model, tokenizer, choice)

    def report(self, sources: Sequence[str], references: Sequence[str], texts: list[str]) -> Report:
        found = score(texts, references)
        line = (
            f"exact match {100 * found.exact_match:.1f} % ({found.exact:,} of {found.count:,})   "
            f"sacreBLEU {found.bleu:.2f}   {found.signature}"
        )
        return Report({"exact_match": 100 * found.exact_match, "bleu": found.bleu}, line, texts)


class Summarization(TextToText):
    """Summarization task. Texts are truncated to the model's positions."""

    name = "summarize"
    aim = "Summarize texts"
    cut = True
    writing = "summarizing"
    # Found by experiment: the standard library's docstrings are few, and longer trainings memorise them.
    defaults = Defaults(
        data=("docstrings",),
        held_out=500,
        vocab_size=4000,
        batch_tokens=4096,
        architecture={
            "d_model": 192,
            "d_ff": 768,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "max_length": 256,
            "norm_first": True,
            "dropout": 0.2,
        },
        training=TrainingConfig(steps=1000, schedule="linear", lr=2e-3, evaluate_every=250),
    )

    def group(self, source: str) -> str:
        return first_sentence(source)  # packages of one family have similar descriptions

    def pairs(self, choice: DataChoice, spool: Path | None) -> Corpus[Pair] | Pairs[str]:
        return summary_pairs(choice.data, skip_bad=choice.skip_bad, spool=spool)

    def report(self, sources: Sequence[str], references: Sequence[str], texts: list[str]) -> Report:
        ours, lead = rouge(texts, references), rouge([first_sentence(source) for source in sources], references)
        scores = "   ".join(f"{kind.upper()} {ours[kind]:.1f} (lead {lead[kind]:.1f})" for kind in ours)
        line = f"{len(texts):,} summaries: {scores}   F-measures, stemmed; lead: the first sentence of the text"
        return Report({**ours, **{f"lead_{kind}": value for kind, value in lead.items()}}, line, texts)
