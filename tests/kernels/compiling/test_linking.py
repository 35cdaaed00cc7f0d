"""Calls of machine code by its address."""

from __future__ import annotations

import numpy as np
import pytest
from numba import types

from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.linking import call_at


@kernel()
def _store(values, number):
    values[0] = number


@kernel()
def _call(address, values, number):
    call_at(address, _store, (values, number))


@kernel()
def _call_with_too_few(address, values):
    call_at(address, _store, (values,))


def _address():
    return _store.address((types.Array(types.float64, 1, "C"), types.int64))


def test_the_code_at_an_address_is_called():
    values = np.zeros(1)
    _call(_address(), values, 7)
    assert values[0] == 7


def test_a_call_with_other_arguments_is_not_compiled():
    with pytest.raises(TypeError, match=r"arguments must be the 2 of .*_store.*; got 1"):
        _call_with_too_few(_address(), np.zeros(1))
