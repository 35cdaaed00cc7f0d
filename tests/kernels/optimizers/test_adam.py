"""The fused step against the plain loop in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels import adam_step
from minigrad.kernels.optimizers import plain

OPTIONS = {"lr": 0.01, "beta1": 0.8, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1, "l2": 0.3, "gradient_scale": 0.5}


@pytest.mark.parametrize("shape", [(), (1,), (33,), (7, 19), (80_001,)])
def test_ten_steps_are_those_of_the_plain_loop(dtype, rng, shape):
    parameter = rng.standard_normal(shape).astype(dtype)
    m, v = np.zeros(shape, dtype), np.zeros(shape, dtype)
    exact, exact_m, exact_v = parameter.astype(np.float64).ravel(), np.zeros(m.size), np.zeros(m.size)
    for t in range(1, 11):
        gradient = rng.standard_normal(shape).astype(dtype)
        adam_step([parameter], [gradient], [m], [v], step=t, **OPTIONS)
        g = 0.5 * gradient.astype(np.float64).ravel() + 0.3 * exact
        plain.adam_step(exact, g, exact_m, exact_v, t, 0.01, 0.8, 0.99, 1e-6, 0.1)
    tolerance = 100 * np.finfo(dtype).eps
    for result, expected in ((parameter, exact), (m, exact_m), (v, exact_v)):
        np.testing.assert_allclose(result.ravel(), expected, rtol=tolerance, atol=tolerance)


def test_the_gradient_is_left_alone_and_may_have_any_strides(dtype, rng):
    gradient = rng.standard_normal((6, 10)).astype(dtype).T
    before = gradient.copy()
    results = []
    for given in (gradient, gradient.copy()):
        parameter, m, v = np.ones((10, 6), dtype), np.zeros((10, 6), dtype), np.zeros((10, 6), dtype)
        adam_step([parameter], [given], [m], [v], step=1, lr=0.1)
        results.append(parameter)
    assert np.array_equal(*results)
    assert np.array_equal(gradient, before)


def test_a_zero_gradient_changes_nothing(dtype):
    parameter, m, v = np.ones(5, dtype), np.zeros(5, dtype), np.zeros(5, dtype)
    adam_step([parameter], [np.zeros(5, dtype)], [m], [v], step=1, lr=0.1)
    assert (parameter == 1).all()


def test_invalid_arguments_are_named():
    p = np.ones((4, 4))
    with pytest.raises(ValueError, match=r"parameters\[0\] must be C-contiguous and writeable"):
        adam_step([p[:, ::2]], [p[:, ::2]], [p[:, ::2].copy()], [p[:, ::2].copy()], step=1, lr=0.1)
    with pytest.raises(ValueError, match=r"gradients\[0\] must have shape \(4, 4\); got \(4,\)"):
        adam_step([p], [p[0]], [p], [p], step=1, lr=0.1)
    with pytest.raises(TypeError, match=r"m\[0\] must have the dtype of parameters\[0\], float64; got float32"):
        adam_step([p], [p], [p.astype(np.float32)], [p], step=1, lr=0.1)
    with pytest.raises(ValueError, match="step must be at least 1; got 0"):
        adam_step([p], [p], [p], [p], step=0, lr=0.1)


def test_many_arrays_change_as_each_would_alone(dtype, rng):
    shapes = [(3,), (0,), (700, 130), (1,), (40, 33), ()]
    parameters, gradients = ([rng.standard_normal(s).astype(dtype) for s in shapes] for _ in range(2))
    alone = [parameter.copy() for parameter in parameters]
    m, v = ([np.zeros(s, dtype) for s in shapes] for _ in range(2))
    adam_step(parameters, gradients, m, v, step=1, **OPTIONS)
    for parameter, gradient in zip(alone, gradients, strict=True):
        adam_step([parameter], [gradient], [np.zeros_like(parameter)], [np.zeros_like(parameter)], step=1, **OPTIONS)
    for together, single in zip(parameters, alone, strict=True):
        np.testing.assert_array_equal(together, single)
    adam_step([], [], [], [], step=1, lr=0.1)
