"""Model benchmarks: the optimizer, training steps, decoding, and startup."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.job import Goal, Job
from tests.benchmarks.jobs.products import BFLOAT16, INT8, QUANTIZED
from tests.benchmarks.models.gpt import SIZES
from tests.benchmarks.models.seq2seq import NEW_TOKENS as TRANSLATED, Seq2SeqSize

GOALS = {
    "optimizer": Goal({"torch": 1.5}),
    "gpt-nano": Goal({"torch": 2.0, "compile": 1.5}),
    "gpt-small": Goal({"torch": 1.5, "compile": 1.3}),
    "gpt-medium": Goal({"torch": 1.5, "compile": 1.3}),
    "gpt-bfloat16": Goal({"torch": 1.3, "compile": 1.3}),
    "encoder-decoder": Goal({"torch": 1.5}),
    "decoding": Goal({"torch": 3.0}),
    "forward": Goal({"torch": 1.0, "compile": 1.0, "onnxruntime": 1.0}),
    "translation": Goal({"ctranslate2": 1.3}),
    "quantized-translation": Goal({"ctranslate2": 1.3}, least_ratio=1.3),
    "import": Goal(),
    "first-step-warm": Goal(),
    "first-step-cold": Goal(),
}
FMA_SHARES = {"nano": 0.45, "small": 0.7, "medium": 0.75}
NEW_TOKENS = 64
# For each parameter: clipping reads the gradient, AdamW reads four numbers and writes three; before that the parameter
# was read forward and backward and its gradient written.
OPTIMIZER_BYTES = 4.0 * 8
TRAINING_BYTES = OPTIMIZER_BYTES + 4.0 * 3


def _optimizer() -> Iterator[Job]:
    for name, size in SIZES.items():
        yield Job(
            "optimizer",
            f"adamw-clip/gpt-{name}",
            "clipped_adamw",
            ("torch",),
            options={"size": size},
            flops=16.0 * size.parameters,
            bytes=OPTIMIZER_BYTES * size.parameters,
            terms=size.parameters,
            share_goal=1.0,
        )


def _training() -> Iterator[Job]:
    for name, size in SIZES.items():
        yield Job(
            f"gpt-{name}",
            "training-step",
            "train_gpt",
            ("torch", "compile", "jax"),
            options={"size": size},
            flops=size.step_flops,
            bytes=TRAINING_BYTES * size.parameters,
            terms=size.tokens * size.width,
            work=(size.tokens, "tokens"),
            fresh=True,
            share_goal=FMA_SHARES[name],
        )
        yield Job(
            "gpt-bfloat16",
            f"training-step/gpt-{name}",
            "train_gpt",
            ("torch", "compile"),
            options={"size": size, "precision": "bfloat16"},
            flops=size.step_flops,
            bytes=TRAINING_BYTES * size.parameters,
            roundoff=dict.fromkeys(("torch", "compile"), BFLOAT16),
            work=(size.tokens, "tokens"),
            fresh=True,
        )


def _encoder_decoder() -> Iterator[Job]:
    size = Seq2SeqSize()
    yield Job(
        "encoder-decoder",
        "training-steps",
        "train_seq2seq",
        ("torch",),
        options={"size": size, "dropout": 0.1},
        checked_with={"dropout": 0.0},
        flops=size.flops,
        bytes=TRAINING_BYTES * size.parameters * len(size.lengths),
        terms=size.tokens * size.width,
        work=(2.0 * size.tokens * len(size.lengths), "tokens"),
        fresh=True,
    )


def _decoding() -> Iterator[Job]:
    size = SIZES["small"]
    for rows in (1, 8):
        yield Job(
            "decoding",
            f"gpt-small/batch-{rows}",
            "decode_gpt",
            ("torch",),
            options={"size": size, "rows": rows, "new_tokens": NEW_TOKENS},
            terms=size.width * size.layers,
            work=(rows * NEW_TOKENS, "tokens"),
        )


def _translation() -> Iterator[Job]:
    size = Seq2SeqSize.base()
    yield Job(
        "forward",
        "translator-base/batch-16",
        "forward_seq2seq",
        ("torch", "compile", "onnxruntime"),
        options={"size": size, "rows": 16},
        terms=size.width * size.layers,
        work=(16 * TRANSLATED, "tokens"),
    )
    for format, weight in {"float32": 4, **QUANTIZED}.items():
        for beams, rows in ((1, 1), (1, 16), (4, 1), (4, 16)):
            yield Job(
                "translation" if format == "float32" else "quantized-translation",
                f"base/{format}/beam-{beams}/batch-{rows}",
                "translate",
                ("ctranslate2",) if format in ("float32", "int8") else (),
                options={"size": size, "rows": rows, "beams": beams, "format": format},
                bytes=float(weight * (size.encoder_weights + TRANSLATED * size.decoder_weights)),
                terms=size.width * size.layers,
                roundoff={} if format == "float32" else {"ctranslate2": INT8},
                work=(rows * TRANSLATED, "tokens"),
                share_goal=0.85 if beams == rows == 1 else None,
            )


def _starting() -> Iterator[Job]:
    yield Job("import", "package", "import_package", ("numpy", "torch", "jax"), seconds_goal=0.2)
    for cold in (False, True):
        yield Job(
            f"first-step-{'cold' if cold else 'warm'}",
            "gpt-nano",
            "first_step",
            ("torch", "compile", "jax"),
            options={"size": "nano", "cold": cold},
            once=cold,
            seconds_goal=45.0 if cold else 2.0,
        )


JOBS = [*_optimizer(), *_training(), *_encoder_decoder(), *_decoding(), *_translation(), *_starting()]
