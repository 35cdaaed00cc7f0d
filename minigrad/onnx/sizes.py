"""Symbolic sizes: formulas in the names of the dynamic axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Formula:
    """Formula of sizes, a sum of products: ``{("batch", "length"): 4, (): 1}`` means 4 · batch · length + 1."""

    terms: tuple[tuple[tuple[str, ...], int], ...]

    def at(self, sizes: Mapping[str, int]) -> int:
        return sum(factor * math.prod(sizes[name] for name in names) for names, factor in self.terms)

    @property
    def names(self) -> set[str]:
        return {name for names, _ in self.terms for name in names}

    def __add__(self, other: int) -> Formula:
        terms = dict(self.terms)
        terms[()] = terms.get((), 0) + other
        return Formula(tuple(item for item in terms.items() if item[1]))

    def __str__(self) -> str:
        texts = [
            "*".join([*([str(factor)] if factor != 1 or not names else []), *names]) for names, factor in self.terms
        ]
        return " + ".join(texts)


Size = int | Formula


class Sizes:
    """Dynamic axes, and their sizes in the runs that are compared.

    In the first run all sizes are small; then there is one run for each axis in which it alone is larger, which tells
    what depends on it and how; then all are larger still, and at last those that the caller limits are as large as they
    can be, which tests what was concluded.

    Args:
        names: of the axes.
        largest: the largest size by name, where there is one.

    Raises:
        ValueError: a largest size has the name of no axis, or is too small.
    """

    def __init__(self, names: Sequence[str], largest: Mapping[str, int]) -> None:
        count = len(names)
        small = {name: 3 + place for place, name in enumerate(names)}
        self.names = tuple(names)
        self.largest = largest
        self.runs = [small]
        self.runs += [{**small, name: 3 + count + place} for place, name in enumerate(names)]
        # The distances differ, so that a halved size, say, is not taken for a linear one.
        self.runs.append({name: 4 + 3 * count + place for place, name in enumerate(names)})
        for name, size in largest.items():
            if name not in names:
                raise ValueError(f"max_sizes: expected names of dynamic axes ({', '.join(names)}), got {name!r}")
            if size < self.runs[-1][name]:
                raise ValueError(f"max_sizes: expected at least {self.runs[-1][name]} for {name!r}, got {size}")
        if largest:
            self.runs.append({**small, **largest})

    def formula(self, numbers: Sequence[int]) -> Size | None:
        """Formula that gives these numbers in the runs: a product of sizes or a sum of their multiples; else None."""
        first = int(numbers[0])
        if all(number == first for number in numbers):
            return first
        depends = [name for name, number in zip(self.names, numbers[1:], strict=False) if number != first]
        for guess in (self._product(first, depends), self._sum(numbers)):
            if all(guess.at(sizes) == number for sizes, number in zip(self.runs, numbers, strict=True)):
                return guess
        return None

    def _product(self, first: int, depends: Sequence[str]) -> Formula:
        return Formula(((tuple(depends), first // math.prod(self.runs[0][name] for name in depends)),))

    def _sum(self, numbers: Sequence[int]) -> Formula:
        slopes = {
            name: (number - numbers[0]) // (run[name] - self.runs[0][name])
            for name, number, run in zip(self.names, numbers[1:], self.runs[1:], strict=False)
        }
        rest = int(numbers[0]) - sum(slope * self.runs[0][name] for name, slope in slopes.items())
        return Formula(tuple(((name,), int(slope)) for name, slope in slopes.items() if slope)) + rest
