"""Simulated bfloat16 weights: float32's range with 8 bits of precision.

Kalamkar et al., 2019, "A Study of BFLOAT16 for Deep Learning Training". Here it is a study of the numerics: the weights
take the values that bfloat16 can hold, but they are stored, multiplied and added up in float32, so that nothing becomes
faster or smaller. Activations and gradients stay float32; the rounding itself costs one pass over the weights a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad import Tensor

Array = np.ndarray[Any, Any]


def round_to_bfloat16(values: Array) -> Array:
    """Round to the nearest bfloat16 values, ties to even; returned as float32.

    A float32 without its lower 16 bits is a bfloat16. Adding half of what those bits can hold carries into the upper
    ones where rounding up is due; a tie carries only with the odd last bit's one added.

    Example:
        >>> round_to_bfloat16(np.array([1.0, 1.001, 1.00390625, 1.01171875, 3.4e38], np.float32)).tolist()
        [1.0, 1.0, 1.0, 1.015625, inf]
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = bits >> np.uint32(16)
    rounded &= np.uint32(1)
    rounded += np.uint32(0x7FFF)
    rounded += bits
    rounded &= np.uint32(0xFFFF0000)
    result = rounded.view(np.float32)
    unordered = np.isnan(bits.view(np.float32))
    if unordered.any():  # a carry could turn them into infinity or zero
        result[unordered] = np.nan
    return result.reshape(np.shape(values))


@contextmanager
def bfloat16_weights(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Round float32 parameters to bfloat16 values in a ``with`` block; the exact values are restored for updates."""
    masters = [parameter.data for parameter in parameters]
    try:
        for parameter, master in zip(parameters, masters, strict=True):
            parameter.data = round_to_bfloat16(master)
        yield
    finally:
        for parameter, master in zip(parameters, masters, strict=True):
            parameter.data = master
