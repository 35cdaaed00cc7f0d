"""Random number generators, with a global default that :func:`manual_seed` resets.

The same seed gives the same numbers. A generator's state can be saved and restored, so that a run resumes exactly.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad.ops  # noqa: F401  # gives tensors their methods
from minigrad import kernels
from minigrad.engine.dtypes import default_float
from minigrad.engine.tensor import Shape, Tensor


class Generator:
    """Random number generator.

    Args:
        seed: an integer ≥ 0; None takes fresh entropy from the system.

    Example:
        >>> from minigrad.random import Generator, normal
        >>> bool((normal((3,), generator=Generator(7)) == normal((3,), generator=Generator(7))).all())
        True
    """

    def __init__(self, seed: int | None = None) -> None:
        self.numpy = np.random.Generator(np.random.SFC64(seed))

    @property
    def state(self) -> dict[str, Any]:
        """State of the generator: JSON-ready, restored by assignment."""
        state = self.numpy.bit_generator.state
        return {"words": [int(word) for word in state["state"]["state"]], **{k: state[k] for k in _SPARE}}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.numpy.bit_generator.state = {
            "bit_generator": "SFC64",
            "state": {"state": np.array(state["words"], np.uint64)},
            **{k: state[k] for k in _SPARE},
        }


_SPARE = ("has_uint32", "uinteger")  # half of a 64-bit draw kept for the next 32-bit one


class _DefaultGenerator(Generator):
    """Default generator, separate for each thread.

    A thread's stream starts where the main thread's did when that was last seeded.
    """

    def __init__(self) -> None:
        self._start: dict[str, Any] | None = None  # that of seed 0; NumPy's generators take a while to load
        self._own = threading.local()

    @property
    def numpy(self) -> np.random.Generator:  # type: ignore[override]  # an attribute there, one for each thread here
        if not hasattr(self._own, "generator"):
            self._own.generator = Generator(0)
            if self._start is not None:
                self._own.generator.state = self._start
        return self._own.generator.numpy

    def __reduce__(self) -> str:
        return "default_generator"  # copies and pickles name it: there is only one

    def seed(self, seed: int) -> None:
        self.state = Generator(seed).state
        if threading.current_thread() is threading.main_thread():
            self._start = self.state


default_generator = _DefaultGenerator()


def manual_seed(seed: int) -> Generator:
    """Seed this thread's default generator and return it."""
    default_generator.seed(seed)
    return default_generator


_Draws = dict[Generator, dict[str, Any]]
_watched: ContextVar[tuple[_Draws, ...]] = ContextVar("watched", default=())


def _numpy(generator: Generator | None) -> np.random.Generator:
    generator = generator or default_generator
    for draws in _watched.get():
        if generator not in draws:
            draws[generator] = generator.state
    return generator.numpy


@contextmanager
def watch_draws() -> Iterator[_Draws]:
    """Record the generators that are drawn from, each with its state before the first draw."""
    draws: _Draws = {}
    token = _watched.set((*_watched.get(), draws))
    try:
        yield draws
    finally:
        _watched.reset(token)


@contextmanager
def replay(draws: _Draws) -> Iterator[None]:
    """Replay recorded draws; afterwards the generators continue from their current state."""
    now = {generator: generator.state for generator in draws}
    for generator, state in draws.items():
        generator.state = state
    try:
        yield
    finally:
        for generator, state in now.items():
            generator.state = state


def uniform(
    shape: int | Shape,
    low: float = 0.0,
    high: float = 1.0,
    dtype: npt.DTypeLike | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Uniform random numbers in [low, high)."""
    draws = _numpy(generator).random(shape, np.dtype(dtype or default_float))  # type: ignore[arg-type]
    return Tensor(np.asarray(float(low) + (float(high) - float(low)) * draws))


def normal(
    shape: int | Shape,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: npt.DTypeLike | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Normal random numbers with the given mean and standard deviation."""
    draws = _numpy(generator).standard_normal(shape, np.dtype(dtype or default_float))  # type: ignore[arg-type]
    return Tensor(np.asarray(float(mean) + float(std) * draws))


def randint(low: int, high: int, shape: int | Shape, generator: Generator | None = None) -> Tensor:
    """Uniform random integers in [low, high)."""
    return Tensor(np.asarray(_numpy(generator).integers(low, high, shape)))


def permutation(count: int, generator: Generator | None = None) -> Tensor:
    """Random permutation of the integers 0 to count - 1."""
    return Tensor(_numpy(generator).permutation(count))


def draw_seed(generator: Generator | None = None, shape: Shape = ()) -> int:
    """Random seed in [0, 2**63) for counter-based random numbers, such as dropout masks.

    Args:
        generator: where it is drawn from; the global default when None.
        shape: of the array that the numbers are for. Within :func:`batch_share` the seed is a signed one of 64 bits,
            whose numbers are those that the array has as a part of the whole batch's.
    """
    seed = int(_numpy(generator).integers(0, 1 << 63))
    first, count = _share.get()
    if first and len(shape) > 1 and shape[0] % count == 0:
        return kernels.seed_from_row(seed, first * (math.prod(shape[:-1]) // count))
    return seed


_share: ContextVar[tuple[int, int]] = ContextVar("share", default=(0, 1))


@contextmanager
def batch_share(first: int, count: int) -> Iterator[None]:
    """Share of a batch: dropout of the examples ``first`` to ``first + count`` as if all of the batch were here.

    Arrays whose first axis counts the examples, or a multiple of them, get the rows of their examples of the whole
    batch's mask; others are not shared out, and get the mask that all shares have.

    Example:
        >>> import minigrad as mg
        >>> x = mg.ones((4, 8))
        >>> whole = mg.nn.functional.dropout(x, generator=Generator(0))
        >>> with batch_share(2, 2):
        ...     part = mg.nn.functional.dropout(x[2:], generator=Generator(0))
        >>> bool((part == whole[2:]).all())
        True
    """
    token = _share.set((first, count))
    try:
        yield
    finally:
        _share.reset(token)
