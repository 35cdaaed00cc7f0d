"""Optimizers, schedules and clipping against their formulas."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import Parameter
from minigrad.optim import (
    SGD,
    Adafactor,
    Adam,
    AdamW,
    Optimizer,
    clip_grad_norm_,
    clip_grad_value_,
    grad_norm,
    lr_scheduler,
)


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


RESUMABLE = {
    "SGD": SGD,
    "SGD with momentum": lambda params: SGD(params, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": Adam,
    "AdamW": AdamW,
    "Adafactor": lambda params: Adafactor(params, weight_decay=0.1),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", RESUMABLE.values(), ids=RESUMABLE)
def test_a_run_resumed_from_files_equals_the_uninterrupted_one_to_the_last_bit(
    kind: Callable[[list[Any]], Optimizer], dtype: type, rng: np.random.Generator, tmp_path: Path
) -> None:
    def start(values: list[np.ndarray]) -> tuple[list[Parameter], Optimizer, lr_scheduler.LRScheduler]:
        parameters = [Parameter(value.copy()) for value in values]
        groups = [{"params": parameters[:2], "lr": 0.3}, {"params": parameters[2:]}]
        optimizer = kind(groups)
        return parameters, optimizer, lr_scheduler.LRScheduler(optimizer, lr_scheduler.cosine(3, 20))

    def run(state: Any, gradients: list[list[np.ndarray]]) -> None:
        parameters, optimizer, scheduler = state
        for step in gradients:
            for parameter, gradient in zip(parameters, step, strict=True):
                parameter.grad = mg.tensor(gradient)
            optimizer.step()
            scheduler.step()

    shapes = [(7,), (4, 5), (2, 3, 4)]
    gradients = [[rng.standard_normal(shape).astype(dtype) for shape in shapes] for _ in range(6)]
    whole = start([rng.standard_normal(shape).astype(dtype) for shape in shapes])
    run(whole, gradients[:3])
    values = [parameter.data.copy() for parameter in whole[0]]
    state = whole[1].state_dict()
    mg.save({name: value for name, value in state.items() if isinstance(value, np.ndarray)}, tmp_path / "arrays")
    others = {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
    numbers = json.dumps({"optimizer": others, "scheduler": whole[2].state_dict()})
    run(whole, gradients[3:])

    resumed = start(values)
    read = json.loads(numbers)
    resumed[1].load_state_dict({**mg.load(tmp_path / "arrays"), **read["optimizer"]})
    resumed[2].load_state_dict(read["scheduler"])
    run(resumed, gradients[3:])
    for expected, got in zip(whole[0], resumed[0], strict=True):
        np.testing.assert_array_equal(got.data, expected.data)
    assert resumed[1].lr == whole[1].lr


def test_an_optimizer_takes_its_saved_options_back() -> None:
    saved = SGD([Parameter(np.ones(2))], lr=0.125, momentum=0.5).state_dict()
    optimizer = SGD([Parameter(np.ones(2))], lr=1.0, momentum=0.9)
    optimizer.load_state_dict(saved)
    assert (optimizer.lr, optimizer.groups[0]["momentum"]) == (0.125, 0.5)


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    optimizer = Adam([Parameter(np.ones(2))], lr=0.1)
    state = optimizer.state_dict()
    unfit = {
        "'0.0.mean' is missing": {name: value for name, value in state.items() if name != "0.0.mean"},
        "'0.1.mean' is unknown": {**state, "0.1.mean": np.ones(2)},
        r"'0.0.mean' has shape \(3,\), expected \(2,\)": {**state, "0.0.mean": np.ones(3)},
        "groups and their options": {**state, "groups": SGD([Parameter(np.ones(2))]).state_dict()["groups"]},
    }
    for message, wrong in unfit.items():
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict({**wrong, "steps": 5})
    assert optimizer.steps == [[0]]
    scheduler = lr_scheduler.LRScheduler(optimizer, lr_scheduler.inverse_sqrt(4))
    with pytest.raises(ValueError, match="rates of 1 groups, got 2"):
        scheduler.load_state_dict({"step": 3, "base": [0.1, 0.2]})


@pytest.mark.peers
@pytest.mark.parametrize(
    "options", [{}, {"maximize": True, "weight_decay": 0.1, "lr": 0.5}, {"eps": (0.1, 0.5), "d": 2.0}]
)
@pytest.mark.parametrize("shape", [(), (7,), (5, 3), (2, 5, 3), (1, 4)])
def test_adafactor_is_torchs(shape: tuple[int, ...], options: dict[str, Any], rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    value = rng.standard_normal(shape)
    parameter, theirs = Parameter(value.copy()), torch.nn.Parameter(torch.tensor(value))
    optimizer, their_optimizer = Adafactor([parameter], **options), torch.optim.Adafactor([theirs], **options)
    for step in range(6):
        gradient = rng.standard_normal(shape) * 10.0 ** (step - 3)
        parameter.grad, theirs.grad = mg.asarray(gradient), torch.tensor(gradient)
        optimizer.step()
        their_optimizer.step()
        np.testing.assert_allclose(parameter.data, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_adafactor_keeps_rows_and_columns_and_stays_put_where_nothing_pulls() -> None:
    matrix, empty = Parameter(np.ones((300, 200), np.float32)), Parameter(np.ones((0, 3)))
    optimizer = Adafactor([matrix, empty])
    matrix.grad, empty.grad = mg.zeros((300, 200)), mg.zeros((0, 3), dtype=mg.float64)
    optimizer.step()
    assert sum(np.size(value) for value in optimizer.state_dict().values() if isinstance(value, np.ndarray)) == 503
    np.testing.assert_array_equal(matrix.data, 1)
    assert matrix.dtype == np.float32


@pytest.mark.parametrize("option", [{"beta2_decay": 0.1}, {"eps": (-1.0, 0.1)}, {"d": 0.5}])
def test_adafactors_options_are_checked(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        Adafactor([Parameter(np.ones(1))], **option)


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


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, Adafactor])
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


@pytest.mark.parametrize("kind", RESUMABLE.values(), ids=RESUMABLE)
def test_each_parameter_counts_its_own_steps(kind: Callable[[list[Any]], Optimizer], rng: np.random.Generator) -> None:
    """A parameter that gets its gradients late, with gaps, moves as one that is alone with an optimizer of its own."""
    value, gradients = rng.standard_normal((3, 2)), rng.standard_normal((3, 3, 2))
    busy, late, alone = Parameter(np.ones(2)), Parameter(value.copy()), Parameter(value.copy())
    both, single = kind([busy, late]), kind([alone])
    for step in range(10):
        busy.grad, late.grad = mg.ones(2, dtype=mg.float64), None
        if step in (4, 5, 9):
            late.grad = alone.grad = mg.tensor(gradients[(4, 5, 9).index(step)])
            single.step()
        both.step()
        np.testing.assert_array_equal(late.data, alone.data)
    assert both.steps == [[10, 3]]
    np.testing.assert_array_equal(both.state_dict()["steps"], [[10, 3]])


def test_a_late_first_step_of_adam_is_as_long_as_the_learning_rate() -> None:
    first, late = Parameter(np.ones(1, np.float32)), Parameter(np.ones(1, np.float32))
    optimizer = Adam([first, late], lr=0.01)
    for step in range(10):
        first.grad, late.grad = mg.ones(1), mg.ones(1) if step == 9 else None
        optimizer.step()
    assert late.item() == pytest.approx(0.99, abs=1e-6)


def test_a_groups_options_are_read_when_they_are_used() -> None:
    w = mg.tensor([1.0], requires_grad=True)
    optimizer = SGD([w], lr=0.1, momentum=0.0)
    optimizer.groups[0]["momentum"] = 0.9
    for _ in range(3):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
    assert w.item() == pytest.approx(0.062, abs=1e-6)
    optimizer.groups[0]["momentum"] = 0
    optimizer.step()
    assert not any(isinstance(value, np.ndarray) for value in optimizer.state_dict().values())


def test_a_parameter_that_is_given_twice_is_refused() -> None:
    w = Parameter(np.ones(2))
    for params in ([w, w], [{"params": [w]}, {"params": [w]}]):
        with pytest.raises(ValueError, match="params: a parameter is given more than once"):
            SGD(params)


@pytest.mark.parametrize("kind", RESUMABLE.values(), ids=RESUMABLE)
def test_the_state_follows_a_modules_dtype(kind: Callable[[list[Any]], Optimizer]) -> None:
    module = mg.nn.Linear(2, 2)
    optimizer = kind(list(module.parameters()))
    for dtype in (mg.float32, mg.float64, mg.float32):
        module.astype(dtype)
        optimizer.zero_grad()
        module(mg.ones((1, 2), dtype=dtype)).sum().backward()
        optimizer.step()
        arrays = [value for value in optimizer.state_dict().values() if isinstance(value, np.ndarray)]
        assert module.weight.dtype == dtype
        assert all(array.dtype == dtype for array in arrays)


def test_a_gradient_of_another_dtype_or_shape_is_named() -> None:
    w = Parameter(np.ones(2, np.float32))
    optimizer = Adam([w])
    for gradient in (mg.ones(2, dtype=mg.float64), mg.ones(3)):
        w.grad = gradient
        with pytest.raises(ValueError, match=r"grad: expected the float32 and shape \(2,\)"):
            optimizer.step()
    assert optimizer.steps == [[0]]


def test_a_state_with_one_count_for_all_parameters_is_read() -> None:
    optimizer = Adam([Parameter(np.ones(2)), Parameter(np.ones(1))])
    optimizer.load_state_dict({**optimizer.state_dict(), "steps": 7})
    assert optimizer.steps == [[7, 7]]


@pytest.mark.parametrize(("value", "scaled"), [(np.nan, [np.nan, np.nan]), (np.inf, [np.nan, 0])])
def test_clipping_a_norm_that_is_not_finite_is_pytorchs_or_an_error(value: float, scaled: list[float]) -> None:
    a, b = Parameter(np.zeros(1)), Parameter(np.zeros(1))
    a.grad, b.grad = mg.tensor([value], dtype=mg.float64), mg.tensor([1.0], dtype=mg.float64)
    with pytest.raises(RuntimeError, match="cannot be clipped"):
        clip_grad_norm_([a, b], 1.0, error_if_nonfinite=True)
    assert b.grad.item() == 1
    norm = clip_grad_norm_([a, b], 1.0)
    np.testing.assert_array_equal([norm, a.grad.item(), b.grad.item()], [value, *scaled])


def test_groups_and_gradients_by_pytorchs_names() -> None:
    x, y = mg.ones(2, dtype=mg.float64), mg.ones(2)
    x.requires_grad = y.requires_grad = True
    optimizer = SGD([x, y], lr=1.0)
    (x * 2).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert x.grad is not None and x.grad.tolist() == [0, 0] and x.grad.dtype == mg.float64 and y.grad is None
    optimizer.zero_grad()
    assert x.grad is None
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    assert optimizer.lr == 0.5


# Each scheduler, and the factor of each epoch counted from 0
SCHEDULERS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[int], float]]] = {
    "LambdaLR": (lambda kind, optimizer: kind(optimizer, lambda epoch: 1 / (1 + epoch)), lambda k: 1 / (1 + k)),
    "StepLR": (lambda kind, optimizer: kind(optimizer, step_size=3, gamma=0.5), lambda k: 0.5 ** (k // 3)),
    "MultiStepLR": (lambda kind, optimizer: kind(optimizer, [5, 2], 0.5), lambda k: 0.5 ** ((k >= 2) + (k >= 5))),
    "ExponentialLR": (lambda kind, optimizer: kind(optimizer, 0.9), lambda k: 0.9**k),
    "CosineAnnealingLR": (
        lambda kind, optimizer: kind(optimizer, T_max=6, eta_min=0.1),
        lambda k: (0.1 + 1.9 * (1 + math.cos(math.pi * k / 6)) / 2) / 2,
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_pytorchs_schedulers_follow_their_formula_and_resume(name: str) -> None:
    make, factor = SCHEDULERS[name]
    optimizer, again = SGD([mg.ones(1)], lr=2.0), SGD([mg.ones(1)], lr=2.0)
    scheduler = make(getattr(lr_scheduler, name), optimizer)
    resumed = make(getattr(lr_scheduler, name), again)
    for epoch in range(9):
        assert scheduler.get_last_lr() == [optimizer.lr] == [pytest.approx(2 * factor(epoch))]
        resumed.load_state_dict(scheduler.state_dict())
        assert again.lr == optimizer.lr
        scheduler.step()


@pytest.mark.peers
@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = SGD([mg.ones(1)], lr=2.0), torch.optim.SGD([torch.ones(1)], lr=2.0)
    scheduler = SCHEDULERS[name][0](getattr(lr_scheduler, name), ours)
    reference = SCHEDULERS[name][0](getattr(torch.optim.lr_scheduler, name), theirs)
    for _ in range(9):
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9)
        scheduler.step()
        theirs.step()
        reference.step()


def test_steps_of_a_schedule_are_positive() -> None:
    for kind in (lr_scheduler.StepLR, lr_scheduler.CosineAnnealingLR):
        with pytest.raises(ValueError, match="expected at least 1, got 0"):
            kind(SGD([mg.ones(1)], lr=1.0), 0)


def test_a_group_of_one_tensor_needs_no_list() -> None:
    x = mg.tensor(1.0, requires_grad=True)
    assert mg.optim.SGD([{"params": x}], lr=0.5).groups[0]["params"] == [x]
