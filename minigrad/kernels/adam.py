"""Adam with decoupled weight decay, all of a step in one pass over memory.

Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1 (arXiv:1412.6980); Loshchilov & Hutter,
"Decoupled Weight Decay Regularization", 2019, algorithm 2 (arXiv:1711.05101). For gradient g at step t:

    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g^2
    parameter = (1 - lr * weight_decay) * parameter - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.arguments import check_floats, check_in_place, check_shape
from minigrad.kernels.compiler import SUMS, kernel
from minigrad.kernels.parallel import in_parallel, share, threads_for

WORK = 8  # multiply-adds that one parameter costs about as much as


def adam_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    *,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    gradient_scale: float = 1.0,
) -> None:
    """Change ``parameter``, ``m`` and ``v`` in place by one step.

    Args:
        parameter: any shape, C-contiguous, float32 or float64.
        gradient: of the same shape and dtype, any strides; left alone.
        m: the running mean of gradients, of the same shape and dtype, C-contiguous; zeros before the first step.
        v: the running mean of squared gradients, likewise.
        step: the number of this step, from 1, for the bias correction.
        lr: the learning rate.
        beta1: how much of ``m`` is kept.
        beta2: how much of ``v`` is kept.
        eps: added to the denominator.
        weight_decay: the share of the parameter, times ``lr``, that is taken off.
        gradient_scale: a factor for the gradient, as from clipping by norm.

    Raises:
        TypeError: no float32 or float64, or mixed.
        ValueError: a shape does not fit, an array cannot be changed in place, or ``step`` is below 1.

    >>> parameter, m, v = np.ones(2), np.zeros(2), np.zeros(2)
    >>> adam_step(parameter, np.array([2.0, -2.0]), m, v, step=1, lr=0.1)
    >>> parameter.round(6)
    array([0.9, 1.1])
    """
    check_floats(parameter=parameter, gradient=gradient, m=m, v=v)
    for name, array in (("gradient", gradient), ("m", m), ("v", v)):
        check_shape(name, array, parameter.shape)
    for name, array in (("parameter", parameter), ("m", m), ("v", v)):
        check_in_place(name, array)
    if step < 1:
        raise ValueError(f"step must be at least 1; got {step}")
    root = math.sqrt(1 - beta2**step)
    scalars = np.array(
        [
            beta1,
            1 - beta1,
            beta2,
            1 - beta2,
            1 - lr * weight_decay,
            lr * root / (1 - beta1**step),
            eps * root,
            gradient_scale,
        ],
        parameter.dtype,
    )
    _adam(
        parameter.reshape(-1),
        np.ascontiguousarray(gradient).reshape(-1),
        m.reshape(-1),
        v.reshape(-1),
        scalars,
        threads_for(WORK * parameter.size),
    )


@kernel()
def _adam(parameter, gradient, m, v, scalars, parts):
    in_parallel(parts, _adam_range, (parameter, gradient, m, v, scalars))


@kernel(fastmath=SUMS)
def _adam_range(part, parts, parameter, gradient, m, v, scalars):
    # parameter, gradient, m, v: (n,). The correction of v is moved out of the square root, into rate and eps.
    keep_m, take_m, keep_v, take_v = scalars[0], scalars[1], scalars[2], scalars[3]
    keep, rate, eps, scale = scalars[4], scalars[5], scalars[6], scalars[7]
    first, last = share(len(parameter), part, parts)
    for i in range(first, last):
        g = gradient[i] * scale
        mean = keep_m * m[i] + take_m * g
        square = keep_v * v[i] + take_v * g * g
        m[i], v[i] = mean, square
        parameter[i] = keep * parameter[i] - rate * mean / (math.sqrt(square) + eps)
