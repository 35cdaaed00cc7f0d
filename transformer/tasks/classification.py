"""Classification of texts. Devlin et al., 2019 (BERT), section 4.1."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad.distributed import ALONE, Group
from transformer.data.batches import pad
from transformer.data.labelled import LabelledBatches
from transformer.data.normalization import check_texts
from transformer.data.parallel import Pair
from transformer.data.share import Share
from transformer.data.tokenizer import Tokenizer
from transformer.model.config import TransformerConfig
from transformer.pretrained import CausalLM, Decoder, Encoder, MaskedLM, SequenceClassifier, TokenClassifier
from transformer.tasks.corpora import labelled_texts, split
from transformer.tasks.reporting import Progress, Sample, silent
from transformer.tasks.task import DataChoice, Defaults, Examples, Report, Task
from transformer.train import TrainingConfig

BATCH = 32  # texts that are classified at once


class Prediction(NamedTuple):
    """Predicted label of a text, with its probability; of a regression, the number itself."""

    label: str
    probability: float


def classify(model: SequenceClassifier, tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[Prediction]]:
    """Classify texts: the predictions of all labels for each, the likeliest first. Long texts are truncated.

    Args:
        model, tokenizer: as trained together.
        texts: the texts.

    Raises:
        ValueError: a text has no tokens.
    """
    check_texts("texts", texts)
    encoded = _encoded(tokenizer, texts, model.config)
    for number, ids in enumerate(encoded, 1):
        if not ids:
            raise ValueError(f"texts: expected some text, number {number} has no tokens")
    found = []
    for start in range(0, len(encoded), BATCH):
        rows = encoded[start : start + BATCH]
        real = np.arange(max(map(len, rows))) < np.array([len(ids) for ids in rows])[:, None]
        with mg.no_grad(), model.evaluating():
            scores = model(pad(rows, model.config.pad_id or 0), real)
        if model.config.problem == "single_label_classification":
            scores = mg.softmax(scores, -1)
        elif model.config.problem == "multi_label_classification":
            scores = mg.nn.functional.sigmoid(scores)
        found += scores.numpy().tolist()
    labelled = ([Prediction(*one) for one in zip(model.config.labels, row, strict=True)] for row in found)
    return [sorted(row, key=lambda one: -one.probability) for row in labelled]


def f1(right: np.ndarray[Any, Any]) -> float:
    """Macro F1 of a confusion matrix (L, L), true labels by predicted ones: the mean over labels that occur, 0 to 1.

    Example:
        >>> f1(np.array([[3, 1], [0, 4]])).__round__(3)
        0.873
    """
    both = right.sum(0) + right.sum(1)
    return float((2 * np.diag(right)[both > 0] / both[both > 0]).mean())


class Classification(Task[Pair]):
    """Classification task: examples are pairs of a text and its label."""

    name = "classify"
    aim = "Classify texts"
    model = SequenceClassifier
    stacks = (Encoder, MaskedLM, TokenClassifier, Decoder, CausalLM)  # which get a new head
    held_out_unit = "texts"
    defaults = Defaults(
        data=(),
        held_out=200,
        vocab_size=2000,
        batch_tokens=2048,
        architecture={
            "d_model": 128,
            "d_ff": 512,
            "encoder_layers": 2,
            "decoder_layers": 0,
            "norm_first": True,
            "activation": "gelu",
            "max_length": 256,
            "pooling": "mean",
        },
        training=TrainingConfig(
            steps=1000,
            optimizer="adamw",
            betas=(0.9, 0.98),
            weight_decay=0.01,
            schedule="linear",
            lr=1e-3,
            warmup=100,
            label_smoothing=0.0,
            evaluate_every=100,
        ),
    )

    def read(self, choice: DataChoice, spool: Path | None = None) -> Examples[Pair]:
        pairs = labelled_texts(choice.data, skip_bad=choice.skip_bad, spool=spool)
        parts = split(pairs, lambda pair: pair[0], held_out=choice.held_out, seed=choice.split_seed)
        return Examples(*parts, (f"left out: {pairs.faults}",) if pairs.faults else ())

    def learn_tokens(self, examples: Examples[Pair], vocab_size: int) -> Tokenizer:
        return Tokenizer.train((text for text, _ in examples.train), vocab_size)

    def fields(self, examples: Examples[Pair]) -> dict[str, Any]:
        return {"labels": tuple(sorted({label for _, label in chain(examples.train, examples.held_out)}))}

    def batches(
        self, examples: Sequence[Pair], tokenizer: Tokenizer, config: TransformerConfig, tokens: int, seed: int
    ) -> LabelledBatches:
        numbers = {label: number for number, label in enumerate(config.labels)}
        if unknown := sorted({label for _, label in examples} - numbers.keys()):
            raise ValueError(f"labels: expected some of {', '.join(config.labels):.200}, got {unknown[0]!r:.80}")
        texts = _encoded(tokenizer, [text for text, _ in examples], config)
        labels = [numbers[label] for _, label in examples]
        return LabelledBatches(texts, labels, tokens, config.pad_id or 0, seed)

    def show(self, model: Any, tokenizer: Tokenizer, example: Pair) -> Sample:
        text, label = example
        (best, *_), *_ = classify(model, tokenizer, [text])
        shown = text if len(text) <= 60 else text[:60] + "…"
        return Sample(f"{shown} → ", f"{best.label} {best.probability:.0%}", f"  ({label})")

    def evaluate(
        self,
        model: Any,
        tokenizer: Tokenizer,
        examples: Sequence[Pair],
        choices: dict[str, Any],
        progress: Progress = silent,
        group: Group = ALONE,
    ) -> Report:
        if model.config.problem != "single_label_classification":
            raise ValueError(f"problem_type: expected single_label_classification, got {model.config.problem}")
        data = self.batches(examples, tokenizer, model.config, self.defaults.batch_tokens, seed=0)
        right = np.zeros((len(model.config.labels),) * 2)  # true labels by predicted ones
        batches = list(data.epoch(0, Share(group.rank, group.size)))
        with progress("classifying", len(batches)) as advance, mg.no_grad(), model.evaluating():
            for batch in batches:
                if batch.targets:
                    np.add.at(right, (batch.labels, model(*batch.inputs).numpy().argmax(-1)), 1)
                advance(1)
        group.all_reduce(right)
        count = right.sum()
        accuracy, macro, usual = 100 * np.trace(right) / count, 100 * f1(right), 100 * right.sum(1).max() / count
        line = f"{count:,.0f} texts: accuracy {accuracy:.1f} % (of the most frequent label {usual:.1f} %), "
        return Report({"accuracy": accuracy, "macro_f1": macro}, f"{line}macro F1 {macro:.1f} %")


def _encoded(tokenizer: Tokenizer, texts: Sequence[str], config: TransformerConfig) -> list[list[int]]:
    """Ids of texts; those that are too long lose what comes before their last token."""
    limit = config.max_length
    encoded = tokenizer.encode(texts)
    return [ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]] for ids in encoded]
