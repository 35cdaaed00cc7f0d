"""Whole jobs: training steps and decoding."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.job import Goal, Job
from tests.benchmarks.models.gpt import SIZES

GOALS = {
    "gpt-nano": Goal({"torch": 2.0, "compile": 1.5}, share=0.45),
    "gpt-small": Goal({"torch": 1.5, "compile": 1.3}, share=0.7),
    "gpt-medium": Goal({"torch": 1.5, "compile": 1.3}, share=0.75),
    "decoding": Goal({"torch": 3.0}),
}
NEW_TOKENS = 64


def _training() -> Iterator[Job]:
    for name, size in SIZES.items():
        yield Job(
            f"gpt-{name}",
            "training-step",
            "train_gpt",
            ("torch", "compile", "jax"),
            options={"size": size},
            flops=size.step_flops,
            terms=size.tokens * size.width,
            work=(size.tokens, "tokens"),
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


JOBS = [*_training(), *_decoding()]
