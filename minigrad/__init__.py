"""A small tensor autograd engine: NumPy's array functions, PyTorch's autograd, Numba kernels for the CPU.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> y = (x * x).sum()
>>> y.backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from importlib import import_module as _import_module
from typing import Any as _Any

from minigrad import autograd, func, linalg, nn, operators, optim, random
from minigrad.dtypes import *
from minigrad.io import load, save
from minigrad.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from minigrad.ops.aliases import *
from minigrad.ops.comparisons import *
from minigrad.ops.complex import *
from minigrad.ops.creation import *
from minigrad.ops.diagonals import *
from minigrad.ops.differences import *
from minigrad.ops.einsum import *
from minigrad.ops.elementwise import *
from minigrad.ops.indexing import *
from minigrad.ops.joining import *
from minigrad.ops.matrices import *
from minigrad.ops.normalization import *
from minigrad.ops.norms import norm
from minigrad.ops.padding import *
from minigrad.ops.products import *
from minigrad.ops.reductions import *
from minigrad.ops.scans import *
from minigrad.ops.scatter import *
from minigrad.ops.shape import *
from minigrad.ops.sorting import *
from minigrad.ops.special import *
from minigrad.random import manual_seed
from minigrad.tensor import Tensor

__version__ = "0.1.0"

_ON_DEMAND = ("onnx", "testing", "viz")  # a program that does not use them does not wait for them


def __getattr__(name: str) -> _Any:
    if name in _ON_DEMAND:
        return _import_module(f"minigrad.{name}")
    raise AttributeError(f"module 'minigrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
