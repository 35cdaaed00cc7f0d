"""NumPy's protocols: ``np.sin(t)`` and ``np.concatenate([t, a])`` give tensors, with gradients; tensors are arrays.

NumPy asks the tensor (``__array_ufunc__``, NEP 13; ``__array_function__``, NEP 18), which finds the function of the
same meaning in this package and passes the arguments that are not defaults by name. Where there is none, or it
lacks one of the arguments, NumPy's own function gets plain arrays, unless a gradient would be lost.
"""

from __future__ import annotations

import dis
import functools
import inspect
import operator
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.engine.grad_mode import is_grad_enabled
from minigrad.engine.tensor import Array, Tensor, as_array
from minigrad.ops.arguments import axis_indices
from minigrad.ops.comparisons import where
from minigrad.ops.creation import asarray
from minigrad.ops.linalg.decompositions import eigh, eigvalsh, qr, svd, svdvals
from minigrad.ops.linalg.pseudoinverses import lstsq
from minigrad.ops.padding import roll
from minigrad.ops.products import cross
from minigrad.ops.scatter import put_along_axis
from minigrad.ops.shape import moveaxis, transpose
from minigrad.trees import flatten, map_leaves

Function = Callable[..., Any]

# NumPy's and SciPy's functions that have another name here; None where that name means something else
NAMES: dict[str, str | None] = {
    **{"gammaln": "lgamma", "psi": "digamma", "expit": "sigmoid", "log_expit": "log_sigmoid"},
    **{"asanyarray": "asarray", "identity": "eye", "fix": "trunc", "real_if_close": "real"},
    "save": None,
}
METHODS = {
    "reduce": {
        **{"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"},
        **{"logical_and": "all", "logical_or": "any"},
    },
    "accumulate": {"add": "cumsum", "multiply": "cumprod"},
}
KEYWORDS = {"ddof": "correction", "a_min": "min", "a_max": "max", "rcond": "rtol", "M": "n_cols"}
# Arguments that do not affect the result. A sort is always stable here.
HINTS = {"kind", "overwrite_input", "subok"}
OF_UFUNCS = inspect.signature(
    lambda *inputs, out=None, where=True, casting="same_kind", order="K", dtype=None, subok=True, **others: None
)
# Functions that inspect or store arrays, where no gradient is expected
GRADIENT_FREE = {
    *("array2string", "array_equiv", "array_repr", "array_str", "bitwise_count", "common_type", "diag_indices_from"),
    *("einsum_path", "iscomplex", "iscomplexobj", "isneginf", "isposinf", "isreal", "isrealobj", "lexsort"),
    *("matrix_rank", "may_share_memory", "min_scalar_type", "nanargmax", "nanargmin", "save", "savetxt", "savez"),
    *("savez_compressed", "shares_memory", "tril_indices_from", "triu_indices_from"),
}
# Functions that change their first argument, and the alternative for a tensor
ASSIGN = "assign to the tensor, as in x[index] = values"
WRITERS = dict.fromkeys(("copyto", "fill_diagonal", "place", "put", "putmask"), ASSIGN) | {
    "at": "use index_add or scatter_add"
}


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int = -1) -> None:
    """In-place ``put_along_axis``, as NumPy's."""
    arr[...] = put_along_axis(arr, indices, values, axis)


def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """``cross`` with NumPy's separate axes for the vectors."""
    if axis is not None:
        axisa = axisb = axisc = axis
    return moveaxis(cross(moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)), -1, axisc)


def _shifted(x: Any, axes: Any, places: Callable[[int], int]) -> Any:
    """``fftshift`` and ``ifftshift``: move the zero frequency between the start and the middle."""
    axes = tuple(range(x.ndim)) if axes is None else axis_indices(axes, x.ndim, "axes", repeated=True)
    return roll(x, tuple(places(x.shape[axis]) for axis in axes), axes)


def _qr(a: Any, mode: Any = "reduced") -> Any:
    """``qr`` with NumPy's mode for R alone."""
    return qr(a).R if mode == "r" else qr(a, mode)


