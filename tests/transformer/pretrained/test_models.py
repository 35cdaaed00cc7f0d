"""The public model classes: plain models, with generation and model directories."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transformer
from tests.transformer.conftest import small
from transformer.model import models, stacks

PLAIN = [models.Transformer, models.CausalLM, models.MaskedLM, stacks.Encoder, stacks.Decoder]


@pytest.mark.parametrize("plain", PLAIN, ids=lambda plain: plain.__name__)
def test_a_public_class_is_the_plain_one_of_its_name_and_adds_nothing_to_it(plain: Any) -> None:
    public = getattr(transformer, plain.__name__)
    assert issubclass(public, plain) and public is not plain
    assert hasattr(public, "save_pretrained") and not hasattr(plain, "save_pretrained")
    assert not hasattr(plain, "generate") and not hasattr(plain, "begin")
    assert {plain.__name__: public}.items() <= transformer.PretrainedModel.kinds.items()


def test_the_stacks_of_a_public_model_are_public_themselves(tmp_path: Path) -> None:
    model = transformer.Transformer(small()).eval()
    assert type(model.encoder) is transformer.Encoder and type(model.decoder) is transformer.Decoder
    model.encoder.save_pretrained(tmp_path)
    ids = np.array([[5, 6, 7]])
    np.testing.assert_array_equal(transformer.from_pretrained(tmp_path)(ids).data, model.encoder(ids).data)


def test_a_plain_model_computes_as_the_public_one_does() -> None:
    public = transformer.CausalLM(small())
    plain = models.CausalLM(small())
    plain.load_state_dict(public.state_dict())
    ids = np.array([[5, 6, 7]])
    np.testing.assert_array_equal(plain.eval()(ids).data, public.eval()(ids).data)


def test_a_model_is_copied_with_its_generation_settings() -> None:
    model = transformer.CausalLM(small()).eval()
    model.generation = transformer.GenerationConfig(num_beams=2)
    made = copy.deepcopy(model)
    assert type(made) is transformer.CausalLM and made.generation == model.generation and repr(made) == repr(model)
    assert transformer.CausalLM(small()).generation == transformer.GenerationConfig()
