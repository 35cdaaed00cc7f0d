"""Language models in llama.cpp."""

from __future__ import annotations

import ctypes
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np

from tests.benchmarks.inputs import SEED, Array
from tests.benchmarks.models.language import SHAPES

TYPES = {"float32": "F32", "bfloat16": "BF16", "int8": "Q8_0"}
threads = 1


def start(count: int) -> None:
    global threads
    threads = count
    llama_cpp.llama_backend_init()


def _write(path: Path, shape: str, format: str) -> None:
    size, numbers = SHAPES[shape], np.random.default_rng(SEED)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_vocab_size(size.vocabulary)
    writer.add_tokenizer_model("no_vocab")
    writer.add_context_length(4096)
    writer.add_embedding_length(size.width)
    writer.add_block_count(size.layers)
    writer.add_feed_forward_length(size.inner)
    writer.add_head_count(size.heads)
    writer.add_head_count_kv(size.groups)
    writer.add_rope_freq_base(size.rotary_base)
    writer.add_layer_norm_rms_eps(1e-6)
    kind = gguf.GGMLQuantizationType[TYPES[format]]

    def add(name: str, *shape: int) -> None:
        weights = numbers.normal(0, 0.02, shape).astype(np.float32)
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(weights, kind), raw_dtype=kind)

    head = size.width // size.heads
    norms = ["output_norm"]
    add("token_embd", size.vocabulary, size.width)
    for layer in range(size.layers):
        block = f"blk.{layer}"
        norms += [f"{block}.attn_norm", f"{block}.ffn_norm"]
        add(f"{block}.attn_q", size.heads * head, size.width)
        add(f"{block}.attn_k", size.groups * head, size.width)
        add(f"{block}.attn_v", size.groups * head, size.width)
        add(f"{block}.attn_output", size.width, size.heads * head)
        add(f"{block}.ffn_gate", size.inner, size.width)
        add(f"{block}.ffn_up", size.inner, size.width)
        add(f"{block}.ffn_down", size.width, size.inner)
    for name in norms:
        writer.add_tensor(f"{name}.weight", np.ones(size.width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@lru_cache(1)
def _model(shape: str, format: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        _write(path, shape, format)
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    if not model:
        raise ValueError("llama.cpp refused its model")
    return model


def decode_language(shape: str, format: str, rows: int, length: int, tokens: int) -> tuple[float, list[float]]:
    """Seconds of a prompt (rows, length), and of each of the tokens that follow, chosen greedily.

    Raises:
        ValueError: llama.cpp failed.
    """
    size, settings = SHAPES[shape], llama_cpp.llama_context_default_params()
    settings.n_ctx = rows * (length + tokens + 2)
    settings.n_batch = settings.n_ubatch = rows * length
    settings.n_seq_max = rows
    settings.n_threads = settings.n_threads_batch = threads
    settings.kv_unified = rows == 1
    context = llama_cpp.llama_init_from_model(_model(shape, format), settings)
    batch, seconds = llama_cpp.llama_batch_init(rows * length, 0, 1), []
    ids, place = size.prompt(rows, length), 0
    for _ in range(1 + tokens):
        start = time.perf_counter()
        ids = _step(context, batch, ids, place, size.vocabulary)
        seconds.append(time.perf_counter() - start)
        place = length + len(seconds) - 1
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    return seconds[0], seconds[1:]


def _step(context: Any, batch: Any, ids: Array, place: int, vocabulary: int) -> Array:
    """The likeliest next tokens (rows, 1) after tokens (rows, length) from a place on."""
    rows, length = ids.shape
    batch.n_tokens = rows * length
    for i, token in enumerate(ids.reshape(-1).tolist()):
        row, column = divmod(i, length)
        batch.token[i], batch.pos[i] = token, place + column
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, row
        batch.logits[i] = column == length - 1
    if llama_cpp.llama_decode(context, batch):
        raise ValueError("llama.cpp did not decode")
    logits = llama_cpp.llama_get_logits(context)
    found = np.ctypeslib.as_array(ctypes.cast(logits, ctypes.POINTER(ctypes.c_float)), (rows, vocabulary))
    return np.argmax(found, axis=-1)[:, None]
