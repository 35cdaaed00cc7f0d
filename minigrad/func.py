"""Derivatives as functions of functions, in JAX's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad import autograd
from minigrad.graph import enable_grad
from minigrad.ops.creation import zeros_like
from minigrad.tensor import Tensor


def _outputs(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def jvp(
    function: Callable[..., Any], primals: Sequence[Tensor], tangents: Sequence[Any]
) -> tuple[Any, tuple[Tensor, ...]]:
    """The value of a function and its Jacobian-vector product.

    The product Jᵀu is linear in the cotangent u, so differentiating it with respect to u along v gives Jv: two
    reverse sweeps make one forward one, and no operation needs a second rule.

    Args:
        function: from tensors to a tensor or a tuple of them.
        primals: where to differentiate; those that require a gradient are differentiated.
        tangents: a direction for each primal.

    Returns:
        The function's value, and a tangent for each of its outputs.
    """
    with enable_grad():
        value = function(*primals)
        outputs = _outputs(value)
        cotangents = [zeros_like(output).requires_grad_() for output in outputs]
        moving = [(x, v) for x, v in zip(primals, tangents, strict=True) if x.requires_grad]
        depending = [(y, u) for y, u in zip(outputs, cotangents, strict=True) if y.requires_grad]
        if not depending or not moving:
            return value, tuple(zeros_like(output) for output in outputs)
        gradients = autograd.grad(
            [y for y, _ in depending], [x for x, _ in moving], [u for _, u in depending], None, True, True
        )
        along = [
            (gradient * v).sum() for gradient, (_, v) in zip(gradients, moving, strict=True) if gradient is not None
        ]
        total = along[0] if along else None
        for term in along[1:]:
            total = total + term
    if total is None or not total.requires_grad:
        return value, tuple(zeros_like(output) for output in outputs)
    found = autograd.grad(total, cotangents, retain_graph=True, create_graph=True, allow_unused=True)
    return value, tuple(
        zeros_like(output) if tangent is None else tangent for output, tangent in zip(outputs, found, strict=True)
    )