# Functions of shapes only, which the operations call often
FACTS: dict[Function, Function] = {
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else int(np.prod(np.take(a.shape, axis))),
}
SPECIAL: dict[Function, Function] = {
    np.array: lambda object, dtype=None, copy=True: asarray(object, dtype, copy=copy),
    np.copy: lambda a: a.copy(),
    np.fft.fftshift: lambda x, axes=None: _shifted(x, axes, lambda size: size // 2),
    np.fft.ifftshift: lambda x, axes=None: _shifted(x, axes, lambda size: -(size // 2)),
    np.where: lambda condition, x=None, y=None: where(condition, x, y),
    np.transpose: lambda a, axes=None: transpose(a, *(() if axes is None else (tuple(axes),))),
    np.put_along_axis: _put_along_axis,
    np.cross: _cross,
    np.linalg.qr: _qr,
    np.linalg.eigh: lambda a, UPLO="L": eigh(a, UPLO.upper()),
    np.linalg.eigvalsh: lambda a, UPLO="L": eigvalsh(a, UPLO.upper()),
    np.linalg.lstsq: lambda a, b, rtol=None: lstsq(a, b, None if rtol == -1 else rtol),  # -1: eps
    np.linalg.svd: lambda a, full_matrices=True, compute_uv=True: svd(a, full_matrices) if compute_uv else svdvals(a),
}


def array_namespace(self: Tensor, *, api_version: str | None = None) -> ModuleType:
    """Array API namespace: this package."""
    namespace = sys.modules["minigrad"]
    if api_version not in (None, *SUPPORTED):
        raise ValueError(f"api_version: expected one of {', '.join(SUPPORTED)}, got {api_version!r}")
    return namespace


SUPPORTED = ("2021.12", "2022.12", "2023.12", "2024.12")


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """``__array_ufunc__`` (NEP 13): NumPy's ufuncs on tensors."""
    called = method == "__call__"
    name = ufunc.__name__ if called else METHODS.get(method, {}).get(ufunc.__name__)
    function = None if name is None else _counterpart("numpy", name)
    if called and function is not None and not kwargs:
        return function(*inputs)
    if method in ("reduce", "accumulate"):
        kwargs.setdefault("axis", 0)
    label = f"{_module_of(ufunc)}.{ufunc.__name__}" + ("" if called else f".{method}")
    return _call(label, getattr(ufunc, method), OF_UFUNCS, function, inputs, kwargs)


def _module_of(ufunc: np.ufunc) -> str:
    """Public module of a ufunc, which does not record it itself."""
    modules = ((name, sys.modules.get(name)) for name in ("numpy", "scipy.special"))
    return next((name for name, module in modules if getattr(module, ufunc.__name__, None) is ufunc), "ufunc")


def array_function(self: Tensor, func: Function, types: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """``__array_function__`` (NEP 18): NumPy's other functions on tensors."""
    fact = FACTS.get(func)
    if fact is not None:
        return fact(*args, **kwargs)
    function = SPECIAL.get(func) or _counterpart(func.__module__, func.__name__)
    return _call(f"{func.__module__}.{func.__name__}", func, _signature(func), function, args, kwargs)


def _counterpart(module: str, name: str) -> Function | None:
    """Equivalent function of this package, if there is one."""
    minigrad = sys.modules["minigrad"]
    namespaces = {"numpy": minigrad, "numpy.lib.stride_tricks": minigrad}
    namespace = minigrad.linalg if module == "numpy.linalg" else namespaces.get(module)
    ours = NAMES.get(name, name)
    return None if ours is None else getattr(namespace, ours, None)


def _call(
    label: str, func: Function, signature: inspect.Signature, function: Function | None, args: Any, kwargs: Any
) -> Any:
    """Dispatch a call: to this package's function if it takes the arguments, else to NumPy's on plain arrays."""
    required, options = _bind(signature, args, kwargs)
    lacking = [] if function is None else [name for name in options if name not in _signature(function).parameters]
    if function is not None and not lacking:
        return function(*required, **options)
    name = label.rpartition(".")[2]
    if name in WRITERS and _tensors(required[:1]):
        raise TypeError(f"{label} would change the tensor unseen; {WRITERS[name]}")
    if _tensors(options.get("out")):
        raise TypeError(f"{label}: out cannot be a tensor; {ASSIGN}")
    if is_grad_enabled() and name not in GRADIENT_FREE and any(t.requires_grad for t in _tensors((args, kwargs))):
        if name in WRITERS or "out" in options:
            problem = "cannot write into an array with gradients"
        else:
            problem = " ".join([*(f"with {option}=" for option in lacking), "has no counterpart in minigrad"])
        raise TypeError(f"{label} {problem}, so the gradient would be lost; use detach() if that is what you want")
    return func(*map_leaves(_plain, args), **map_leaves(_plain, kwargs))


def _bind(signature: inspect.Signature, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """Bind a call's arguments: required ones by position, others by this package's names, defaults omitted."""
    required: list[Any] = []
    options: dict[str, Any] = {}
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            required += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            options |= value
        elif parameter.default is parameter.empty:
            required.append(value)
        elif not (name in HINTS or _is_same(value, parameter.default) or (name == "order" and _is_same(value, "C"))):
            options[KEYWORDS.get(name, name)] = value
    return required, options


@functools.cache
def _signature(function: Function) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except ValueError:  # some of NumPy's functions in C
        return inspect.signature(lambda *args, **kwargs: None)


def _is_same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and value == default)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in flatten(tree)[0] if isinstance(leaf, Tensor)]


def _plain(value: Any) -> Any:
    """Read-only array of a tensor: an untracked write would make gradients wrong."""
    if not isinstance(value, Tensor):
        return value
    array = as_array(value).view()
    array.flags.writeable = False
    return array


# Tensors as arrays and numbers


def _array(self: Tensor, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
    return np.array(self.numpy(), dtype=dtype, copy=copy)


def _dlpack(
    self: Tensor,
    *,
    stream: None = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """``__dlpack__``: export the memory to another library, without a copy unless requested."""
    return self.numpy().__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)


def _to_device(self: Tensor, device: str, /, *, stream: None = None) -> Tensor:
    """Return the tensor itself: the only device is "cpu".

    Raises:
        ValueError: another device, or a stream, is asked for.
    """
    if device != "cpu" or stream is not None:
        raise ValueError(f"device: expected 'cpu' (without a stream), got {device!r}")
    return self


_STORE_SUBSCR = dis.opmap["STORE_SUBSCR"]


def _number(kind: Callable[[Any], Any]) -> Callable[[Tensor], Any]:
    """Conversion to a number; refused for ``array[0] = tensor``, where the array would lose the gradient."""

    def convert(self: Tensor) -> Any:
        caller = sys._getframe(1)
        if self.requires_grad and caller.f_code.co_code[caller.f_lasti] == _STORE_SUBSCR:
            raise RuntimeError(
                "array[...] = tensor: this tensor requires a gradient, which the array would lose; use .detach()"
            )
        return kind(self.data)

    return convert


for _name, _attribute in {
    "__array_ufunc__": array_ufunc,
    "__array_function__": array_function,
    "__array_namespace__": array_namespace,
    "__array__": _array,
    "__dlpack__": _dlpack,
    "__dlpack_device__": lambda self: self.data.__dlpack_device__(),
    "itemsize": property(lambda self: self.data.itemsize, doc="Bytes of one element."),
    "nbytes": property(lambda self: self.data.nbytes, doc="Bytes of all elements."),
    "device": property(lambda self: "cpu", doc='Always "cpu".'),
    "to_device": _to_device,
    "__int__": _number(int),
    "__float__": _number(float),
    "__complex__": _number(complex),
    "__index__": lambda self: operator.index(self.data),
}.items():
    setattr(Tensor, _name, _attribute)
