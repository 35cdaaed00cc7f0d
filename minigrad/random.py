"""Random numbers from explicit generators, with a global default that :func:`manual_seed` resets.

Same seed, same numbers. A generator's state can be read and put back, so that a training run resumes exactly.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.engine.dtypes import default_float
from minigrad.engine.tensor import Shape, Tensor


class Generator:
    """A stream of random numbers.

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
        """Where the stream stands: JSON-ready, to be assigned back later."""
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
    """The stream that draws come from when none is named: each thread has its own, so that none disturbs another's.

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
    """Restart this thread's default generator from ``seed`` and return it."""
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
    """Note each generator that is drawn from, and its state before the first draw."""
    draws: _Draws = {}
    token = _watched.set((*_watched.get(), draws))
    try:
        yield draws
    finally:
        _watched.reset(token)


@contextmanager
def replay(draws: _Draws) -> Iterator[None]:
    """Draw the numbers that were noted again; afterwards the generators go on where they were."""
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
    """Uniform on [low, high)."""
    draws = _numpy(generator).random(shape, np.dtype(dtype or default_float))  # type: ignore[arg-type]
    return Tensor(np.asarray(float(low) + (float(high) - float(low)) * draws))


def normal(
    shape: int | Shape,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: npt.DTypeLike | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Normal with the given mean and standard deviation."""
    draws = _numpy(generator).standard_normal(shape, np.dtype(dtype or default_float))  # type: ignore[arg-type]
    return Tensor(np.asarray(float(mean) + float(std) * draws))


def randint(low: int, high: int, shape: int | Shape, generator: Generator | None = None) -> Tensor:
    """Integers, uniform on [low, high)."""
    return Tensor(np.asarray(_numpy(generator).integers(low, high, shape)))


def permutation(count: int, generator: Generator | None = None) -> Tensor:
    """The integers 0 to count - 1 in random order."""
    return Tensor(_numpy(generator).permutation(count))


def draw_seed(generator: Generator | None = None) -> int:
    """A seed of [0, 2**63) for random numbers that are computed from it, such as what dropout drops."""
    return int(_numpy(generator).integers(0, 1 << 63))
