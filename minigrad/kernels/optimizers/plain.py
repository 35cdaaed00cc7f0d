"""Adam in its plain form: one parameter after the other, the oracle of the fast one's tests."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

from minigrad.kernels.compiling.compiler import kernel


@kernel()
def adam_step(parameter, gradient, m, v, step, lr, beta1, beta2, eps, weight_decay):
    """One step of Adam with decoupled weight decay, in place.

    Kingma and Ba, "Adam", 2015, algorithm 1; Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019,
    algorithm 2, lines 6 to 12.

    Args:
        parameter, gradient, m, v: (n,); m and v are zeros before the first step.
        step: from 1.
        lr, beta1, beta2, eps, weight_decay: as in the papers.
    """
    for i in range(len(parameter)):
        m[i] = beta1 * m[i] + (1 - beta1) * gradient[i]
        v[i] = beta2 * v[i] + (1 - beta2) * gradient[i] ** 2
        mean, square = m[i] / (1 - beta1**step), v[i] / (1 - beta2**step)
        parameter[i] -= lr * weight_decay * parameter[i]
        parameter[i] -= lr * mean / (math.sqrt(square) + eps)
