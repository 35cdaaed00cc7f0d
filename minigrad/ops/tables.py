"""Tables of elementwise operations: a function of arrays, its name, and its derivative."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.engine.primitive import Primitive, Promotion
from minigrad.ops.batching import aligned, batching_rules
from minigrad.ops.primitive import Checked

_UNARY = inspect.signature(lambda x, /: ...)
_BINARY = inspect.signature(lambda a, b, /: ...)


def unary(
    forward: Callable[..., Any], name: str, vjp: Callable[..., Any] | None = None, dtypes: Promotion = "numeric"
) -> Primitive:
    """Unary operation, which keeps the dtype of its array where the values allow."""
    return _row(forward, name, _UNARY, dtypes, x=vjp)


def floating(forward: Callable[..., Any], name: str, vjp: Callable[..., Any] | None = None) -> Primitive:
    """Unary floating-point operation: integers become float32 first."""
    return _row(forward, name, _UNARY, "floating", x=vjp)


def binary(
    forward: Callable[..., Any],
    name: str,
    a: Callable[..., Any] | None = None,
    b: Callable[..., Any] | None = None,
    dtypes: Promotion = "numeric",
) -> Primitive:
    """Binary operation on two arrays that broadcast against each other."""
    return _row(forward, name, _BINARY, dtypes, a=a, b=b)


def _row(
    forward: Callable[..., Any],
    name: str,
    signature: inspect.Signature,
    dtypes: Promotion,
    **rules: Callable[..., Any] | None,
) -> Primitive:
    op = Checked(forward, dtypes, name=name, signature=signature)
    batching_rules[op] = aligned
    op.vjp(**{name: rule for name, rule in rules.items() if rule is not None})
    op.__doc__ = _summary(forward)
    return op


def _summary(forward: Callable[..., Any]) -> str | None:
    """First docstring paragraph of a function; NumPy's ufuncs have it after their signature."""
    text = inspect.getdoc(forward)
    return text.split("\n\n")[1] if text and isinstance(forward, np.ufunc) else text
