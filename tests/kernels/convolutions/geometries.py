"""Geometries of convolutions, and their results by the plain loop in double precision."""

from __future__ import annotations

import numpy as np

from minigrad.kernels.convolutions import plain
from minigrad.kernels.convolutions.polyphase import Geometry

GEOMETRIES = {
    "3x3": Geometry((7, 6), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))),
    "one element": Geometry((1, 1), (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0))),
    "1x1": Geometry((9, 5), (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0))),
    "1x1, shifted": Geometry((4, 5), (1, 1), (1, 1), (1, 1), ((1, -1), (-2, 2))),
    "padding of one side": Geometry((9, 8), (2, 4), (1, 1), (2, 1), ((0, 2), (3, 1))),
    "stride": Geometry((11, 10), (3, 3), (2, 2), (1, 1), ((1, 1), (1, 1))),
    "stride and dilation": Geometry((12, 13), (3, 2), (3, 2), (2, 3), ((2, 0), (1, 4))),
    "elements in no window": Geometry((9, 9), (1, 1), (3, 4), (1, 1), ((0, 0), (0, 0))),
    "elements cut off": Geometry((8, 7), (2, 2), (2, 1), (1, 2), ((-1, -2), (-1, 1))),
    "windows over zeros alone": Geometry((2, 2), (3, 3), (1, 1), (1, 1), ((3, 3), (4, 2))),
    "long runs": Geometry((50, 61), (5, 5), (1, 1), (1, 1), ((2, 2), (2, 2))),
}


def reference(x, weight, geometry, groups):
    """The convolution of (N, G · C, height, width) with (G · O, C, window)."""
    for axis, (before, after) in enumerate(geometry.padding, start=2):
        x = np.pad(x, [(max(before, 0), max(after, 0)) if a == axis else (0, 0) for a in range(4)])
        x = np.take(x, range(max(-before, 0), x.shape[axis] - max(-after, 0)), axis)
    arrays = (np.ascontiguousarray(array, np.float64) for array in (x, weight))
    return plain.convolution(*arrays, geometry.stride, geometry.dilation, groups)


def derivative(function, shape, y, index):
    """Derivative of Σ function(array) · y, which is linear in the array, by an element of it."""
    unit = np.zeros(shape)
    unit.flat[index] = 1
    return (function(unit) * y).sum()
