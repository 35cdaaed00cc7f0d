"""Language models in ONNX Runtime, written for it and decoded by its own library for them."""

from __future__ import annotations

import json
import tempfile
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime_genai
from onnxruntime_genai.models import builder
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from tests.benchmarks.models.language import SHAPES
from tests.benchmarks.models.torch_language import model_of

PRECISIONS = {"float32": "fp32", "int8": "int8"}  # of activations, too
session: dict[str, int] = {}


def start(threads: int) -> None:
    session["intra_op_num_threads"] = threads


@lru_cache(1)
def _model(shape: str, format: str) -> onnxruntime_genai.Model:
    with tempfile.TemporaryDirectory() as folder:
        pretrained, written = Path(folder, "pretrained"), Path(folder, "written")
        model_of(shape, "float32").save_pretrained(pretrained)
        words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))  # it is copied, not used
        PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?").save_pretrained(pretrained)
        wanted = "", str(pretrained), str(written), PRECISIONS[format], "cpu", folder
        builder.create_model(*wanted, **builder.parse_extra_options(*wanted, []))
        config = onnxruntime_genai.Config(str(written))
        config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
        return onnxruntime_genai.Model(config)


def decode_language(shape: str, format: str, rows: int, length: int, tokens: int) -> tuple[float, list[float]]:
    """Seconds of a prompt (rows, length), and of each of the tokens that follow, chosen greedily."""
    model = _model(shape, format)
    whole = length + tokens + 2
    parameters = onnxruntime_genai.GeneratorParams(model)
    parameters.set_search_options(batch_size=rows, min_length=whole, max_length=whole)
    generator, seconds = onnxruntime_genai.Generator(model, parameters), []
    prompt = SHAPES[shape].prompt(rows, length).astype(np.int32)
    for number in range(1 + tokens):
        start = time.perf_counter()
        if not number:
            generator.append_tokens(prompt)
        generator.generate_next_token()
        seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1:]
