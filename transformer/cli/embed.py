"""``transformer embed``: the vectors of texts."""

from __future__ import annotations

import argparse
import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.io import replace_file
from transformer.cli import console
from transformer.cli.model import add_model
from transformer.cli.parser import add_command
from transformer.cli.standard_input import input_lines
from transformer.embeddings import Array, SentenceEncoder


def add_embed(commands: Any) -> None:
    text = "Embed texts. They are arguments, or lines of standard input; each gives a line, a JSON list of numbers."
    parser = add_command(commands, "embed", _run_embed, text)
    add_model(parser)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text")
    parser.add_argument("--out", type=Path, metavar="FILE", help=".npy file for the array of all embeddings")
    parser.add_argument("--prompt", metavar="NAME", help="beginning of the texts, by its name in the model directory")
    switch = argparse.BooleanOptionalAction
    text = "divide embeddings by their length (default: the model's)"
    parser.add_argument("--normalize", action=switch, default=None, help=text)


def _run_embed(args: argparse.Namespace) -> None:
    if args.out is not None and args.out.suffix != ".npy":
        raise ValueError(f"out: expected a .npy file, got {args.out}")
    encoder = SentenceEncoder.from_pretrained(args.model)
    if args.normalize is not None:
        encoder = dataclasses.replace(encoder, normalize=args.normalize)
    groups: Iterable[list[str]] = (
        [args.texts] if args.texts else ([line.rstrip("\n") for line in lines] for lines in input_lines())
    )
    found = []
    for texts in groups:
        vectors = encoder.embed(texts, prompt=args.prompt)
        if args.out is None:
            _print(vectors)
        found.append(vectors)
    if not sum(map(len, found)):
        raise ValueError("texts: expected some text, got none")
    if args.out is not None:
        content = io.BytesIO()
        np.save(content, np.concatenate(found))
        replace_file(args.out, content.getvalue())
        console.out.print(f"wrote {args.out}")


def _print(vectors: Array) -> None:
    for vector in vectors:
        print(f"[{', '.join(map(str, vector))}]", flush=True)
