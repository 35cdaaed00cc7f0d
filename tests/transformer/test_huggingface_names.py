"""Hugging Face's names and arguments: each works, or the error names ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transformer
from tests.transformer.conftest import small
from transformer import (
    CausalLM,
    Decoder,
    Encoder,
    MaskedLM,
    PretrainedModel,
    Tokenizer,
    Trainer,
    TrainingConfig,
    Transformer,
    TransformerConfig,
    from_pretrained,
)
from transformer.huggingface_names import HINTS, OF_CALL, OF_TOKENIZER, OF_TRAINING

IDS = np.array([[5, 6, 7]])
TEXTS = ["one two", "three", "two </s> one"]


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner in HINTS for name in HINTS[owner]])
def test_a_name_of_hugging_face_is_an_error_that_names_ours(owner: str, name: str, tokenizer: Tokenizer) -> None:
    model = CausalLM(small())
    things = {
        "transformer": transformer,
        "Tokenizer": tokenizer,
        "model": model,
        "model.config": model.config,
        "tokenizer(…)": tokenizer("one"),
        "model(…)": model(IDS),
    }
    thing = things[owner]
    assert not hasattr(thing, name) and name not in dir(thing)
    with pytest.raises(AttributeError, match=f"^{name}: ") as error:
        getattr(thing, name)
    assert str(error.value).endswith(HINTS[owner][name])


@pytest.mark.parametrize("name", OF_CALL)
def test_what_else_a_call_there_can_be_asked_for_is_told(name: str) -> None:
    for model, inputs in ((CausalLM(small()), (IDS,)), (MaskedLM(small()), (IDS,)), (Transformer(small()), (IDS, IDS))):
        with pytest.raises(TypeError, match=f"^{type(model).__name__}: {name}: "):
            model(*inputs, **{name: None})


@pytest.mark.parametrize("name", OF_TRAINING)
def test_a_training_argument_is_told(name: str) -> None:
    for kind in (TrainingConfig, Trainer):
        with pytest.raises(TypeError, match=f"^{kind.__name__}: {name}: "):
            kind(**{name: None})


def test_a_setting_without_effect_is_told_and_arguments_too(tokenizer: Tokenizer) -> None:
    with pytest.raises(AttributeError, match=r"^padding_side: leave it out"):
        tokenizer.padding_side = "left"  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"^decode: skip_special_tokens: leave it out"):
        tokenizer.decode([[5]], skip_special_tokens=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^TransformerConfig: n_embd: use d_model"):
        TransformerConfig(vocab_size=9, n_embd=8)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^texts: expected a list of texts, got None"):
        tokenizer(None)  # type: ignore[arg-type]


def test_padding_has_hugging_faces_words(tokenizer: Tokenizer) -> None:
    assert tokenizer(TEXTS, padding="longest") == tokenizer(TEXTS, padding=True)
    assert tokenizer(TEXTS, padding="do_not_pad") == tokenizer(TEXTS)
    with pytest.raises(ValueError, match=r"^padding: expected .*, got 'max_length'"):
        tokenizer(TEXTS, padding="max_length")


def test_an_unknown_name_or_argument_stays_unknown(tokenizer: Tokenizer) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'xyzzy'"):
        _ = transformer.xyzzy
    with pytest.raises(TypeError, match="'xyzzy'"):
        CausalLM(small())(IDS, xyzzy=1)
    with pytest.raises(TypeError, match="'xyzzy'"):
        tokenizer("one", xyzzy=1)


@pytest.mark.parametrize("kind", [Transformer, CausalLM, MaskedLM, Encoder, Decoder])
def test_every_class_loads_its_own_directory_and_no_other(kind: type[PretrainedModel], tmp_path: Path) -> None:
    model = kind(small(**({"encoder_layers": 0} if kind is Decoder else {})))
    model.save_pretrained(tmp_path)
    for load in (kind.from_pretrained, PretrainedModel.from_pretrained, from_pretrained):
        loaded = load(tmp_path)
        assert type(loaded) is kind and not loaded.training
        assert loaded.num_parameters() == model.num_parameters() == sum(p.size for p in model.parameters())
    other = MaskedLM if kind is not MaskedLM else CausalLM
    with pytest.raises(ValueError, match=f"expected a {other.__name__}, got a {kind.__name__}"):
        other.from_pretrained(tmp_path)


def test_a_tokenizer_is_called_for_the_inputs_of_a_model(tokenizer: Tokenizer) -> None:
    assert len(tokenizer) == tokenizer.vocab_size and tokenizer
    one, several = tokenizer(TEXTS[0]), tokenizer(TEXTS)
    assert [one["input_ids"]] == tokenizer.encode(TEXTS[:1]) and set(one["attention_mask"]) == {1}
    assert several["input_ids"][:2] == tokenizer.encode(TEXTS[:2])
    assert several["input_ids"][2].count(tokenizer.eos_id) == 2  # the name of a special token is that token
    padded = tokenizer(TEXTS, padding=True, return_tensors="np")
    for row, ids, mask in zip(several["input_ids"], padded["input_ids"], padded["attention_mask"], strict=True):
        assert ids[: len(row)].tolist() == row and set(ids[len(row) :]) <= {tokenizer.pad_id}
        assert mask.tolist() == [1] * len(row) + [0] * (len(ids) - len(row))
    logits = CausalLM(small(vocab_size=len(tokenizer))).eval()(**padded)
    assert logits.shape == (*padded["input_ids"].shape, len(tokenizer))
    assert tokenizer(TEXTS[0], return_tensors="np", add_special_tokens=False)["input_ids"].shape[0] == 1


@pytest.mark.parametrize("name", OF_TOKENIZER)
def test_what_else_a_tokenizer_there_can_be_asked_for_is_told(name: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(TypeError, match=f"^tokenizer: {name}: "):
        tokenizer("one", **{name: True})


def test_arrays_need_one_length_and_padding_a_token(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="padding: expected True"):
        tokenizer(TEXTS, return_tensors="np")
    with pytest.raises(ValueError, match="return_tensors: expected 'np' or None, got 'pt'"):
        tokenizer(TEXTS, return_tensors="pt")
    with pytest.raises(ValueError, match="padding: this tokenizer has no token for it"):
        Tokenizer.characters("ab")(["a", "ab"], padding=True)


@pytest.mark.peers
def test_a_call_is_hugging_faces(tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
    theirs: Any = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), pad_token="<pad>"
    )
    for options in ({}, {"padding": True}, {"add_special_tokens": False}):
        for text in (TEXTS[0], TEXTS):
            ours, expected = tokenizer(text, **options), theirs(text, return_token_type_ids=False, **options)
            assert ours == dict(expected), options
    ours, expected = (each(TEXTS, padding=True, return_tensors="np") for each in (tokenizer, theirs))
    np.testing.assert_array_equal(ours["input_ids"], expected["input_ids"])


@pytest.mark.peers
def test_every_told_name_is_hugging_faces() -> None:
    transformers = pytest.importorskip("transformers")
    assert [name for name in HINTS["transformer"] if not hasattr(transformers, name)] == []
    tokenizer, model = transformers.PreTrainedTokenizerFast, transformers.PreTrainedModel
    absent = {name for name in HINTS["Tokenizer"] if not hasattr(tokenizer, name)}
    of_instances = {name for name in absent if name.endswith(("_id", "_token", "_length"))}
    assert absent - of_instances <= {"encode_plus", "batch_encode_plus"}  # of version 4
    of_instances = {name for name in HINTS["model"] if not hasattr(model, name)}
    assert of_instances == {"generation_config", "lm_head"}
