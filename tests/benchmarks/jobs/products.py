"""Matrix products: plain, transposed, with an epilogue, and the batched ones of attention; in fewer bits."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.inputs import Heads, Input, Normal
from tests.benchmarks.job import Goal, Job

GOALS = {
    "product": Goal({"numpy": 1.0, "torch": 1.2}, least_ratio=0.85),
    "attention-product": Goal({"numpy": 1.5, "torch": 1.5}),
    "bfloat16-product": Goal(),
    "quantized-product": Goal(),
}

# (m, n, k) of C (m, n) = A (m, k) B (k, n)
SHAPES = [
    (256, 256, 256),
    (512, 512, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (2048, 768, 256),
    (4096, 512, 512),
    (2048, 2048, 512),
    (64, 512, 512),
    (1000, 777, 333),
    (1, 2048, 512),
    (1, 512, 4096),
    (8, 8192, 512),
]
# (B, H, T, D)
HEADS = [(12, 4, 64, 32), (8, 6, 128, 64), (4, 8, 256, 64), (2, 8, 1024, 64)]
PEERS = ("numpy", "torch", "jax")
# (m, n, k) of layers: of training, and of decoding by few rows, which read the weights from memory
TRAINED = [(1024, 1024, 1024), (2048, 2048, 512), (512, 512, 2048)]
DECODED = [(1, 4096, 1024), (4, 4096, 1024), (16, 4096, 1024), (320, 2048, 512)]
QUANTIZED = {"int8": 1, "int8-weights": 1, "bfloat16": 2}  # bytes of a weight
BFLOAT16, INT8 = 2.0**-8, 2.0**-7  # unit roundoffs


def _products() -> Iterator[Job]:
    for m, n, k in SHAPES:
        operands: dict[str, dict[str, Input]] = {
            "nn": {"a": Normal((m, k)), "b": Normal((k, n))},
            "nt": {"a": Normal((m, k)), "b": Normal((n, k))},
            "tn": {"a": Normal((k, m)), "b": Normal((k, n))},
            "bias_gelu": {"a": Normal((m, k)), "b": Normal((k, n), k**-0.5), "bias": Normal((n,))},
        }
        for layout, given in operands.items():
            yield Job(
                "product",
                f"{layout.replace('_', '-')}/{m}x{k}x{n}",
                f"product_{layout}",
                PEERS if layout != "bias_gelu" else PEERS[1:],  # NumPy has no error function
                given,
                flops=2.0 * m * n * k,
                bytes=4.0 * (m * k + k * n + m * n),
                terms=k,
                share_goal=0.88 if m * n * k >= 1024**3 else None,
            )


def _attention_products() -> Iterator[Job]:
    """The scores of queries and keys, and the mean of values: heads are strided views of a projection."""
    for batch, heads, length, width in HEADS:
        strided = Heads(batch, heads, length, width)
        square, narrow = batch * heads * length * length, batch * heads * length * width
        operands: dict[str, dict[str, Input]] = {
            "nt": {"a": strided, "b": strided},
            "nn": {"a": Normal((batch, heads, length, length)), "b": strided},
            "tn": {"a": Normal((batch, heads, length, length)), "b": strided},
        }
        for layout, given in operands.items():
            yield Job(
                "attention-product",
                f"{layout}/{batch}x{heads}x{length}x{width}",
                f"product_{layout}",
                PEERS,
                given,
                flops=2.0 * square * width,
                bytes=4.0 * (square + 2 * narrow),
                terms=width if layout == "nt" else length,
            )


def _products_in_fewer_bits() -> Iterator[Job]:
    """bfloat16 beside PyTorch's autocast; quantised weights beside its float32."""
    for m, n, k in TRAINED:
        yield Job(
            "bfloat16-product",
            f"{m}x{k}x{n}",
            "product_bfloat16",
            ("torch",),
            {"a": Normal((m, k)), "b": Normal((n, k))},
            flops=2.0 * m * n * k,
            bytes=4.0 * (m * k + k * n + m * n),
            roundoff={"torch": BFLOAT16},  # of its result
        )
    for format, size in QUANTIZED.items():
        for m, n, k in DECODED:
            yield Job(
                "quantized-product",
                f"{format}/{m}x{k}x{n}",
                "quantized_product",
                ("torch",),
                options={"rows": m, "columns": n, "inner": k, "format": format},
                flops=2.0 * m * n * k,
                bytes=size * n * k + 4.0 * m * (n + k),
                roundoff={"torch": INT8},
            )


JOBS = [*_products(), *_attention_products(), *_products_in_fewer_bits()]
