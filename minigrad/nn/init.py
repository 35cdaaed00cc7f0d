"""Initial values for parameters, in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from minigrad import random
from minigrad.engine.tensor import Shape, Tensor
from minigrad.name_hints import module_hints
from minigrad.pytorch_names import HINTS, with_argument_hints
from minigrad.random import Generator

_skipping = ContextVar("skipping", default=False)


@contextmanager
def skip_init() -> Iterator[None]:
    """Leave parameters that are made in a ``with`` block without values, and without memory, until they get some.

    For models whose weights are loaded: see the argument ``assign`` of :meth:`~minigrad.nn.Module.load_state_dict`.
    """
    token = _skipping.set(True)
    try:
        yield
    finally:
        _skipping.reset(token)


def skipping() -> bool:
    """True in a :func:`skip_init`."""
    return _skipping.get()


def _fill(parameter: Tensor, draw: Callable[[Shape], Tensor]) -> Tensor:
    if skipping():
        return parameter
    parameter.data[...] = draw(parameter.shape).data
    parameter.storage.version += 1
    return parameter


def uniform_(parameter: Tensor, low: float = 0.0, high: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform on [low, high)."""
    return _fill(parameter, lambda shape: random.uniform(shape, low, high, parameter.dtype, generator))


def normal_(parameter: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with the given mean and standard deviation."""
    return _fill(parameter, lambda shape: random.normal(shape, mean, std, parameter.dtype, generator))


def constant_(parameter: Tensor, value: float) -> Tensor:
    """One value everywhere."""
    if skipping():
        return parameter
    parameter.data[...] = value
    parameter.storage.version += 1
    return parameter


def zeros_(parameter: Tensor) -> Tensor:
    """Zeros."""
    return constant_(parameter, 0.0)


def ones_(parameter: Tensor) -> Tensor:
    """Ones."""
    return constant_(parameter, 1.0)


def _fans(parameter: Tensor) -> tuple[int, int]:
    """Inputs and outputs of a weight of shape (out, in, …): what each output sums over and what each input feeds."""
    if parameter.ndim < 2:
        raise ValueError(f"parameter: fan-in and fan-out need at least 2 dimensions, got shape {parameter.shape}")
    window = math.prod(parameter.shape[2:])
    return parameter.shape[1] * window, parameter.shape[0] * window


def xavier_uniform_(parameter: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform with variance 2 / (fan_in + fan_out). Glorot and Bengio, 2010, equation 16."""
    bound = gain * math.sqrt(6 / sum(_fans(parameter)))
    return uniform_(parameter, -bound, bound, generator)


def kaiming_uniform_(parameter: Tensor, gain: float = math.sqrt(2), generator: Generator | None = None) -> Tensor:
    """Uniform with variance gain² / fan_in. He et al., 2015, equation 10."""
    bound = gain * math.sqrt(3 / _fans(parameter)[0])
    return uniform_(parameter, -bound, bound, generator)


def xavier_normal_(parameter: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with variance 2 / (fan_in + fan_out). Glorot and Bengio, 2010, equation 12."""
    return normal_(parameter, 0.0, gain * math.sqrt(2 / sum(_fans(parameter))), generator)


def kaiming_normal_(parameter: Tensor, gain: float = math.sqrt(2), generator: Generator | None = None) -> Tensor:
    """Normal with variance gain² / fan_in. He et al., 2015, equation 10."""
    return normal_(parameter, 0.0, gain / math.sqrt(_fans(parameter)[0]), generator)


for _name in [name for name in globals() if name.endswith("_") and not name.startswith("_")]:
    globals()[_name] = with_argument_hints(globals()[_name], __name__)

if not TYPE_CHECKING:
    __getattr__ = module_hints(__name__, HINTS["mg.nn.init"])
