"""Adam with decoupled weight decay (AdamW): a step of all parameters in one call and one pass over memory.

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
from collections.abc import Sequence

import numpy as np

from minigrad.kernels.compiling.arguments import (
    FLOATS,
    check_floats,
    check_in_place,
    check_listed,
    check_numbers,
    check_shape,
)
from minigrad.kernels.compiling.compiler import SUMS, kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.compiling.vector import array_at
from minigrad.kernels.optimizers.multi_tensor import address_in, overlap, table_of

WORK = 8  # multiply-adds that one parameter costs about as much as


def adam_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    m: Sequence[np.ndarray],
    v: Sequence[np.ndarray],
    *,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    l2: float = 0.0,
    gradient_scale: float = 1.0,
) -> None:
    """Change all ``parameters``, ``m`` and ``v`` in place by one step.

    Args:
        parameters: arrays of any shapes, C-contiguous, all float32 or all float64.
        gradients: one for each parameter, of its shape and dtype, any strides; left alone.
        m: the running means of gradients, likewise, C-contiguous; zeros before the first step.
        v: the running means of squared gradients, likewise.
        step: the number of this step, from 1, for the bias correction.
        lr: the learning rate.
        beta1: how much of ``m`` is kept.
        beta2: how much of ``v`` is kept.
        eps: added to the denominator.
        weight_decay: the share of the parameter, times ``lr``, that is taken off.
        l2: so many times the parameter is added to its gradient: weight decay that is not decoupled.
        gradient_scale: a factor for the gradients, as from clipping by norm.

    Raises:
        TypeError: no float32 or float64, or mixed.
        ValueError: a shape does not fit, an array cannot be changed in place, or ``step`` is below 1.

    >>> parameter, m, v = np.ones(2), np.zeros(2), np.zeros(2)
    >>> adam_step([parameter], [np.array([2.0, -2.0])], [m], [v], step=1, lr=0.1)
    >>> parameter.round(6)
    array([0.9, 1.1])
    """
    check_numbers(step=step, lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, l2=l2)
    for name, sequence in (("parameters", parameters), ("gradients", gradients), ("m", m), ("v", v)):
        check_listed(name, sequence)
    if step < 1:
        raise ValueError(f"step must be at least 1; got {step}")
    gradients = [np.asarray(gradient, order="C") for gradient in gradients]
    arrays = list(zip(parameters, gradients, m, v, strict=True))
    if not arrays:
        return
    usual = True  # of thousands of arrays: errors are worded on demand
    for parameter, gradient, mean, square in arrays:
        for array in (parameter, gradient, mean, square):
            usual = usual and type(array) is np.ndarray and array.dtype == parameters[0].dtype
            usual = usual and array.shape == parameter.shape and array.flags.carray
    if not usual or parameters[0].dtype not in FLOATS:
        _check_arrays(arrays)
    root = math.sqrt(1 - beta2**step)
    keep, rate = 1 - lr * weight_decay, lr * root / (1 - beta1**step)
    numbers = [beta1, 1 - beta1, beta2, 1 - beta2, keep, rate, eps * root, gradient_scale, l2]
    scalars = np.array(numbers, parameters[0].dtype)
    table = table_of(parameters, gradients, m, v)
    _adam(table, scalars, threads_for(WORK * int(table[-1, 1])))


def _check_arrays(arrays: Sequence[tuple[np.ndarray, ...]]) -> None:
    for number, (parameter, gradient, mean, square) in enumerate(arrays):
        named = {"parameters": parameter, "gradients": gradient, "m": mean, "v": square}
        given = {f"{name}[{number}]": array for name, array in named.items()}
        check_floats(**({} if number == 0 else {"parameters[0]": arrays[0][0]}), **given)
        for name, array in given.items():
            check_shape(name, array, parameter.shape)
            if array is not gradient:
                check_in_place(name, array)


@kernel()
def _adam(table, scalars, parts):
    in_parallel(parts, _adam_part, (table, scalars))


@kernel(fastmath=SUMS)
def _adam_part(part, parts, table, scalars):
    # table: (parameters, 6), see multi_tensor.py. The bias correction of v is moved out of the root, to rate and eps.
    keep_m, take_m, keep_v, take_v = scalars[0], scalars[1], scalars[2], scalars[3]
    keep, rate, eps, scale, l2 = scalars[4], scalars[5], scalars[6], scalars[7], scalars[8]
    item = scalars.itemsize
    first, last = share(table[-1, 1], part, parts)
    for row in range(len(table)):
        start, count = overlap(table, row, first, last)
        parameter = array_at(address_in(table, row, 0, start, item), count, scalars)
        gradient = array_at(address_in(table, row, 1, start, item), count, scalars)
        m = array_at(address_in(table, row, 2, start, item), count, scalars)
        v = array_at(address_in(table, row, 3, start, item), count, scalars)
        for i in range(count):
            g = gradient[i] * scale + l2 * parameter[i]
            mean = keep_m * m[i] + take_m * g
            square = keep_v * v[i] + take_v * g * g
            m[i], v[i] = mean, square
            parameter[i] = keep * parameter[i] - rate * mean / (math.sqrt(square) + eps)
