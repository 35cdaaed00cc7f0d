"""A small tensor autograd engine: NumPy's array functions, PyTorch's autograd, Numba kernels for the CPU.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> y = (x * x).sum()
>>> y.backward()
>>> x.grad
tensor([2., 4., 6.])

Names are loaded when they are first used (PEP 562); ``__init__.pyi`` lists them.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

import lazy_loader as _lazy_loader

__version__ = "0.1.0"

_load, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> _Any:
    if name in __all__ and name not in ("engine", "kernels"):  # modules below the operations
        for floor in ("minigrad.autograd", "minigrad.numpy_protocol"):  # modules that add methods to tensors
            _import_module(floor)
    value = globals()[name] = _load(name)
    return value
