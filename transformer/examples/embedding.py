"""Token embedding: what the vectors of the trained demo have in common.

The first table divides the vocabulary by how often a token occurs in the training: the mean length of its vectors, and
their mean cosine with the mean of all vectors. The second has the mean cosine of words that are alike, and that of
these words with all tokens, after the mean of all vectors is taken away. A word of several tokens is their mean. With
`--nearest`, the nearest neighbours of tokens instead.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from transformer.cli import console
from transformer.data.tokenizer import Tokenizer
from transformer.examples import trained_demo
from transformer.model.positions import sinusoidal

OCCURRENCES = {"never": (0, 1), "1 to 99": (1, 100), "100 to 999": (100, 1000), "1,000 and more": (1000, math.inf)}
MONTHS = ["January", "February", "March", "May", "June", "July", "October", "December"]  # those that differ in German
MONATE = [f" {month}" for month in ["Januar", "Februar", "März", "Mai", "Juni", "Juli", "Oktober", "Dezember"]]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
TAGE = ["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"]
GROUPS = {
    "digits": list("0123456789"),
    "months": MONTHS,
    "months, German": MONATE,
    "weekdays": DAYS,
    "weekdays, German": TAGE,
}
TRANSLATIONS = {
    "a month, and in German": ("months", "months, German"),
    "a weekday, and in German": ("weekdays", "weekdays, German"),
}
NEIGHBOURS = 5

Array = np.ndarray[Any, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    trained_demo.add_arguments(parser, phrases=1)
    parser.add_argument("--nearest", nargs="+", metavar="TOKEN", help="print the nearest neighbours of tokens")


def run(args: argparse.Namespace) -> None:
    """Run the study: two tables, or the neighbours of some tokens."""
    demo = trained_demo.load(args.model, args.phrases)
    vectors = demo.model.encoder.tokens.weight.detach().numpy()
    if args.nearest:
        for token in args.nearest:
            console.out.print(f"{token:11} {'  '.join(nearest(token, demo.tokenizer, vectors))}")
        return
    counts = Counter(chain.from_iterable(demo.tokenizer.encode([text for pair in demo.train for text in pair])))
    print_by_occurrence(vectors, np.array([counts[token] for token in range(len(vectors))]))
    place = np.linalg.norm(sinusoidal(1, vectors.shape[1]).numpy())
    length = np.linalg.norm(vectors, axis=1).mean()
    scaled = demo.model.encoder.tokens.scale * length
    console.out.print(f"\nmean length {length:.2f}; times √d {scaled:.1f}; of a position {place:.1f}\n")
    print_alike(vectors - vectors.mean(0), demo.tokenizer)


def print_by_occurrence(vectors: Array, occurrences: Array) -> None:
    """Print lengths and the common direction, by the number of occurrences of each token (V,)."""
    common = cosines(vectors, vectors.mean(0, keepdims=True))[:, 0]
    lengths = np.linalg.norm(vectors, axis=1)
    console.out.print("occurs            tokens    length   cosine with the mean")
    for name, (least, limit) in OCCURRENCES.items():
        chosen = (least <= occurrences) & (occurrences < limit)
        means = f"{lengths[chosen].mean():9.2f} {common[chosen].mean():22.2f}"
        console.out.print(f"{name:15} {chosen.sum():8} {means}")


def print_alike(vectors: Array, tokenizer: Tokenizer) -> None:
    """Print the cosines within groups of words, and with their translations."""
    words = {name: np.stack([vector(word, tokenizer, vectors) for word in group]) for name, group in GROUPS.items()}
    alike = {name: cosines(group, group)[~np.eye(len(group), dtype=bool)] for name, group in words.items()}
    alike |= {name: np.diag(cosines(words[one], words[other])) for name, (one, other) in TRANSLATIONS.items()}
    everything = {**words, **{name: words[one] for name, (one, _) in TRANSLATIONS.items()}}
    console.out.print("words                     cosine: alike   with all tokens")
    for name, found in alike.items():
        console.out.print(f"{name:25} {found.mean():13.2f} {cosines(everything[name], vectors).mean():17.2f}")


def vector(word: str, tokenizer: Tokenizer, vectors: Array) -> Array:
    """Vector of a word: the mean of its tokens'."""
    found: Array = vectors[tokenizer.encode([word])[0][:-1]].mean(0)
    return found


def nearest(token: str, tokenizer: Tokenizer, vectors: Array) -> Sequence[str]:
    """Nearest neighbours of a token by cosine, with it."""
    names = tokenizer.tokens(range(len(vectors)))
    if token not in names:
        raise ValueError(f"nearest: expected tokens of the vocabulary, got {token!r}")
    near = cosines(vectors[[names.index(token)]], vectors)[0]
    return [f"{names[other]!r} {near[other]:.2f}" for other in near.argsort()[::-1][1 : 1 + NEIGHBOURS]]


def cosines(one: Array, other: Array) -> Array:
    """Cosines of rows (N, D) with rows (M, D): (N, M)."""
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other))
    return one @ other.T
