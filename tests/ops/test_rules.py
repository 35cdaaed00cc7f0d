"""Validation of derivative rules."""

from __future__ import annotations

from functools import partial, wraps
from typing import Any

import pytest

import minigrad as mg
from minigrad.ops.primitive import primitive


def _scaled(factor: float, g: Any) -> Any:
    return factor * g


def _decorated(rule: Any) -> Any:
    @wraps(rule)
    def wrapper(*args: Any) -> Any:
        return rule(*args)

    return wrapper


class _Doubling:
    def __call__(self, g: Any) -> Any:
        return g * 2

    def method(self, g: Any) -> Any:
        return g * 2


@pytest.mark.parametrize(
    "rule",
    [lambda g: g * 2, partial(_scaled, 2), _Doubling(), _Doubling().method, _decorated(lambda g: g * 2)],
    ids=["function", "partial", "object", "method", "decorated"],
)
def test_any_callable_with_named_parameters_is_a_rule(rule):
    @primitive
    def double(x, /):
        return x * 2

    double.vjp(x=rule)
    x = mg.tensor([1.0, 3.0], requires_grad=True)
    double(x).sum().backward()
    assert x.grad.numpy().tolist() == [2, 2]
