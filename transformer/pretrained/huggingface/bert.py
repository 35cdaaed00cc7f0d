"""BERT. Devlin et al., 2019: "BERT: Pre-training of deep bidirectional Transformers for language understanding"."""

from __future__ import annotations

from transformer.pretrained.huggingface.family import ACTIVATIONS, Architecture, Family, Setting, token

BERT = Family(
    model_type="bert",
    architectures={
        "BertForMaskedLM": Architecture("MaskedLM"),
        "BertForPreTraining": Architecture("MaskedLM"),
        "BertModel": Architecture("Encoder", stem="encoder.", bare=True),
    },
    settings=(
        Setting("vocab_size", "vocab_size", 30522),
        Setting("max_position_embeddings", "max_length", 512),
        Setting("hidden_size", "d_model", 768),
        Setting("num_hidden_layers", "encoder_layers", 12),
        Setting("num_attention_heads", "num_heads", 12),
        Setting("intermediate_size", "d_ff", 3072),
        Setting("type_vocab_size", "token_types", 2),
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
    ),
    constants={
        "decoder_layers": 0,
        "positions": "learned",
        "output_bias": True,
        "scale_embedding": False,
        "embedding_norm": True,
    },
    fixed={
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    },
    places={
        "encoder.tokens": "bert.embeddings.word_embeddings",
        "encoder.positions": "bert.embeddings.position_embeddings",
        "encoder.types": "bert.embeddings.token_type_embeddings",
        "encoder.embedding_norm": "bert.embeddings.LayerNorm",
        "encoder.layers.{n}.self_attention.query": "bert.encoder.layer.{n}.attention.self.query",
        "encoder.layers.{n}.self_attention.key": "bert.encoder.layer.{n}.attention.self.key",
        "encoder.layers.{n}.self_attention.value": "bert.encoder.layer.{n}.attention.self.value",
        "encoder.layers.{n}.self_attention.output": "bert.encoder.layer.{n}.attention.output.dense",
        "encoder.layers.{n}.self_attention_residual.norm": "bert.encoder.layer.{n}.attention.output.LayerNorm",
        "encoder.layers.{n}.feed_forward.expand": "bert.encoder.layer.{n}.intermediate.dense",
        "encoder.layers.{n}.feed_forward.contract": "bert.encoder.layer.{n}.output.dense",
        "encoder.layers.{n}.feed_forward_residual.norm": "bert.encoder.layer.{n}.output.LayerNorm",
        "transform": "cls.predictions.transform.dense",
        "norm": "cls.predictions.transform.LayerNorm",
        "output": "cls.predictions.decoder",
        "output.bias": "cls.predictions.bias",
    },
    prefix="bert.",
    heads=("cls.",),
    copies={"cls.predictions.decoder.bias": "cls.predictions.bias"},
    ties={"all": {"cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight"}, "none": {}},
    aliases={".gamma": ".weight", ".beta": ".bias"},
    buffers=r"embeddings\.position_ids$",
    unused=r"^bert\.pooler\.|^cls\.",
)
