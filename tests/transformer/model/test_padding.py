"""Padding: by a mask, or by an id without another meaning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.transformer.conftest import model_in_float64, small
from transformer import CausalLM, GenerationConfig, MaskedLM, Transformer, from_pretrained
from transformer.data.batches import PairBatches
from transformer.train.objective import batch_loss

SHARED = [{"eos_id": 5}, {"bos_id": 5}, {"eos_id": 5, "bos_id": 5}, {"mask_id": 5}]


@pytest.mark.parametrize("roles", SHARED)
@pytest.mark.parametrize("kind", [CausalLM, MaskedLM, Transformer])
def test_a_pad_token_with_another_meaning_is_text_where_no_mask_says_otherwise(kind: type, roles: dict) -> None:
    model = model_in_float64(kind, pad_id=5, **roles)
    ids = np.array([[7, 5, 8, 5], [5, 9, 5, 5]])
    target = (np.array([[1, 6], [1, 7]]),) if kind is Transformer else ()
    ones = np.ones_like(ids)
    np.testing.assert_array_equal(model(ids, *target).detach(), model(ids, *target, ones).detach())
    ones[1, 2:] = 0
    assert not np.allclose(model(ids, *target).detach()[1], model(ids, *target, ones).detach()[1])


@pytest.mark.parametrize("roles", SHARED[:3])
@pytest.mark.parametrize("kind", [CausalLM, Transformer])
def test_a_text_of_such_tokens_can_be_continued(kind: type, roles: dict) -> None:
    model = model_in_float64(kind, pad_id=5, **roles)
    ids, settings = [[5], [7]], {"max_new_tokens": 4, "eos_token_id": ()}
    together = model.generate(ids, **settings)
    assert together == model.generate(ids, attention_mask=np.ones((2, 1)), **settings)
    assert together == [model.generate([row], **settings)[0] for row in ids]


@pytest.mark.parametrize("ends", [{"eos_token_id": [3, 5]}, {"bos_token_id": 5}])
def test_special_tokens_of_the_generation_settings_count_too(ends: dict) -> None:
    model = model_in_float64(CausalLM, pad_id=5)
    model.generation = GenerationConfig(pad_token_id=5, **ends)
    assert model.generate([[7, 5, 8]], max_new_tokens=3) == model.generate(
        [[7, 5, 8]], attention_mask=[[1, 1, 1]], max_new_tokens=3
    )
    assert model.generate([[5]], max_new_tokens=1)


def test_gpt2_with_the_end_for_padding_reads_packed_documents_whole(tmp_path: Path) -> None:
    config = {"positions": "learned", "norm_first": True, "activation": "gelu_tanh", "scale_embedding": False}
    CausalLM(
        small(encoder_layers=0, tie="output", init_std=0.02, **config, bos_id=3, eos_id=3, pad_id=3)
    ).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["pad_token_id"] == 3
    model = from_pretrained(tmp_path)
    packed = np.array([[7, 8, 3, 9, 10, 3, 11]])
    np.testing.assert_array_equal(model(packed).detach(), model(packed, np.ones_like(packed)).detach())


@pytest.mark.parametrize("positions", ["relative", "rotary", "alibi", "none"])
def test_relative_positions_have_no_end(positions: str) -> None:
    sizes = {"positions": positions, "max_length": 8}
    writer, translator = CausalLM(small(encoder_layers=0, **sizes)).eval(), Transformer(small(**sizes)).eval()
    long = np.arange(40)[None] % 200 + 5
    assert len(writer.generate(long, max_new_tokens=3, eos_token_id=())[0].ids) == 3
    assert len(writer.generate(long[:, :5], eos_token_id=())[0].ids) == 4  # what is left of the trained length
    assert len(writer.generate(long, eos_token_id=())[0].ids) == 8
    assert len(translator.generate(long, max_new_tokens=20, eos_token_id=())[0].ids) == 20


def test_a_translator_whose_end_is_its_padding_learns_from_a_batch_as_from_each_pair_alone() -> None:
    model = model_in_float64(Transformer, pad_id=2, eos_id=2)
    pairs = [([7, 8, 9, 2], [5, 2]), ([7, 2], [6, 5, 2])]
    (batch,) = PairBatches(pairs, tokens=64, pad_id=2, bos_id=1).epoch(0)
    alone = [PairBatches([pair], tokens=64, pad_id=2, bos_id=1).batch([pair]) for pair in pairs]
    together = batch_loss(model, batch).item() * batch.targets
    assert together == pytest.approx(sum(batch_loss(model, one).item() * one.targets for one in alone), rel=1e-6)
    assert len(PairBatches([([7, 3], [5, 3])], tokens=64, pad_id=2, bos_id=1).batch([([7, 3], [5, 3])]).inputs) == 2
