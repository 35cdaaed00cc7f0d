"""Optimizers, schedules and clipping against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import Parameter
from minigrad.optim import SGD, Adam, AdamW, clip_grad_norm_, clip_grad_value_, grad_norm, lr_scheduler


def _parameter(rng: np.random.Generator) -> Parameter:
    return Parameter(rng.standard_normal(7))


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum_is_its_recurrence(nesterov: bool, rng: np.random.Generator) -> None:
    parameter = _parameter(rng)
    p, v = parameter.data.copy(), np.zeros(7)
    optimizer = SGD([parameter], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=nesterov)
    for _ in range(4):
        g = rng.standard_normal(7)
        parameter.grad = mg.tensor(g)
        optimizer.step()
        g = g + 0.01 * p
        v = 0.9 * v + g
        p = p - 0.1 * (g + 0.9 * v if nesterov else v)
    np.testing.assert_allclose(parameter.data, p, rtol=1e-12)


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_adam_is_the_papers_algorithm(kind: type[AdamW], rng: np.random.Generator) -> None:
    parameter = _parameter(rng)
    p, m, v = parameter.data.copy(), np.zeros(7), np.zeros(7)
    optimizer = kind([parameter], lr=0.05, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.1)
    for t in range(1, 5):
        g = rng.standard_normal(7)
        parameter.grad = mg.tensor(g)
        optimizer.step()
        if kind is Adam:
            g = g + 0.1 * p
        else:
            p = p - 0.05 * 0.1 * p
        m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g
        p = p - 0.05 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.98**t)) + 1e-9)
    np.testing.assert_allclose(parameter.data, p, rtol=1e-10)


def test_a_saved_state_continues_exactly(rng: np.random.Generator) -> None:
    first, second = _parameter(rng), Parameter(np.zeros(7))
    one, two = Adam([first]), Adam([second])
    gradients = rng.standard_normal((4, 7))
    for g in gradients[:2]:
        first.grad = mg.tensor(g)
        one.step()
    second.data[...] = first.data
    two.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for g in gradients[2:]:
        for parameter, optimizer in ((first, one), (second, two)):
            parameter.grad = mg.tensor(g)
            optimizer.step()
    np.testing.assert_array_equal(first.data, second.data)
    with pytest.raises(ValueError, match="does not fit"):
        two.load_state_dict({"steps": 1})


def test_groups_have_their_own_options_and_unset_gradients_are_passed_over() -> None:
    a, b, c = (Parameter(np.ones(1)) for _ in range(3))
    optimizer = SGD([{"params": [a], "lr": 1.0}, {"params": [b, c]}], lr=0.5)
    a.grad = b.grad = mg.ones(1, dtype=mg.float64)
    optimizer.step()
    assert [p.item() for p in (a, b, c)] == [0.0, 0.5, 1.0]
    with pytest.raises(ValueError, match="unknown option"):
        SGD([{"params": [a], "rate": 1.0}])
    with pytest.raises(ValueError, match="at least one"):
        SGD([])


def test_a_groups_own_momentum_counts() -> None:
    a = Parameter(np.zeros(1))
    optimizer = SGD([{"params": [a], "momentum": 0.9}], lr=1.0)
    for _ in range(2):
        a.grad = mg.ones(1, dtype=mg.float64)
        optimizer.step()
    assert a.item() == pytest.approx(-2.9)


def test_clipping_by_norm_scales_all_gradients_together_and_returns_the_norm() -> None:
    a, b = Parameter(np.zeros(2)), Parameter(np.zeros(1))
    a.grad, b.grad = mg.tensor(np.array([3.0, 0.0])), mg.tensor(np.array([4.0]))
    assert clip_grad_norm_([a, b, Parameter(np.zeros(1))], 1.0) == 5.0
    np.testing.assert_allclose(a.grad.numpy(), [0.6, 0])
    np.testing.assert_allclose(b.grad.numpy(), [0.8])
    assert clip_grad_norm_([a, b], 10.0) == pytest.approx(1.0)
    np.testing.assert_allclose(b.grad.numpy(), [0.8])
    with pytest.raises(ValueError, match="positive"):
        clip_grad_norm_([a], 0)


def test_clipping_by_norm_survives_huge_float32_gradients() -> None:
    a = Parameter(np.zeros(2, np.float32))
    a.grad = mg.full(2, 1e30)
    assert clip_grad_norm_([a], 1.0) == pytest.approx(1e30 * math.sqrt(2), rel=1e-6)
    np.testing.assert_allclose(a.grad.numpy(), math.sqrt(0.5), rtol=1e-6)


def test_clipping_by_value_limits_each_element() -> None:
    a = Parameter(np.zeros(3))
    a.grad = mg.tensor(np.array([-3.0, 0.5, 3.0]))
    clip_grad_value_([a], 1.0)
    np.testing.assert_array_equal(a.grad.numpy(), [-1, 0.5, 1])


def test_schedules_warm_up_to_their_peak_and_decay() -> None:
    noam = lr_scheduler.noam(512, 4000)
    assert noam(4000) == pytest.approx(512**-0.5 * 4000**-0.5)
    assert noam(2000) == pytest.approx(noam(4000) / 2)
    assert noam(16000) == pytest.approx(noam(4000) / 2)
    inverse = lr_scheduler.inverse_sqrt(10)
    assert [inverse(5), inverse(10), inverse(40)] == [0.5, 1.0, 0.5]
    for decay in (lr_scheduler.cosine(10, 110, 0.1), lr_scheduler.linear(10, 110, 0.1)):
        assert [decay(1), decay(10), decay(60), decay(110), decay(500)] == pytest.approx([0.1, 1, 0.55, 0.1, 0.1])
    with pytest.raises(ValueError, match="at least the warm-up"):
        lr_scheduler.cosine(10, 5)


def test_the_scheduler_sets_the_optimizers_rate() -> None:
    optimizer = SGD([Parameter(np.ones(1))], lr=2.0)
    scheduler = lr_scheduler.LRScheduler(optimizer, lr_scheduler.inverse_sqrt(4))
    rates = [optimizer.lr]
    for _ in range(3):
        scheduler.step()
        rates.append(optimizer.lr)
    assert rates == [0.5, 1.0, 1.5, 2.0]


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_a_gradient_scale_is_a_step_with_scaled_gradients(kind: type, rng: np.random.Generator) -> None:
    one, two = Parameter(rng.standard_normal((3, 4))), Parameter(np.zeros((3, 4)))
    two.data[...] = one.data
    first, second = kind([one], weight_decay=0.1), kind([two], weight_decay=0.1)
    for _ in range(3):
        gradient = rng.standard_normal((3, 4))
        one.grad, two.grad = mg.tensor(gradient), mg.tensor(gradient * 0.25)
        first.step(gradient_scale=0.25)
        second.step()
        np.testing.assert_array_equal(one.grad.data, gradient)
    np.testing.assert_allclose(one.data, two.data, rtol=1e-12)


def test_parameters_of_any_strides_and_dtypes_are_trained(rng: np.random.Generator) -> None:
    values = [rng.standard_normal((4, 6)).T[::2], rng.standard_normal(5).astype(np.float32), rng.standard_normal(())]
    parameters = [Parameter(value) for value in values]
    copies = [Parameter(value.copy()) for value in values]
    for group in (parameters, copies):
        optimizer = AdamW(group, lr=0.1)
        for parameter in group:
            parameter.grad = mg.asarray(np.ones(parameter.shape, parameter.dtype))
        optimizer.step()
    for parameter, copy in zip(parameters, copies, strict=True):
        np.testing.assert_array_equal(parameter.data, copy.data)


def test_gradients_of_any_strides_are_clipped(rng: np.random.Generator) -> None:
    parameter, other = Parameter(np.zeros((6, 4))), Parameter(np.zeros(3, np.float32))
    parameter.grad, other.grad = mg.tensor(np.full((4, 6), 3.0).T), mg.tensor(np.full(3, 2.0, np.float32))
    norm = clip_grad_norm_([parameter, other], 1.0)
    assert norm == pytest.approx(math.sqrt(24 * 9 + 12))
    assert grad_norm([parameter, other]) == pytest.approx(1.0)


def test_a_step_that_fails_halfway_still_counts_as_a_change():
    first, second = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor([1.0], requires_grad=True)
    loss = (first * first).sum()
    first.grad, second.grad = mg.ones(2), mg.ones(1)
    second.data.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        SGD([first, second], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()
