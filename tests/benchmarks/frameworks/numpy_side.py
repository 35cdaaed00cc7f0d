"""The operations in NumPy, whose products are those of its BLAS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.benchmarks import inputs, startup
from tests.benchmarks.inputs import Array
from tests.benchmarks.job import Program

import_package = partial(startup.import_package, "numpy")


def start(threads: int) -> None:
    """Nothing is left to do: the number of threads is in the environment."""


def program(
    function: Callable[..., Array],
    given: Mapping[str, inputs.Input],
    gradients_of: tuple[str, ...],
    options: Mapping[str, Any],
) -> Program:
    arrays = inputs.draw(given)
    return Program(lambda: function(**arrays, **options), lambda: {"output": function(**arrays, **options)})


def product_nn(a: Array, b: Array) -> Array:
    return a @ b


def product_nt(a: Array, b: Array) -> Array:
    return a @ b.mT


def product_tn(a: Array, b: Array) -> Array:
    return a.mT @ b
