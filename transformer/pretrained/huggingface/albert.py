"""ALBERT: layers that share their weights, on narrower embeddings. Lan et al., 2020: "ALBERT: A lite BERT"."""

from __future__ import annotations

from transformer.pretrained.huggingface.bert import (
    BUFFERS,
    CONSTANTS,
    EMBEDDINGS,
    FIXED,
    SETTINGS,
    encoder_classes,
    encoder_places,
    output_matrix,
    unused,
)
from transformer.pretrained.huggingface.family import Architecture, Family, Setting, with_defaults
from transformer.pretrained.huggingface.labels import head_dropout

HEAD = {
    "transform": "predictions.dense",
    "norm": "predictions.LayerNorm",
    "output": "predictions.decoder",
    "output.bias": "predictions.bias",
}
GROUP = "encoder.albert_layer_groups.{g}.albert_layers.0"
LAYER = {
    "self_attention.query": "attention.query",
    "self_attention.key": "attention.key",
    "self_attention.value": "attention.value",
    "self_attention.output": "attention.dense",
    "self_attention_residual.norm": "attention.LayerNorm",
    "feed_forward.expand": "ffn",
    "feed_forward.contract": "ffn_output",
    "feed_forward_residual.norm": "full_layer_layer_norm",
}
HEADS = ("predictions.", "sop_classifier.", "classifier.")
ALBERT = Family(
    model_type="albert",
    architectures={
        **encoder_classes(
            "Albert",
            HEAD,
            {"transform": "albert.pooler", "output": "classifier"},
            settings=(head_dropout("classifier_dropout_prob", 0.1),),
        ),
        "AlbertForPreTraining": Architecture("MaskedLM", places=HEAD),
    },
    settings=(
        *with_defaults(
            SETTINGS,
            vocab_size=30000,
            hidden_size=4096,
            num_attention_heads=64,
            intermediate_size=16384,
            hidden_act="gelu_new",
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            bos_token_id=2,
            eos_token_id=3,
        ),
        Setting("embedding_size", "d_embedding", 128, revert=lambda config: config.embedding_width),
        Setting("num_hidden_groups", "layer_groups", 1),
    ),
    constants=CONSTANTS,
    fixed=FIXED | {"inner_group_num": 1},
    places=encoder_places("albert.", EMBEDDINGS | {"projection": "encoder.embedding_hidden_mapping_in"})
    | {f"encoder.layers.{{n}}.{ours}": f"albert.{GROUP}.{theirs}" for ours, theirs in LAYER.items()},
    prefix="albert.",
    heads=HEADS,
    buffers=BUFFERS,
    unused=unused("albert.", HEADS),
    **output_matrix("predictions.decoder", "albert.embeddings.word_embeddings", "predictions.bias"),
)
