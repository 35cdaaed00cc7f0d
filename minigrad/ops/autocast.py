"""Automatic mixed precision: products of float32 tensors with operands rounded to bfloat16.

Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019.
"""

from __future__ import annotations

from contextvars import ContextVar

from minigrad.engine.grad_mode import Mode

__all__ = [
    "autocast",
]

# What kernels call ``precision``. Operations read it when they are called and keep it for their derivatives.
product_precision: ContextVar[str | None] = ContextVar("product_precision", default=None)


class autocast(Mode):
    """Mixed precision: matrix products and attention round their float32 operands to bfloat16 and sum in float32.

    Nothing else changes: results, gradients and all other operations are float32, and float64 stays as it is. The
    derivative of a product has the precision that the product had, wherever the backward pass runs. These products
    are those of :func:`matmul` and what is made of it (``@``, ``einsum``, ``tensordot``, …), linear and attention
    layers; those of linear algebra, convolutions and recurrent layers keep float32.

    A context manager and a decorator, also of generators and coroutines. Threads and asynchronous tasks do not see
    each other's precision. It is faster on CPUs with AVX512-BF16, and slower than float32 on others, which widen.

    Args:
        dtype: "bfloat16", or "float32" for operands as they are.
        enabled: False for float32, whatever the dtype.

    Raises:
        ValueError: there is no such precision.

    Example:
        >>> import minigrad as mg
        >>> x = mg.ones((2, 2))
        >>> with mg.autocast("bfloat16"):
        ...     y = x @ x
        >>> y.dtype
        dtype('float32')
    """

    def __init__(self, dtype: str = "bfloat16", enabled: bool = True) -> None:
        if dtype not in ("bfloat16", "float32"):
            raise ValueError(f"dtype: expected 'bfloat16' or 'float32', got {dtype!r}")
        super().__init__(product_precision, dtype if enabled and dtype != "float32" else None)
