"""Encoders and classifiers of Hugging Face: what is refused, and old or unusual directories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import no_grad
from minigrad.io import load, save
from tests.transformer.conftest import small
from transformer import Encoder, SequenceClassifier, TransformerConfig, from_pretrained
from transformer.pretrained.huggingface import FAMILIES

BERT: dict[str, Any] = {
    "positions": "learned",
    "embedding_norm": True,
    "activation": "gelu",
    "init_std": 0.02,
    "scale_embedding": False,
    "output_bias": True,
    "token_types": 2,
    "decoder_layers": 0,
}
LABELS = ("bad", "good")


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("albert", {"inner_group_num": 2}, "inner_group_num: models here know only 1, got 2"),
        ("albert", {"num_hidden_groups": 13}, "num_hidden_groups: expected at most one for each of 12 layers, got 13"),
        ("mpnet", {"relative_attention_num_buckets": 64}, "relative_attention_num_buckets: .* only 32, got 64"),
        ("mpnet", {"pad_token_id": 0}, "pad_token_id: models here know only 1, got 0"),
        ("roberta", {"is_decoder": True}, "is_decoder: models here know only False, got True"),
        ("roberta", {"max_position_embeddings": 2}, "max_position_embeddings: expected at least 1, got 0"),
        ("electra", {"embedding_size": 0}, "embedding_size: expected at least 1, got 0"),
        ("modernbert", {"hidden_activation": "mish"}, "hidden_activation: expected one of 'silu'"),
        (
            "modernbert",
            {"rope_scaling": {"rope_type": "yarn", "factor": 2}},
            "rope_scaling: models here know only 'default', got 'yarn'",
        ),
        ("modernbert", {"layer_types": ["other"]}, "layer_types: expected sliding_attention and full_attention"),
        ("bert", {"id2label": {"0": "a", "2": "b"}}, "id2label: expected labels of 0 to 1, got 0, 2"),
        ("bert", {"id2label": {"0": "a", "1": "a"}}, "id2label: expected each once, got a, a"),
        ("bert", {"problem_type": "ranking"}, "problem_type: expected one of single_label_classification"),
        ("modernbert", {"classifier_pooling": "max"}, "classifier_pooling: expected one of 'cls', 'mean', got 'max'"),
    ],
)
def test_settings_that_cannot_be_expressed_are_named(family: str, settings: dict[str, Any], message: str) -> None:
    table = FAMILIES[family]
    (texts,) = (one for one in table.architectures.values() if one.kind == "SequenceClassifier")
    with pytest.raises(ValueError, match=message):
        table.read(settings, texts)


@pytest.mark.parametrize(
    ("settings", "labels", "problem"),
    [
        ({}, ("LABEL_0", "LABEL_1"), "single_label_classification"),
        ({"num_labels": 1}, ("LABEL_0",), "regression"),
        ({"num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2"), "single_label_classification"),
        ({"id2label": {"1": "b", "0": "a"}, "label2id": {"LABEL_0": 0}}, ("a", "b"), "single_label_classification"),
        (
            {"id2label": {0: "a", 1: "b"}, "problem_type": "multi_label_classification"},
            ("a", "b"),
            "multi_label_classification",
        ),
    ],
)
def test_labels_are_those_that_transformers_would_have(
    settings: dict[str, Any], labels: tuple[str, ...], problem: str
) -> None:
    config = FAMILIES["bert"].read(settings, FAMILIES["bert"].architectures["BertForSequenceClassification"])
    assert (config.labels, config.problem) == (labels, problem)


def test_a_classifier_that_is_a_bert_is_written_as_one(tmp_path: Path) -> None:
    SequenceClassifier(small(labels=LABELS, head_activation="tanh", **BERT)).save_pretrained(tmp_path)
    document = json.loads((tmp_path / "config.json").read_text())
    assert document["architectures"] == ["BertForSequenceClassification"]
    assert document["id2label"] == {"0": "bad", "1": "good"} and document["label2id"] == {"bad": 0, "good": 1}
    other = SequenceClassifier(small(labels=LABELS, head_activation="tanh", pooling="max", **BERT))
    other.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "transformer"
    assert from_pretrained(tmp_path).config == other.config


def test_a_discriminator_is_its_encoder(tmp_path: Path) -> None:
    encoder = Encoder(small(d_embedding=6, **BERT)).eval()
    encoder.family = "electra"
    encoder.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    document = json.loads(path.read_text())
    assert document["model_type"] == "electra" and document["architectures"] == ["ElectraModel"]
    path.write_text(json.dumps(document | {"architectures": ["ElectraForPreTraining"]}))
    arrays = {f"electra.{name}": array for name, array in load(tmp_path / "model.safetensors").items()}
    arrays |= {"discriminator_predictions.dense.bias": np.zeros(3, np.float32)}
    save(arrays, tmp_path / "model.safetensors")
    with pytest.warns(UserWarning, match=r"no use for the weights discriminator_predictions\.dense\.bias"):
        again = from_pretrained(tmp_path)
    ids = np.array([[5, 6, 7]])
    with no_grad():
        np.testing.assert_array_equal(again(ids).numpy(), encoder(ids).numpy())


def test_an_old_modernbert_has_the_bases_of_its_rotations_apart() -> None:
    config = FAMILIES["modernbert"].read({"global_rope_theta": 99.0, "local_rope_theta": 7.0})
    assert (config.rotary_base, config.rotary_local_base) == (99.0, 7.0)
    assert config.global_layers == (0, 3, 6, 9, 12, 15, 18, 21) and config.window == 65


def test_layers_that_share_weights_have_them_once_in_the_file(tmp_path: Path) -> None:
    fields = {**BERT, "encoder_layers": 4, "layer_groups": 2, "d_embedding": 6}
    encoder = Encoder(TransformerConfig(vocab_size=50, d_model=16, num_heads=2, d_ff=16, **fields))
    encoder.save_pretrained(tmp_path)
    names = load(tmp_path / "model.safetensors").keys()
    groups = {name.split("albert_layer_groups.")[1][0] for name in names if "albert_layer_groups" in name}
    assert groups == {"0", "1"}
    assert from_pretrained(tmp_path).num_parameters() == encoder.num_parameters()
