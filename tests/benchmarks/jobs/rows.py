"""Row-wise benchmarks: softmax, losses, norms, activations, dropout, embeddings; and convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from tests.benchmarks.inputs import Integers, Normal
from tests.benchmarks.job import Goal, Job

GOALS = {
    "softmax": Goal({"torch": 1.3}),
    "cross-entropy": Goal({"torch": 2.0}),
    "layer": Goal({"torch": 1.5}),
    "activation": Goal({"torch": 1.0}),
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
                    passes, operations = (5, 8) if backward else (2, 4)
                    yield Job(
                        "softmax",
                        f"{operation.replace('_', '-')}/{_pass(backward)}/{rows}x{size}",
                        operation,
                        PEERS,
                        {"x": Normal((rows, size))},
                        ("x",) if backward else (),
                        flops=float(operations * rows * size),
                        bytes=float(passes * rows * size * FLOAT),
                        terms=size,
                        share_goal=0.8 if elements == LARGE else None,
                    )


def _pass(backward: bool) -> str:
    return "forward+backward" if backward else "forward"


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
            flops=8.0 * TOKENS * vocabulary,
            bytes=3.0 * logits,  # logits are read forward and backward, their gradient is written
            terms=vocabulary,
        )


class Layer(NamedTuple):
    """Layer's arguments beside x, and its cost per element of x, forward and backward."""

    inputs: tuple[str, ...]  # one number for each column
    passes: int  # elements read or written
    operations: int  # roughly; an exponential counts as one
    dropout: bool = False


LAYERS = {
    "layer_norm": Layer(("weight", "bias"), 5, 16),
    "rms_norm": Layer(("weight",), 5, 12),
    "gelu": Layer((), 5, 12),
    "dropout": Layer((), 4, 2, dropout=True),
}


def _layers() -> Iterator[Job]:
    for rows, width in [*((TOKENS, width) for width in WIDTHS), (16 * TOKENS, WIDTHS[-1])]:
        for operation, layer in LAYERS.items():
            shape = (rows, 4 * width if operation == "gelu" else width)
            names = ("x", *layer.inputs)
            yield Job(
                "layer",
                f"{operation.replace('_', '-')}/{shape[0]}x{shape[1]}",
                operation,
                ("torch",) if layer.dropout else PEERS,  # JAX draws from keys, which is another interface
                {name: Normal(shape if name == "x" else shape[1:]) for name in names},
                names,
                {"p": DROPOUT} if layer.dropout else {},
                {"p": 0.0} if layer.dropout else {},
                flops=float(layer.operations * prod(shape)),
                bytes=float(layer.passes * FLOAT * prod(shape)),
                terms=rows,
            )


def _channel_norms() -> Iterator[Job]:
    for shape in ((32, 64, 28, 28), (8, 256, 14, 14)):
        for operation, options in (("group_norm", {"groups": 8}), ("batch_norm", {})):
            yield Job(
                "layer",
                f"{operation.replace('_', '-')}/{'x'.join(map(str, shape))}",
                operation,
                ("torch",),
                {name: Normal(shape if name == "x" else shape[1:2]) for name in ("x", "weight", "bias")},
                ("x", "weight", "bias"),
                options,
                flops=16.0 * prod(shape),
                bytes=5.0 * FLOAT * prod(shape),
                terms=prod(shape) // shape[1],
            )


class Convolution(NamedTuple):
    """Shapes of a convolution whose results are as many as its windows' places, and its groups."""

    x: tuple[int, ...]  # (N, C, height, width)
    weight: tuple[int, ...]  # (O, C / groups, window)
    groups: int = 1


CONVOLUTIONS = {
    "depthwise-3x3": Convolution((32, 64, 28, 28), (64, 1, 3, 3), 64),
    "3x3": Convolution((16, 64, 28, 28), (64, 64, 3, 3)),
    "1x1": Convolution((16, 64, 28, 28), (128, 64, 1, 1)),
}


def _convolutions() -> Iterator[Job]:
    for name, (x, weight, groups) in CONVOLUTIONS.items():
        results = x[0] * weight[0] * prod(x[2:])
        yield Job(
            "layer",
            f"convolution/{name}",
            "convolution",
            ("torch",),
            {"x": Normal(x), "weight": Normal(weight), "bias": Normal(weight[:1])},
            ("x", "weight", "bias"),
            {"groups": groups},
            flops=6.0 * results * prod(weight[1:]),
            bytes=FLOAT * (3.0 * prod(x) + 2.0 * results),
            terms=results // weight[0],
        )


def _embeddings() -> Iterator[Job]:
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
            flops=float(TOKENS * width),
            bytes=FLOAT * width * (3.0 * TOKENS + vocabulary),  # its gradient is as large as the table
            terms=TOKENS,
        )


def _activations() -> Iterator[Job]:
    shape = (TOKENS, TOKENS)
    for operation in ("leaky_relu", "hardtanh", "hardswish", "softshrink", "elu", "softplus", "mish", "prelu"):
        given = {"input": Normal(shape)} | ({"weight": Normal((1,))} if operation == "prelu" else {})
        yield Job(
            "activation",
            f"{operation.replace('_', '-')}/{TOKENS}x{TOKENS}",
            operation,
            ("torch",),
            given,
            tuple(given),
            flops=12.0 * prod(shape),
            bytes=5.0 * FLOAT * prod(shape),
        )


JOBS = [
    *_softmaxes(),
    *_cross_entropies(),
    *_layers(),
    *_channel_norms(),
    *_convolutions(),
    *_embeddings(),
    *_activations(),
]
