"""Normalization layers; see :mod:`minigrad.nn.functional` for the formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from minigrad.engine.tensor import Shape, Tensor, write_to
from minigrad.nn import functional
from minigrad.nn.functional.normalization import layer_norm
from minigrad.nn.module import Module, Parameter
from minigrad.ops.creation import ones, zeros


def _as_shape(normalized_shape: int | Sequence[int]) -> Shape:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class LayerNorm(Module):
    """Layer normalization: the last axes to mean 0 and variance 1, then scaled and shifted. Ba, Kiros and Hinton, 2016.

    Args:
        normalized_shape: the sizes of these axes.
        eps: added to the variance.
        elementwise_affine: whether to learn the scale and the shift.
        bias: whether to learn the shift, if so.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.weight = Parameter(ones(self.normalized_shape)) if elementwise_affine else None
        self.bias = Parameter(zeros(self.normalized_shape)) if elementwise_affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"


class RMSNorm(Module):
    """Root-mean-square normalization: the last axes to mean square 1, then scaled. Zhang and Sennrich, 2019.

    Args:
        normalized_shape: the sizes of these axes.
        eps: added to the mean square; the distance from 1 to the next number of the input's dtype when None.
        elementwise_affine: whether to learn the scale.
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True
    ) -> None:
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.weight = Parameter(ones(self.normalized_shape)) if elementwise_affine else None

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"


class GroupNorm(Module):
    """Group normalization: groups of channels to mean 0 and variance 1, then scaled and shifted. Wu and He, 2018.

    Args:
        num_groups: the number of groups of neighbouring channels.
        num_channels: the number of channels, which they divide.
        eps: added to the variance.
        affine: whether to learn a scale and a shift for each channel.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"num_groups: expected a divisor of the {num_channels} channels, got {num_groups}")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.weight = Parameter(ones(num_channels)) if affine else None
        self.bias = Parameter(zeros(num_channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        return functional.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.weight is not None}"


class _BatchNorm(Module):
    """Batch normalization: each channel to mean 0 and variance 1, then scaled and shifted. Ioffe and Szegedy, 2015.

    In evaluation running averages of the batches' statistics take their place; they are part of the state.

    Args:
        num_features: the number of channels.
        eps: added to the variance.
        momentum: the newest batch's weight in the running averages; None weighs all batches alike.
        affine: whether to learn a scale and a shift for each channel.
        track_running_stats: whether to keep running averages. Otherwise the batch's own statistics are always used.
    """

    input_dims: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.weight = Parameter(ones(num_features)) if affine else None
        self.bias = Parameter(zeros(num_features)) if affine else None
        self.running_mean = zeros(num_features) if track_running_stats else None
        self.running_var = ones(num_features) if track_running_stats else None
        self.num_batches_tracked = zeros((), np.int64) if track_running_stats else None

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in self.input_dims:
            raise ValueError(f"x: expected {' or '.join(map(str, self.input_dims))} axes, got shape {x.shape}")
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            write_to(self.num_batches_tracked)
            self.num_batches_tracked.data += 1
            if self.momentum is None:
                momentum = 1 / self.num_batches_tracked.item()
        by_batch = self.training or self.running_mean is None
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, by_batch, momentum, self.eps
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"track_running_stats={self.running_mean is not None}"
        )


class BatchNorm1d(_BatchNorm):
    __doc__ = f"{_BatchNorm.__doc__}\n    Inputs are (N, C) or (N, C, L).\n    "
    input_dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = f"{_BatchNorm.__doc__}\n    Inputs are (N, C, H, W).\n    "
    input_dims = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = f"{_BatchNorm.__doc__}\n    Inputs are (N, C, D, H, W).\n    "
    input_dims = (5,)
