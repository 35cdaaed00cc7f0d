"""Language models in ``transformers``; with ``compiled``, their steps through ``torch.compile`` and a static cache."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, StaticCache

from tests.benchmarks.models.language import SHAPES


@lru_cache(1)
def model_of(shape: str, format: str) -> Any:
    size = SHAPES[shape]
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.groups,
        max_position_embeddings=4096,
        rope_theta=size.rotary_base,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()
    if format == "bfloat16":
        return model.to(torch.bfloat16)
    if format == "int8":
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    return model


@lru_cache(1)
def _compiled(shape: str, format: str) -> Any:
    return torch.compile(model_of(shape, format).forward, dynamic=False)


def decode_language(
    shape: str, format: str, rows: int, length: int, tokens: int, compiled: bool = False
) -> tuple[float, list[float]]:
    """Seconds of a prompt (rows, length), and of each of the tokens that follow, chosen greedily."""
    model = model_of(shape, format)
    step = _compiled(shape, format) if compiled else model.forward
    cache: Any = DynamicCache(config=model.config)
    if compiled:
        cache = StaticCache(config=model.config, max_cache_len=length + tokens)
    ids = torch.from_numpy(SHAPES[shape].prompt(rows, length))
    place, seconds = torch.arange(length), []
    with torch.inference_mode():
        for _ in range(1 + tokens):
            start = time.perf_counter()
            where = {"cache_position": place, "position_ids": place[None].expand(rows, -1)}
            out = step(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **where)
            ids, place = out.logits[:, -1].argmax(-1, keepdim=True), place[-1:] + 1
            seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1:]
