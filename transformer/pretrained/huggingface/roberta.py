"""RoBERTa, XLM-R and CamemBERT, which have BERT's layers, and MPNet: positions begin after the number of padding.

Liu et al., 2019: "RoBERTa"; Conneau et al., 2020: "Unsupervised cross-lingual representation learning at scale"; Martin
et al., 2020: "CamemBERT"; Song et al., 2020: "MPNet: Masked and permuted pre-training".
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from transformer.model.config import TransformerConfig
from transformer.pretrained.huggingface.bert import (
    BUFFERS,
    CONSTANTS,
    FIXED,
    LAYER,
    REST,
    SETTINGS,
    SIZES,
    encoder_classes,
    encoder_places,
    output_matrix,
    unused,
)
from transformer.pretrained.huggingface.family import Array, Family, Layout, Place, Setting, with_defaults

HEAD: dict[str, str | Place] = {
    "transform": "lm_head.dense",
    "norm": "lm_head.layer_norm",
    "output": "lm_head.decoder",
    "output.bias": "lm_head.bias",
}
CLASSIFIER = {"transform": "classifier.dense", "output": "classifier.out_proj"}
HEADS = ("lm_head.", "classifier.")
TOKENS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


def _join(parts: list[Array], config: TransformerConfig) -> Array:
    unread = np.zeros(((config.pad_id or 0) + 1, parts[0].shape[1]), parts[0].dtype)
    return np.concatenate([unread, parts[0]])


AFTER_PADDING = Layout(lambda array, shapes, config: [array[(config.pad_id or 0) + 1 :]], _join)
PLACES = Setting(
    "max_position_embeddings",
    "max_length",
    512,
    convert=lambda rows, settings: rows - settings["pad_token_id"] - 1,
    revert=lambda config: config.max_length + (config.pad_id or 0) + 1,
)


def with_places(settings: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """Settings in which the number of positions counts the rows that are never read, those up to padding's."""
    return tuple(PLACES if setting.theirs == PLACES.theirs else setting for setting in settings)


ROBERTA = Family(
    model_type="roberta",
    architectures=encoder_classes("Roberta", HEAD, CLASSIFIER, masked={"head_activation": "gelu"}),
    settings=with_defaults(with_places(SETTINGS), vocab_size=50265, **TOKENS),
    constants=CONSTANTS,
    fixed=FIXED,
    places=encoder_places("roberta.")
    | {"encoder.positions": Place("roberta.embeddings.position_embeddings", AFTER_PADDING)},
    prefix="roberta.",
    heads=HEADS,
    buffers=BUFFERS,
    unused=unused("roberta.", HEADS),
    **output_matrix("lm_head.decoder", "roberta.embeddings.word_embeddings", "lm_head.bias"),
)


def _sibling(model_type: str, name: str, **defaults: Any) -> Family:
    """RoBERTa under another name."""
    return dataclasses.replace(
        ROBERTA,
        model_type=model_type,
        architectures=encoder_classes(name, HEAD, CLASSIFIER, masked={"head_activation": "gelu"}),
        settings=with_defaults(ROBERTA.settings, **defaults),
    )


XLM_ROBERTA = _sibling("xlm-roberta", "XLMRoberta", vocab_size=30522)
CAMEMBERT = _sibling("camembert", "Camembert", vocab_size=30522)

MPNET = Family(
    model_type="mpnet",
    architectures=encoder_classes("MPNet", HEAD, CLASSIFIER, masked={"head_activation": "gelu"}, settings=()),
    settings=with_defaults(with_places((*SIZES, *REST)), vocab_size=30527, **TOKENS),
    constants=CONSTANTS | {"positions": "learned_relative"},
    fixed={"pad_token_id": 1, "relative_attention_num_buckets": 32},
    places=encoder_places(
        "mpnet.",
        layer=LAYER
        | {
            "self_attention.query": "attention.attn.q",
            "self_attention.key": "attention.attn.k",
            "self_attention.value": "attention.attn.v",
            "self_attention.output": "attention.attn.o",
            "self_attention_residual.norm": "attention.LayerNorm",
        },
    )
    | {
        "encoder.positions": Place("mpnet.embeddings.position_embeddings", AFTER_PADDING),
        "encoder.positions.relative": "mpnet.encoder.relative_attention_bias",
    },
    prefix="mpnet.",
    heads=HEADS,
    buffers=BUFFERS,
    unused=unused("mpnet.", HEADS),
    **output_matrix("lm_head.decoder", "mpnet.embeddings.word_embeddings", "lm_head.bias"),
)
