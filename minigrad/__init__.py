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

_load, __dir__, _names = _lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in _names if name not in ("engine", "kernels", "onnx", "testing", "viz")]


def __getattr__(name: str) -> _Any:
    if name in ("engine", "kernels"):  # which stand below the operations
        return _load(name)
    _import_module("minigrad.ops")  # which gives tensors their methods
    pytorch = _import_module("minigrad.pytorch_names")
    if name not in _names:  # with a hint, or unknown
        _import_module("minigrad.name_hints").module_hints(__name__, pytorch.HINTS["mg"])(name)
    value = globals()[name] = pytorch.with_argument_hints(_load(name), __name__)
    return value
