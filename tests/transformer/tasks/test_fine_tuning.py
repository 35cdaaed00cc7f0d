"""Texts of a pretrained model's training are surrounded as its family has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as Library, models, pre_tokenizers, processors

from transformer import Tokenizer, TransformerConfig
from transformer.tasks import TASKS, Settings
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
