"""Kernels and the parts that they are to each other."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import gc

import numpy as np
import pytest

from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.machine_code import LinkedCode


@kernel()
def reciprocal(x):
    if x[0] == 0:
        raise ValueError("no reciprocal of", x[0])
    return 1 / x[0]


@kernel()
def one_more(x):
    return reciprocal(x) + 1


def test_what_a_kernel_calls_gets_no_machine_code_until_python_calls_it():
    one_more.compile("(float32[::1],)")
    assert not reciprocal.overloads
    assert reciprocal(np.ones(1, np.float32)) == 1 and len(reciprocal.overloads) == 1


def test_a_kernel_and_its_parts_raise_the_same_errors():
    assert one_more(np.full(1, 2.0)) == 1.5
    for function in (one_more, reciprocal):
        with pytest.raises(ValueError, match="no reciprocal of") as error:
            function(np.zeros(1))
        assert error.value.args == ("no reciprocal of", 0.0)


def test_code_from_the_cache_returns_and_raises_the_same():
    assert one_more(np.full(1, 4.0)) == 1.25
    again = kernel()(one_more.py_func)
    assert again(np.full(1, 4.0)) == 1.25 and isinstance(*again.overloads.values(), LinkedCode)
    with pytest.raises(ValueError, match="no reciprocal of") as error:
        again(np.zeros(1))
    assert error.value.args == ("no reciprocal of", 0.0)


@pytest.mark.parametrize("running", [True, False])
def test_the_garbage_collector_is_left_as_it_was(running):
    @kernel()
    def fresh(x):
        return x + 1

    try:
        gc.enable() if running else gc.disable()
        assert fresh(1) == 2 and gc.isenabled() == running
        with pytest.raises(Exception, match="nopython"):
            fresh("no number")
        assert gc.isenabled() == running
    finally:
        gc.enable()
