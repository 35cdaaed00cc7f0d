"""The engine stands alone: NumPy is all that it needs."""

from __future__ import annotations

import subprocess
import sys

ALONE = """
import sys
import numpy as np
import minigrad.engine
from minigrad.engine import Tensor, backward_pass, primitive

ours = {name for name in sys.modules if name.split(".")[0] == "minigrad"}
assert all(name == "minigrad" or name.startswith("minigrad.engine") for name in ours), ours
assert not {"numba", "llvmlite"} & sys.modules.keys()


@primitive
def multiply(a, b, /):
    return np.multiply(a, b)


multiply.vjp(a=lambda g, b: multiply(g, b), b=lambda g, a: multiply(g, a))


@primitive
def sine(x, /):
    return np.sin(x)


@primitive
def cosine(x, /):
    return np.cos(x)


minus = Tensor(np.array(-1.0))
sine.vjp(x=lambda g, x: multiply(g, cosine(x)))
cosine.vjp(x=lambda g, x: multiply(multiply(g, minus), sine(x)))

# x sin(wx): x of shape (3,) broadcasts against w of shape (2, 1)
x = Tensor(np.array([0.5, 1.0, 2.0]), requires_grad=True)
w = Tensor(np.array([[1.0], [3.0]]), requires_grad=True)
y = multiply(x, sine(multiply(w, x)))
ones = Tensor(np.ones((2, 3)))
slopes = backward_pass([y], [ones], [x, w], retain_graph=True, create_graph=True)
(bent,) = backward_pass([slopes[0]], [Tensor(np.ones(3))], [x], retain_graph=True)
X, W = x.data, w.data
np.testing.assert_allclose(slopes[0].data, (np.sin(W * X) + W * X * np.cos(W * X)).sum(0), rtol=1e-12)
np.testing.assert_allclose(slopes[1].data, (X * X * np.cos(W * X)).sum(1, keepdims=True), rtol=1e-12)
np.testing.assert_allclose(bent.data, (2 * W * np.cos(W * X) - W * W * X * np.sin(W * X)).sum(0), rtol=1e-12)

# Into leaves, through a graph that promotes: float32 gets a float32 gradient
leaf = Tensor(np.float32([1, 2]), requires_grad=True)
promoting = primitive(lambda a, b, /: a * b, dtypes="numeric")
promoting.vjp(a=lambda g, b: g * b)
backward_pass([promoting(leaf, np.array([3.0, 4.0]))], [Tensor(np.ones(2))])
assert leaf.grad.dtype == np.float32 and leaf.grad.tolist() == [3, 4]

ours = {name for name in sys.modules if name.split(".")[0] == "minigrad"}
assert all(name == "minigrad" or name.startswith("minigrad.engine") for name in ours), ours
assert "numba" not in sys.modules
"""


def test_an_operation_of_ones_own_is_differentiated_twice_by_the_engine_alone() -> None:
    result = subprocess.run([sys.executable, "-W", "error", "-c", ALONE], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
