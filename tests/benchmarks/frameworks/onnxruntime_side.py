"""A model's forward pass in ONNX Runtime, exported by the package."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnxruntime

from tests.benchmarks.inputs import Array
from tests.benchmarks.job import Program
from tests.benchmarks.models import seq2seq
from tests.benchmarks.models.minigrad_seq2seq import endless_model
from tests.benchmarks.models.seq2seq import Seq2SeqSize
from transformer import export_onnx

options = onnxruntime.SessionOptions()


def start(threads: int) -> None:
    options.intra_op_num_threads = threads


def forward_seq2seq(size: Seq2SeqSize, rows: int) -> Program:
    """Logits of all target tokens at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        export_onnx(endless_model(size), path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    source, target = seq2seq.source(size, rows), seq2seq.target(size, rows)
    given = {"input_ids": source, "decoder_input_ids": target, "attention_mask": (source != seq2seq.PAD).astype(int)}

    def call() -> list[Array]:
        found: list[Array] = session.run(None, given)
        return found

    return Program(call, lambda: {"logits": call()[0]})
