"""BERT, and what its relatives share. Devlin et al., 2019: "BERT: Pre-training of deep bidirectional Transformers"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from transformer.pretrained.huggingface.family import (
    ACTIVATIONS,
    Architecture,
    Family,
    Place,
    Setting,
    layers,
    token,
)
from transformer.pretrained.huggingface.labels import LABELS

SIZES = (
    Setting("vocab_size", "vocab_size", 30522),
    Setting("max_position_embeddings", "max_length", 512),
    Setting("hidden_size", "d_model", 768),
    Setting("num_hidden_layers", "encoder_layers", 12),
    Setting("num_attention_heads", "num_heads", 12),
    Setting("intermediate_size", "d_ff", 3072),
)
TYPES = Setting("type_vocab_size", "token_types", 2)
REST = (
    Setting("hidden_act", "activation", "gelu", ACTIVATIONS),
    Setting("hidden_dropout_prob", "dropout", 0.1),
    Setting("attention_probs_dropout_prob", "attention_dropout", 0.1),
    Setting("layer_norm_eps", "norm_eps", 1e-12),
    Setting("initializer_range", "init_std", 0.02),
    Setting("tie_word_embeddings", "tie", True, ((True, "all"), (False, "none"))),
    token("pad_token_id", 0),
    token("bos_token_id"),
    token("eos_token_id"),
    token("mask_token_id"),  # an addition of ours, which others ignore
)
SETTINGS = (*SIZES, TYPES, *REST)
HEAD_DROPOUT = Setting("classifier_dropout", "head_dropout")
CONSTANTS: dict[str, Any] = {
    "decoder_layers": 0,
    "positions": "learned",
    "output_bias": True,
    "scale_embedding": False,
    "embedding_norm": True,
}
FIXED = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}
BUFFERS = r"embeddings\.position_ids$"
EMBEDDINGS = {
    "tokens": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "embedding_norm": "embeddings.LayerNorm",
}
LAYER: dict[str, str | Place] = {
    "self_attention.query": "attention.self.query",
    "self_attention.key": "attention.self.key",
    "self_attention.value": "attention.self.value",
    "self_attention.output": "attention.output.dense",
    "self_attention_residual.norm": "attention.output.LayerNorm",
    "feed_forward.expand": "intermediate.dense",
    "feed_forward.contract": "output.dense",
    "feed_forward_residual.norm": "output.LayerNorm",
}


def encoder_classes(
    name: str,
    head: Mapping[str, str | Place],
    classifier: Mapping[str, str | Place],
    *,
    masked: Mapping[str, Any] | None = None,
    texts: Mapping[str, Any] | None = None,
    tokens: Mapping[str, Any] | None = None,
    settings: tuple[Setting, ...] = (HEAD_DROPOUT,),
) -> dict[str, Architecture]:
    """Classes of an encoder's family: masked model, classifiers of texts and of tokens, and that without a head.

    Args:
        name: the beginning of their names.
        head: places of a masked model's head.
        classifier: those of a classifier's.
        masked, texts, tokens: fields of ours, by class; a classifier's transform has tanh, that of tokens has none.
        settings: of both classifiers.
    """
    texts = {"head_activation": "tanh"} if texts is None else texts
    tokens = {"head": "output"} if tokens is None else tokens
    of_tokens = {"output": "classifier"} if tokens["head"] == "output" else classifier
    settings = (*LABELS, *settings)
    return {
        f"{name}ForMaskedLM": Architecture("MaskedLM", constants=masked or {}, places=head),
        f"{name}ForSequenceClassification": Architecture(
            "SequenceClassifier", constants=texts, places=classifier, settings=settings
        ),
        f"{name}ForTokenClassification": Architecture(
            "TokenClassifier", constants=tokens, places=of_tokens, settings=settings
        ),
        f"{name}Model": Architecture("Encoder", stem="encoder.", bare=True),
    }


def encoder_places(
    prefix: str,
    embeddings: Mapping[str, str] = EMBEDDINGS,
    layer: Mapping[str, str | Place] = LAYER,
    stack: str = "encoder.layer",
) -> dict[str, str | Place]:
    """Places of an encoder's parts below a prefix, those of layers below ``stack`` there."""
    outer = {f"encoder.{ours}": prefix + theirs for ours, theirs in embeddings.items()}
    return outer | layers("encoder", prefix + stack, layer)


def unused(prefix: str, heads: tuple[str, ...]) -> str:
    """Pattern of weights without a use: of a pooler, and of heads that a class lacks."""
    return "^" + "|^".join(re.escape(name) for name in (f"{prefix}pooler.", *heads))


def output_matrix(name: str, embedding: str, bias: str | None = None) -> dict[str, Any]:
    """Fields of a family whose output matrix is the embedding, unless ``config.json`` or the file has two.

    Args:
        name: of the output in the file.
        embedding: of the embedding.
        bias: another name of the output's bias, the one in our table.
    """
    tied = {f"{name}.weight": f"{embedding}.weight"}
    if bias is None:
        return {"ties": {"all": tied, "none": {}}}
    return {"ties": {"all": tied | {f"{name}.bias": bias}, "none": {bias: f"{name}.bias"}}, "spare": bias}


HEAD: dict[str, str | Place] = {
    "transform": "cls.predictions.transform.dense",
    "norm": "cls.predictions.transform.LayerNorm",
    "output": "cls.predictions.decoder",
    "output.bias": "cls.predictions.bias",
}
HEADS = ("cls.", "classifier.")
BERT = Family(
    model_type="bert",
    architectures={
        **encoder_classes("Bert", HEAD, {"transform": "bert.pooler.dense", "output": "classifier"}),
        "BertForPreTraining": Architecture("MaskedLM", places=HEAD),
    },
    settings=SETTINGS,
    constants=CONSTANTS,
    fixed=FIXED,
    places=encoder_places("bert."),
    prefix="bert.",
    heads=HEADS,
    aliases={".gamma": ".weight", ".beta": ".bias"},
    buffers=BUFFERS,
    unused=unused("bert.", HEADS),
    **output_matrix("cls.predictions.decoder", "bert.embeddings.word_embeddings", "cls.predictions.bias"),
)
