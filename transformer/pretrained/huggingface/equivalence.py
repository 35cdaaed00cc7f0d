"""Configurations that mean the same model: None stands for a value that files write out, and some values do nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformer.model.config import TransformerConfig


def _meanings(config: TransformerConfig) -> dict[str, Any]:
    """Values that None stands for."""
    attention_bias = config.bias if config.attention_bias is None else config.attention_bias
    return {
        "num_kv_heads": config.num_heads,
        "d_k": config.d_model / config.num_heads,
        "decoder_heads": config.num_heads,
        "decoder_ff": config.d_ff,
        "layer_groups": max(config.encoder_layers, config.decoder_layers),
        "d_embedding": config.d_model,
        "attention_bias": config.bias,
        "qkv_bias": attention_bias,
        "norm_bias": config.bias,
        "scale_width": config.head_size,
        "rotary_width": config.head_size,
        "head_activation": config.activation,
        "head_bias": config.bias,
        "problem_type": dataclasses.replace(config, problem_type=None).problem,
        "embedding_dropout": config.dropout,
        "head_dropout": config.dropout,
    }


def resolved(config: TransformerConfig) -> dict[str, Any]:
    """Fields of a configuration, with its meaning for each None that stands for a value."""
    meanings = {name: value for name, value in _meanings(config).items() if getattr(config, name) is None}
    return vars(config) | meanings | {"d_k": config.head_size}


def simplified(config: TransformerConfig) -> TransformerConfig:
    """Configuration of the same model, with None for each value that None stands for, or that has no effect."""
    layers = max(config.encoder_layers, config.decoder_layers)
    turns = config.positions == "rotary"
    local = config.window is not None and len(set(config.global_layers)) < layers
    without_effect = {
        "decoder_heads": not config.is_encoder_decoder,
        "decoder_ff": not config.is_encoder_decoder,
        "norm_bias": config.norm != "layer",
        "window": not local,
        "scale_width": not config.scale_scores,
        "rotary_width": not turns,
        "rotary_local_base": not (turns and local),
        "rotary_scaling": not turns,
    }
    redundant = [name for name, none in without_effect.items() if none]
    redundant += [name for name, value in _meanings(config).items() if getattr(config, name) == value]
    changes: dict[str, Any] = dict.fromkeys(set(redundant) - {"d_embedding"})  # which has a projection even so
    numbers = tuple(sorted(set(config.global_layers))) if local else ()
    return dataclasses.replace(config, **changes, global_layers=numbers)
