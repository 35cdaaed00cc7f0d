"""Pooling layers; see :func:`minigrad.nn.functional.max_pool` and ``avg_pool`` for their arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from minigrad.engine.tensor import Tensor
from minigrad.nn import functional
from minigrad.nn.functional.windows import Sizes
from minigrad.nn.module import Module


class _MaxPool(Module):
    function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Any:
        where = (self.kernel_size, self.stride, self.padding, self.dilation)
        return type(self).function(x, *where, self.ceil_mode, self.return_indices)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class _AvgPool(Module):
    function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        where = (self.kernel_size, self.stride, self.padding)
        return type(self).function(x, *where, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool1d(_MaxPool):
    """Max pooling: (N, C, L) to (N, C, count)."""

    function = functional.max_pool1d


class MaxPool2d(_MaxPool):
    """Max pooling: (N, C, H, W) to (N, C, rows, columns)."""

    function = functional.max_pool2d


class MaxPool3d(_MaxPool):
    """Max pooling: (N, C, D, H, W) to (N, C, …)."""

    function = functional.max_pool3d


class AvgPool1d(_AvgPool):
    """Average pooling: (N, C, L) to (N, C, count)."""

    function = functional.avg_pool1d


class AvgPool2d(_AvgPool):
    """Average pooling: (N, C, H, W) to (N, C, rows, columns)."""

    function = functional.avg_pool2d


class AvgPool3d(_AvgPool):
    """Average pooling: (N, C, D, H, W) to (N, C, …)."""

    function = functional.avg_pool3d
