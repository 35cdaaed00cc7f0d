"""Decoding of language models beside other libraries: ``python -m tests.benchmarks.decoding``.

Prompts are processed, and tokens decoded one at a time, by all sides in turn, in processes of their own of which one
runs at a time. A step reads each weight once: bytes of weights over seconds is compared with what the machine reads
from memory, measured in each round, too: from a buffer beyond all caches, and from one of as many bytes as the weights,
of which a large last-level cache may keep some.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.benchmarks.__main__ import cores
from tests.benchmarks.job import OURS
from tests.benchmarks.models.language import FORMATS, SHAPES
from tests.benchmarks.peers import Worker, WorkerError, installed

# Formats that are measured, by side
SIDES = {
    OURS: tuple(FORMATS),
    "transformers": ("float32", "bfloat16", "int8"),
    "transformers_compile": ("float32", "bfloat16"),
    "onnxruntime_genai": ("float32", "int8"),
    "llama_cpp": ("float32", "bfloat16", "int8"),
}
BEYOND_CACHES = 1 << 30


class Decoded(NamedTuple):
    """Measurement of one side: seconds of prompts, one for each round, and of tokens, from all rounds."""

    shape: str
    format: str
    rows: int
    side: str
    prompts: list[float]
    tokens: list[float]

    def figures(self, length: int, memory: float, cached: float) -> dict[str, Any]:
        """Figures that are shown; ``memory`` and ``cached`` in bytes a second."""
        best, usual = min(self.tokens), median(self.tokens)
        size = SHAPES[self.shape].weights * FORMATS[self.format]
        return {
            **{"shape": self.shape, "format": self.format, "rows": self.rows, "side": self.side},
            "prompt, tokens/s": self.rows * length / min(self.prompts),
            "tokens/s": self.rows / best,
            "tokens/s, median": self.rows / usual,
            "GB/s": size / best / 1e9,
            "of memory": size / best / memory if memory else None,
            "of a read as large": size / best / cached if cached else None,
        }


def measured(shape: str, format: str, rows: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Figures of all sides for one shape, format and number of rows."""
    size = SHAPES[shape].weights * FORMATS[format]
    memory, cached = [0.0], [0.0]
    with ExitStack() as stack:
        names = [name for name in options.side if format in SIDES[name] and installed(name)]
        sides = {name: stack.enter_context(Worker(name, options.threads)) for name in names}
        found = {name: Decoded(shape, format, rows, name, [], []) for name in sides}
        for turn in range(options.rounds + 1):
            for name, worker in list(sides.items()):
                if name == OURS:
                    memory.append(worker.ask("run", "read_bandwidth", BEYOND_CACHES, options.threads))
                    cached.append(worker.ask("run", "read_bandwidth", size, options.threads))
                try:
                    arguments = shape, format, rows, options.prompt, options.tokens
                    prompt, tokens = worker.ask("run", "decode_language", *arguments)
                except WorkerError as error:
                    Console(stderr=True).print(f"{shape}, {format}, {rows}: {error}", markup=False)
                    del sides[name], found[name]
                    continue
                if turn:  # the first compiles and records
                    found[name].prompts.append(prompt)
                    found[name].tokens.extend(tokens)
    rows_of_sides = [side.figures(options.prompt, max(memory), max(cached)) for side in found.values()]
    best = max((row["tokens/s"] for row in rows_of_sides if row["side"] != OURS), default=None)
    for row in rows_of_sides:
        yield {**row, "of the best peer": row["tokens/s"] / best if best and row["side"] == OURS else None}


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Table of figures."""
    shown = Table(*rows[0], box=None)
    for row in rows:
        shown.add_row(*(_text(name, value) for name, value in row.items()))
    return shown


def _text(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0%}" if name.startswith("of ") else f"{value:.1f}"
    return "" if value is None else str(value)


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.decoding", description=__doc__.partition(":")[0])
    shapes = [name for name in SHAPES if name != "tiny"]
    parser.add_argument("--shape", action="append", choices=SHAPES, help=f"all by default: {', '.join(shapes)}")
    parser.add_argument("--format", action="append", choices=FORMATS, help="all by default")
    parser.add_argument("--side", action="append", choices=SIDES, help="all by default")
    parser.add_argument("--rows", action="append", type=int, metavar="N", help="texts decoded together (1 and 8)")
    parser.add_argument("--prompt", type=int, default=128, metavar="N", help="tokens of a prompt (%(default)s)")
    parser.add_argument("--tokens", type=int, default=64, metavar="N", help="new tokens (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="turns of each side (%(default)s)")
    parser.add_argument("--threads", type=int, default=cores(), metavar="N", help="of each side (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="save every figure")
    parser.set_defaults(shapes=shapes)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    options.side = options.side or list(SIDES)
    console, rows = Console(width=160), []
    for shape in options.shape or options.shapes:
        for format in options.format or list(FORMATS):
            for batch in options.rows or [1, 8]:
                new = list(measured(shape, format, batch, options))
                rows += new
                if new:
                    console.print(table(new))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
