"""Joined phrases: texts that differ only in length, of one phrase or several."""

from __future__ import annotations

import random
from collections.abc import Sequence

from transformer.data.parallel import Pair

SEPARATOR = "; "


def joined(phrases: Sequence[Pair], count: int, most: int, seed: int) -> list[Pair]:
    """Join 1 to ``most`` phrases a text, equally many of each number, with their translations in the same order.

    In a corpus of sentences the long ones also differ in content. Here each phrase of a long text is
    as hard as a short one, and what remains is the length.

    Args:
        phrases: sources and targets to draw from.
        count: texts to make.
        most: phrases of the longest.
        seed: of the draws.

    Raises:
        ValueError: there are fewer phrases than ``most``, or a number is below 1.

    Example:
        >>> joined([("one", "eins"), ("two", "zwei")], count=2, most=2, seed=0)
        [('two', 'zwei'), ('two; one', 'zwei; eins')]
    """
    if count < 1 or not 1 <= most <= len(phrases):
        raise ValueError(f"most: expected 1 to {len(phrases)} phrases and count ≥ 1, got {most} and {count}")
    rng = random.Random(seed)
    texts = (rng.sample(phrases, 1 + number % most) for number in range(count))
    return [
        (SEPARATOR.join(source for source, _ in text), SEPARATOR.join(target for _, target in text)) for text in texts
    ]
