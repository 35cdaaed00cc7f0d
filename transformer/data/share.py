"""Share of a batch: the rows that one of several processes takes in data-parallel training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Share of each batch that one of several processes takes: contiguous rows, about equally many for each.

    A batch with fewer rows than there are processes leaves some of them idle: they take the last
    row without labels, which keeps them in step with the others and adds nothing.

    Args:
        rank: number of the process, counted from 0.
        size: number of processes.

    Raises:
        ValueError: ``size`` is below 1, or ``rank`` not below it.

    Example:
        >>> [Share(rank, 3).rows(8) for rank in range(3)]
        [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None)]
        >>> Share(2, 3).rows(2), Share(2, 3).idle(2)
        (slice(1, 2, None), True)
    """

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size: expected at least 1, got {self.size}")
        if not 0 <= self.rank < self.size:
            raise ValueError(f"rank: expected 0 to {self.size - 1}, got {self.rank}")

    def rows(self, count: int) -> slice:
        """Rows of a batch of ``count``, divided as by ``numpy.array_split``; those of an idle process are the last."""
        if self.idle(count):
            return slice(count - 1, count)
        least, more = divmod(count, self.size)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def idle(self, count: int) -> bool:
        """True if a batch of ``count`` rows has none for this process."""
        return self.rank >= count > 0


WHOLE = Share()
