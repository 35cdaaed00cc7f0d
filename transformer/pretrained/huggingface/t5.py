"""T5, versions 1.0 and 1.1 (Flan-T5's), mT5, and UMT5 with a position bias of its own in each layer.

Raffel et al., 2020: "Exploring the limits of transfer learning"; Xue et al., 2021: "mT5"; Chung et al., 2023: "UniMax".
"""

from __future__ import annotations

from typing import Any

from transformer.pretrained.huggingface.family import Architecture, Family, Setting, token, with_defaults

FEED_FORWARDS = (
    ("relu", "relu"),
    ("gelu", "gelu"),
    ("gelu_new", "gelu_tanh"),
    ("silu", "silu"),
    ("gated-gelu", "geglu"),
    ("gated-gelu_new", "geglu"),
    ("gated-silu", "swiglu"),
    ("gated-relu", "reglu"),
)
ENCODER, DECODER = "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"
SHARED, OUTPUT = "shared.weight", "lm_head.weight"
ATTENTION = {"query": "q", "key": "k", "value": "v", "output": "o"}
SUBLAYERS = {
    "self_attention": {ours: f"SelfAttention.{theirs}" for ours, theirs in ATTENTION.items()},
    "cross_attention": {ours: f"EncDecAttention.{theirs}" for ours, theirs in ATTENTION.items()},
    "feed_forward": {"expand": "DenseReluDense.wi", "contract": "DenseReluDense.wo"},
}
STACKS = {
    "encoder": ("self_attention", "feed_forward"),
    "decoder": ("self_attention", "cross_attention", "feed_forward"),
}


def _places(stack: str) -> dict[str, str]:
    """Places of a stack's parameters: sublayers are numbered in each layer, and positions are the first layer's."""
    places = {
        f"{stack}.positions": f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias",
        f"{stack}.layers.{{n}}.positions": f"{stack}.block.{{n}}.layer.0.SelfAttention.relative_attention_bias",
        f"{stack}.norm": f"{stack}.final_layer_norm",
    }
    for number, sublayer in enumerate(STACKS[stack]):
        ours, theirs = f"{stack}.layers.{{n}}.{sublayer}", f"{stack}.block.{{n}}.layer.{number}"
        places[f"{ours}_residual.norm"] = f"{theirs}.layer_norm"
        places |= {f"{ours}.{module}": f"{theirs}.{place}" for module, place in SUBLAYERS[sublayer].items()}
    return places


GATED_PLACES = {
    f"{stack}.layers.{{n}}.feed_forward.{module}": (
        f"{stack}.block.{{n}}.layer.{len(sublayers) - 1}.DenseReluDense.{place}"
    )
    for stack, sublayers in STACKS.items()
    for module, place in {"gate": "wi_0", "expand": "wi_1"}.items()
}
SETTINGS = (
    Setting("vocab_size", "vocab_size", 32128),
    Setting("n_positions", "max_length", 512),
    Setting("d_model", "d_model", 512),
    Setting("d_kv", "d_k", 64),
    Setting("d_ff", "d_ff", 2048),
    Setting("num_layers", "encoder_layers", 6),
    Setting("num_decoder_layers", "decoder_layers", lambda settings: settings["num_layers"]),
    Setting("num_heads", "num_heads", 8),
    Setting("relative_attention_num_buckets", "relative_buckets", 32),
    Setting("relative_attention_max_distance", "relative_max_distance", 128),
    Setting("feed_forward_proj", "activation", "relu", FEED_FORWARDS),
    Setting("dropout_rate", "dropout", 0.1),
    Setting("dropout_rate", "attention_dropout", 0.1),
    Setting("dropout_rate", "activation_dropout", 0.1),
    Setting("layer_norm_epsilon", "norm_eps", 1e-6),
    Setting("tie_word_embeddings", "tie", True, ((True, "all"), (False, "input"))),
    token("pad_token_id", 0),
    token("bos_token_id"),
    token("eos_token_id", 1),
    token("decoder_start_token_id"),
)
SCALED = Setting("scale_decoder_outputs", "scale_output", lambda settings: settings["tie_word_embeddings"] is not False)
MULTILINGUAL: dict[str, Any] = {
    "vocab_size": 250112,
    "d_ff": 1024,
    "num_layers": 8,
    "num_heads": 6,
    "feed_forward_proj": "gated-gelu",
}
MULTILINGUAL |= {"decoder_start_token_id": 0}


def family(model_type: str, name: str, settings: tuple[Setting, ...], **changes: Any) -> Family:
    """Family whose files have T5's names.

    Args:
        model_type: its name in ``config.json``.
        name: the beginning of its classes' names.
        settings: of ``config.json``.
        changes: fields of ours, in the place of T5's.
    """
    alone = {"decoder_layers": 0, "scale_output": False}
    return Family(
        model_type=model_type,
        architectures={
            f"{name}ForConditionalGeneration": Architecture("Transformer"),
            f"{name}EncoderModel": Architecture("Encoder", stem="encoder.", constants=alone),
        },
        settings=settings,
        constants={
            "positions": "relative",
            "norm": "rms",
            "norm_first": True,
            "bias": False,
            "scale_scores": False,
            "scale_embedding": False,
            **changes,
        },
        fixed={"is_decoder": False},
        synonyms={
            "hidden_size": "d_model",
            "num_attention_heads": "num_heads",
            "num_hidden_layers": "num_layers",
            "head_dim": "d_kv",
        },
        places={"encoder.tokens": "shared", "output": "lm_head", **_places("encoder"), **_places("decoder")},
        variants=((lambda config: config.activation.endswith(("glu", "glu_exact")), GATED_PLACES),),
        prefix="",
        heads=(),
        ties={
            "all": {ENCODER: SHARED, DECODER: SHARED, OUTPUT: SHARED},
            "input": {ENCODER: SHARED, DECODER: SHARED},
        },
        buffers=r"EncDecAttention\.relative_attention_bias\.weight$",  # of the first files, and never read
    )


T5 = family("t5", "T5", (*SETTINGS, SCALED))
MT5 = family("mt5", "MT5", with_defaults(SETTINGS, **MULTILINGUAL))
UMT5 = family("umt5", "UMT5", (*with_defaults(SETTINGS, **MULTILINGUAL), SCALED), relative_by_layer=True)
