"""Argument checks: kernels called with values that are not arrays."""

from __future__ import annotations

import inspect

import pytest

from minigrad import kernels
from minigrad.kernels.__main__ import ACTIVATIONS

LISTS = ("adam_step", "scale_arrays", "squared_norm", "squared_norms")


@pytest.mark.parametrize("name", sorted({*kernels.__all__} - {*ACTIVATIONS}))
@pytest.mark.parametrize("nonsense", [[1.0, 2.0], None, 3.0, "x"], ids=["list", "None", "number", "text"])
def test_a_kernel_names_an_argument_that_is_no_array(name, nonsense):
    function = getattr(kernels, name)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    if name in LISTS and isinstance(nonsense, list):
        nonsense = ["x"]
    positional = [nonsense for p in parameters if p.kind is not p.KEYWORD_ONLY]
    named = {p.name: 1 for p in parameters if p.kind is p.KEYWORD_ONLY}
    with pytest.raises(TypeError, match="^(" + "|".join(p.name for p in parameters) + r")(\[\d\])? must be"):
        function(*positional, **named)
