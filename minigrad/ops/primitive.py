"""Primitive operations: the engine's, with a batching rule and errors that name the invalid parameter.

See :mod:`minigrad.engine.primitive` for how an operation is defined.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, overload

import numpy as np

from minigrad.engine.primitive import Primitive, Promotion, WithResiduals
from minigrad.engine.tensor import Tensor
from minigrad.name_hints import check_keywords
from minigrad.ops.arguments import MOST_AXES, as_integer, as_number, as_shape, as_truth, check_axis
from minigrad.ops.batching import BatchingRule, batching_rules
from minigrad.pytorch_names import ARGUMENTS, OF_TWO

__all__ = ["WithResiduals", "primitive"]

_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "int": as_integer,
    "bool": as_truth,
    "float": as_number,
    **dict.fromkeys(("Shape", "int | Shape", "Sequence[int]", "Axes", "tuple[int, ...]"), as_shape),
}


class Checked(Primitive):
    """Operation whose parameters are checked against their annotations."""

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        try:
            return super()._bind(args, kwargs)
        except TypeError:
            check_keywords(self.name, kwargs, ARGUMENTS, self)
            raise

    def check(self, params: dict[str, Any]) -> None:
        """Check parameters against their annotations.

        Raises:
            TypeError: one is not; the message names it.
        """
        for name, value in params.items():
            annotation = str(self.__signature__.parameters[name].annotation)
            kind = annotation.removesuffix(" | None")
            if kind in _CHECKS and not (value is None and kind != annotation):
                _CHECKS[kind](value, name)


class _AlongAxis(Checked):
    """Operation with a parameter ``axis``, which is checked before NumPy takes True for 1."""

    def __init__(self, forward: Callable[..., Any], dtypes: Promotion, view: bool) -> None:
        super().__init__(forward, dtypes, view)
        kinds = str(self.__signature__.parameters["axis"].annotation)
        self._several_axes = "tuple" in kinds or kinds == "Axis"
        self._all_axes = self._several_axes or "None" in kinds
        self._most = -1  # a call of every form is checked here

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, params = super()._bind(args, kwargs)
        axis = params["axis"]
        usual = type(axis) is int and -MOST_AXES <= axis <= MOST_AXES
        if not usual and not (axis is None and self._all_axes):
            if self.name in OF_TWO and isinstance(axis, (Tensor, np.ndarray)) and axis.ndim:
                raise TypeError(f"{self.name}: use {OF_TWO[self.name]}(x, y)")
            check_axis(axis, getattr(args[0], "ndim", 0) if args else 0, self._several_axes)
        return args, params


@overload
def primitive(forward: Callable[..., Any], /) -> Primitive: ...
@overload
def primitive(
    *, dtypes: Promotion = ..., view: bool = ..., batching: BatchingRule | None = ...
) -> Callable[[Callable[..., Any]], Primitive]: ...
def primitive(
    forward: Callable[..., Any] | None = None,
    /,
    *,
    dtypes: Promotion = "keep",
    view: bool = False,
    batching: BatchingRule | None = None,
) -> Primitive | Callable[[Callable[..., Any]], Primitive]:
    """Define an operation from a function of arrays.

    Args:
        forward: arrays in, array (or a tuple of arrays, or :class:`WithResiduals`) out.
        dtypes: promotion of the inputs. ``"keep"``: none. ``"numeric"``: they are brought to one dtype.
            ``"floating"``: and that one is floating.
        view: the result may share its input's memory.
        batching: the batching rule, see :mod:`minigrad.ops.batching`.
    """

    def define(function: Callable[..., Any]) -> Primitive:
        kind = _AlongAxis if "axis" in inspect.signature(function).parameters else Checked
        operation = kind(function, dtypes, view)
        if batching is not None:
            batching_rules[operation] = batching
        return operation

    return define if forward is None else define(forward)
