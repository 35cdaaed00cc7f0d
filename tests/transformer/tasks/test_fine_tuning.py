"""Texts of a pretrained model's training are surrounded as its family has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as Library, models, pre_tokenizers, processors

from transformer import (
    CausalLM,
    Encoder,
    LoraConfig,
    MaskedLM,
    SequenceClassifier,
    TokenClassifier,
    Tokenizer,
    Transformer,
    TransformerConfig,
    from_pretrained,
)
from transformer.tasks import TASKS, DataChoice, Settings, train
from transformer.train import TrainingConfig

WORDS = [f"w{i}" for i in range(20)]


def words(special: list[str], around: str | None) -> Tokenizer:
    """A tokenizer of words, which surrounds texts like this."""
    library = Library(models.WordLevel({token: i for i, token in enumerate([*special, *WORDS])}, unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    library.add_special_tokens(special)
    if around is not None:
        tokens = [(token, i) for i, token in enumerate(special)]
        library.post_processor = processors.TemplateProcessing(single=around, special_tokens=tokens)
    return Tokenizer(library.to_str(), {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"})


SPECIAL = ["<unk>", "[CLS]", "[SEP]", "[MASK]"]


@pytest.mark.parametrize("around", [None, "$A [SEP]", "[CLS] $A [SEP]"])
@pytest.mark.parametrize("start", [0, 2, None])
def test_a_target_begins_with_the_decoders_start_and_ends_once(around: str | None, start: int | None) -> None:
    tokenizer = words(SPECIAL, around)
    config = TransformerConfig(vocab_size=len(tokenizer), pad_id=0, bos_id=1, eos_id=2, decoder_start_id=start)
    (batch,) = TASKS["translate"].batches([("w1 w2", "w3 w4")], tokenizer, config, 64, 0).epoch(0)
    target = [*([1] if around == "[CLS] $A [SEP]" else []), 7, 8, 2]
    assert batch.labels.tolist() == [target]
    assert batch.inputs[1].tolist() == [[1 if start is None else start, *target[:-1]]]


@pytest.mark.parametrize("limit", [3, 4, 7, 50])
def test_each_part_of_a_long_passage_is_surrounded(limit: int) -> None:
    tokenizer = words(SPECIAL, "[CLS] $A [SEP]")
    config = TransformerConfig(vocab_size=len(tokenizer), pad_id=0, bos_id=None, eos_id=None, max_length=limit)
    data: Any = TASKS["fill"].batches([" ".join(WORDS)], tokenizer, config, 64, 0)
    pieces = [list(piece) for piece in data.sequences]
    assert all(len(piece) <= limit and (piece[0], piece[-1]) == (1, 2) for piece in pieces)
    assert [i for piece in pieces for i in piece[1:-1]] == list(range(4, 24))
    for batch in data.epoch(0):
        assert np.isin(batch.labels[:, 0], -100).all()  # [CLS] is never hidden


def test_settings_that_contradict_each_other_are_refused() -> None:
    how: dict[str, Any] = {"batch_tokens": 8, "training": TrainingConfig(steps=1)}
    with pytest.raises(ValueError, match="vocab_size: expected a number, got None"):
        Settings(architecture={}, vocab_size=None, **how)


SIZES: dict[str, Any] = {"vocab_size": 24, "d_model": 16, "num_heads": 2, "d_ff": 20, "max_length": 32}
BEGINNINGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "bert": (MaskedLM, TransformerConfig.preset("bert-base", **SIZES, encoder_layers=2, mask_id=3)),
    "llama": (CausalLM, TransformerConfig.preset("llama-nano", **SIZES, decoder_layers=2, pad_id=0)),
    "transformer": (MaskedLM, TransformerConfig(**SIZES, encoder_layers=2, positions="alibi", decoder_layers=0)),
    "transformer, an encoder": (Encoder, TransformerConfig(**SIZES, encoder_layers=2, decoder_layers=0)),
    "transformer, causal": (CausalLM, TransformerConfig(**SIZES, encoder_layers=0, decoder_layers=2)),
    "bert, of tokens": (
        TokenClassifier,
        TransformerConfig.preset("bert-base", **SIZES, encoder_layers=2, mask_id=3, labels=("x", "y")),
    ),
}


@pytest.fixture
def reviews(tmp_path: Path) -> DataChoice:
    path = tmp_path / "reviews.tsv"
    path.write_text("".join(f"w{i} w{i + 1}\t{'good' if i % 2 else 'bad'}\n" for i in range(16)))
    return DataChoice(data=(str(path),), held_out=4)


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_classifier_begins_with_the_stack_of_another_model(
    beginning: str, reviews: DataChoice, tmp_path: Path
) -> None:
    kind, config = BEGINNINGS[beginning]
    tokenizer, directory, out = words(SPECIAL, "[CLS] $A [SEP]"), tmp_path / "old", tmp_path / "new"
    kind(config).save_pretrained(directory, tokenizer)
    still = TrainingConfig(steps=1, lr=1e-12, warmup=1, schedule="constant", optimizer="sgd", seed=7)
    how: dict[str, Any] = {"architecture": {}, "vocab_size": None, "batch_tokens": 64, "training": still}
    train(TASKS["classify"], reviews, Settings(pretrained=directory, **how), out)
    before, after = from_pretrained(directory), from_pretrained(out)
    assert isinstance(after, SequenceClassifier)
    assert after.config.labels == ("bad", "good")
    families = [json.loads((path / "config.json").read_text())["model_type"] for path in (directory, out)]
    assert families[0] in ("transformer", families[1])
    stack, known = after.state_dict(), before.state_dict()
    if kind is Encoder:
        known = {f"encoder.{name}": value for name, value in known.items()}
    shared = [name for name in stack if name.startswith(("encoder.", "decoder."))]
    assert len(shared) > 10
    for name in shared:
        np.testing.assert_allclose(stack[name].data, known[name].data, atol=1e-9)
    new = [name for name in stack if name not in shared and name.endswith("weight")]
    assert all(np.abs(stack[name].data).max() > 0 for name in new) and new
    assert not np.allclose(stack["output.weight"].data, getattr(known.get("output.weight"), "data", 0))
    scores = after(np.array([[1, 5, 6], [1, 7, 9]])).detach().numpy()
    assert not np.array_equal(scores[0], scores[1])  # all tokens count
    with pytest.raises(ValueError, match="lora: adapts a SequenceClassifier, whose head is trained before"):
        train(
            TASKS["classify"], reviews, Settings(pretrained=directory, adapter=LoraConfig(r=2), **how), tmp_path / "3"
        )


def test_a_model_of_another_task_is_no_classifiers_beginning(reviews: DataChoice, tmp_path: Path) -> None:
    config = TransformerConfig(**SIZES, encoder_layers=1, decoder_layers=1)
    Transformer(config).save_pretrained(tmp_path / "old", words(SPECIAL, None))
    how: dict[str, Any] = {"architecture": {}, "vocab_size": None, "batch_tokens": 64}
    settings = Settings(pretrained=tmp_path / "old", training=TrainingConfig(steps=1), **how)
    with pytest.raises(ValueError, match=r"expected one of SequenceClassifier, .*CausalLM to classify with, got a T"):
        train(TASKS["classify"], reviews, settings, tmp_path / "new")
