"""Convolution layers; see :func:`minigrad.nn.functional.conv2d` for their arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from minigrad.engine.tensor import Tensor
from minigrad.nn import functional
from minigrad.nn.functional.windows import Sizes, for_each_axis
from minigrad.nn.linear import uniform_parameter
from minigrad.nn.module import Module


class _Convolution(Module):
    """Base of the convolution layers: weights and bias, uniform on ±1/√(inputs of a result), as in PyTorch."""

    axes: ClassVar[int]
    function: ClassVar[Callable[..., Any]]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, groups: int, bias: bool, transposed: bool
    ) -> None:
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"groups: expected a divisor of {in_channels} and {out_channels} channels, got {groups}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = for_each_axis("kernel_size", kernel_size, self.axes, 1)
        self.groups = groups
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        fan_in = second // groups * math.prod(self.kernel_size)
        self.weight = uniform_parameter((first, second // groups, *self.kernel_size), fan_in)
        self.bias = uniform_parameter((out_channels,), fan_in) if bias else None

    def settings(self) -> dict[str, Any]:
        """The arguments of the function besides input, weight and bias."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return type(self).function(x, self.weight, self.bias, **self.settings())

    def extra_repr(self) -> str:
        nothing, close = (0,) * self.axes, (1,) * self.axes
        usual = {"padding": nothing, "output_padding": nothing, "dilation": close, "groups": 1}
        shown = {"kernel_size": self.kernel_size, **self.settings()}
        texts = [f"{name}={value}" for name, value in shown.items() if name not in usual or value != usual[name]]
        texts += [] if self.bias is not None else ["bias=False"]
        return ", ".join([str(self.in_channels), str(self.out_channels), *texts])


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | Literal["valid", "same"] = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, groups, bias, transposed=False)
        self.stride = for_each_axis("stride", stride, self.axes, 1)
        self.padding = padding if isinstance(padding, str) else for_each_axis("padding", padding, self.axes, 0)
        self.dilation = for_each_axis("dilation", dilation, self.axes, 1)

    def settings(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}


class _ConvTranspose(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, groups, bias, transposed=True)
        self.stride = for_each_axis("stride", stride, self.axes, 1)
        self.padding = for_each_axis("padding", padding, self.axes, 0)
        self.output_padding = for_each_axis("output_padding", output_padding, self.axes, 0)
        self.dilation = for_each_axis("dilation", dilation, self.axes, 1)

    def settings(self) -> dict[str, Any]:
        names = ("stride", "padding", "output_padding", "dilation", "groups")
        return {name: getattr(self, name) for name in names}


class Conv1d(_Conv):
    """1-d convolution: (N, in_channels, L) to (N, out_channels, count)."""

    axes = 1
    function = functional.conv1d


class Conv2d(_Conv):
    """2-d convolution: (N, in_channels, H, W) to (N, out_channels, rows, columns).

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.Conv2d(3, 16, 3, padding=1)
        >>> layer
        Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
        >>> layer(mg.ones((1, 3, 8, 8))).shape
        (1, 16, 8, 8)
    """

    axes = 2
    function = functional.conv2d


class Conv3d(_Conv):
    """3-d convolution: (N, in_channels, D, H, W) to (N, out_channels, …)."""

    axes = 3
    function = functional.conv3d


class ConvTranspose1d(_ConvTranspose):
    """1-d transposed convolution: (N, in_channels, L) to (N, out_channels, size)."""

    axes = 1
    function = functional.conv_transpose1d


class ConvTranspose2d(_ConvTranspose):
    """2-d transposed convolution: (N, in_channels, H, W) to (N, out_channels, rows, columns)."""

    axes = 2
    function = functional.conv_transpose2d


class ConvTranspose3d(_ConvTranspose):
    """3-d transposed convolution: (N, in_channels, D, H, W) to (N, out_channels, …)."""

    axes = 3
    function = functional.conv_transpose3d
