"""Random numbers from explicit generators, with a global default that :func:`manual_seed` resets.

Same seed, same numbers. A generator's state can be read and put back, so that a training run resumes exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.tensor import Shape, Tensor, default_float


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

default_generator = Generator(0)


def manual_seed(seed: int) -> Generator:
    """Restart the default generator from ``seed`` and return it."""
    default_generator.state = Generator(seed).state
    return default_generator


def _numpy(generator: Generator | None) -> np.random.Generator:
    return (generator or default_generator).numpy


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


def keep_mask(shape: Shape, probability: float, generator: Generator | None = None) -> npt.NDArray[np.bool_]:
    """An ndarray that is True with the given probability, element by element: what dropout keeps."""
    # Sixteen random bits an element are enough to hit any probability within 2⁻¹⁶, at a quarter of a float's cost.
    draws = _numpy(generator).integers(0, 1 << 16, shape, np.uint16)
    return draws < np.float32(probability * (1 << 16))
