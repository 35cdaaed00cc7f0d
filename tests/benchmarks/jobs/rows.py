"""Work along rows: softmax, losses, norms, activations, dropout, look-ups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from tests.benchmarks.inputs import Input, Integers, Normal
from tests.benchmarks.job import Goal, Job

GOALS = {
    "softmax": Goal({"torch": 1.3}),
    "cross-entropy": Goal({"torch": 2.0}),
    "layer": Goal({"torch": 1.5}),
}

ROW_SIZES = [64, 256, 1024, 8192, 50_000]
SMALL, LARGE = 1 << 18, 1 << 25  # elements: within the second-level cache, and out of every cache
VOCABULARIES = [8192, 32_768]
WIDTHS = [128, 384, 512]
TOKENS = 1024
DROPOUT = 0.1
FLOAT = 4  # bytes
PEERS = ("torch", "jax")


def _softmaxes() -> Iterator[Job]:
    for operation in ("softmax", "log_softmax"):
        for size in ROW_SIZES:
            for elements in (SMALL, LARGE):
                rows = max(1, elements // size)
                for backward in (False, True):
                    # Forward reads x and writes y; backward reads y and its gradient and writes that of x.
                    traffic = (5 if backward else 2) * rows * size * FLOAT
                    yield Job(
                        "softmax",
                        f"{operation.replace('_', '-')}/{_pass(backward)}/{rows}x{size}",
                        operation,
                        PEERS,
                        {"x": Normal((rows, size))},
                        ("x",) if backward else (),
                        bytes=traffic,
                        terms=size,
                        share_goal=0.8 if elements == LARGE else None,
                    )


def _pass(backward: bool) -> str:
    return "backward" if backward else "forward"


def _cross_entropies() -> Iterator[Job]:
    for vocabulary in VOCABULARIES:
        logits = TOKENS * vocabulary * FLOAT
        yield Job(
            "cross-entropy",
            f"{TOKENS}x{vocabulary}",
            "cross_entropy",
            PEERS,
            {"x": Normal((TOKENS, vocabulary)), "target": Integers((TOKENS,), vocabulary, ignored_every=8)},
            ("x",),
            {"label_smoothing": 0.1},
            bytes=3.0 * logits,  # logits are read forward and backward, their gradient is written
            terms=vocabulary,
        )


def _layers() -> Iterator[Job]:
    def job(
        operation: str,
        shape: tuple[int, ...],
        given: Mapping[str, Input],
        passes: int,
        options: Mapping[str, Any] | None = None,
    ) -> Job:
        """``passes`` counts the arrays of this shape that are read or written."""
        return Job(
            "layer",
            f"{operation.replace('_', '-')}/{'x'.join(map(str, shape))}",
            operation,
            PEERS if options is None else ("torch",),  # JAX draws dropout from keys, in another interface
            given,
            tuple(name for name, value in given.items() if isinstance(value, Normal)),
            options or {},
            {"p": 0.0} if options else {},
            bytes=float(passes * FLOAT * prod(shape)),
            terms=shape[0],
        )

    for rows, width in [*((TOKENS, width) for width in WIDTHS), (16 * TOKENS, 512)]:
        x, vector = Normal((rows, width)), Normal((width,))
        yield job("layer_norm", (rows, width), {"x": x, "weight": vector, "bias": vector}, 5)
        yield job("rms_norm", (rows, width), {"x": x, "weight": vector}, 5)
        yield job("gelu", (rows, 4 * width), {"x": Normal((rows, 4 * width))}, 5)
        yield job("dropout", (rows, width), {"x": x}, 4, {"p": DROPOUT})
        yield job(
            "residual_dropout_norm",
            (rows, width),
            {"x": x, "residual": x, "weight": vector, "bias": vector},
            7,
            {"p": DROPOUT},
        )
    for vocabulary, width in ((65, 128), (512, 384), (8192, 512)):
        tokens = Integers((8, TOKENS // 8), vocabulary)
        table = Normal((vocabulary, width))
        yield Job(
            "layer",
            f"embedding/{TOKENS}x{vocabulary}x{width}",
            "embedding",
            PEERS,
            {"table": table, "ids": tokens},
            ("table",),
            bytes=FLOAT * width * (3.0 * TOKENS + vocabulary),  # its gradient is as large as the table
            terms=TOKENS,
        )


JOBS = [*_softmaxes(), *_cross_entropies(), *_layers()]
