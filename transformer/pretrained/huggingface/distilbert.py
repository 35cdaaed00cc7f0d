"""DistilBERT: half of BERT's layers, no token types. Sanh et al., 2019: "DistilBERT, a distilled version of BERT"."""

from __future__ import annotations

from transformer.pretrained.huggingface.bert import (
    BUFFERS,
    CONSTANTS,
    EMBEDDINGS,
    encoder_classes,
    encoder_places,
    output_matrix,
    unused,
)
from transformer.pretrained.huggingface.family import ACTIVATIONS, Family, Setting, token
from transformer.pretrained.huggingface.labels import head_dropout

HEADS = ("vocab_", "pre_classifier.", "classifier.")
DISTILBERT = Family(
    model_type="distilbert",
    architectures=encoder_classes(
        "DistilBert",
        {"transform": "vocab_transform", "norm": "vocab_layer_norm", "output": "vocab_projector"},
        {"transform": "pre_classifier", "output": "classifier"},
        texts={"head_activation": "relu"},
        tokens={"head": "output", "head_dropout": None},
        settings=(head_dropout("seq_classif_dropout", 0.2),),
    ),
    settings=(
        Setting("vocab_size", "vocab_size", 30522),
        Setting("max_position_embeddings", "max_length", 512),
        Setting("dim", "d_model", 768),
        Setting("n_layers", "encoder_layers", 6),
        Setting("n_heads", "num_heads", 12),
        Setting("hidden_dim", "d_ff", 3072),
        Setting("activation", "activation", "gelu", ACTIVATIONS),
        Setting("dropout", "dropout", 0.1),
        Setting("attention_dropout", "attention_dropout", 0.1),
        Setting("initializer_range", "init_std", 0.02),
        Setting("tie_word_embeddings", "tie", True, ((True, "all"), (False, "none"))),
        token("pad_token_id", 0),
        token("bos_token_id"),
        token("eos_token_id"),
        token("mask_token_id"),  # an addition of ours, which others ignore
    ),
    constants=CONSTANTS | {"norm_eps": 1e-12},
    fixed={},
    places=encoder_places(
        "distilbert.",
        EMBEDDINGS,
        {
            "self_attention.query": "attention.q_lin",
            "self_attention.key": "attention.k_lin",
            "self_attention.value": "attention.v_lin",
            "self_attention.output": "attention.out_lin",
            "self_attention_residual.norm": "sa_layer_norm",
            "feed_forward.expand": "ffn.lin1",
            "feed_forward.contract": "ffn.lin2",
            "feed_forward_residual.norm": "output_layer_norm",
        },
        "transformer.layer",
    ),
    prefix="distilbert.",
    heads=HEADS,
    buffers=BUFFERS,
    unused=unused("distilbert.", HEADS),
    **output_matrix("vocab_projector", "distilbert.embeddings.word_embeddings"),
)
