"""Activations: formulas, derivatives, and subgradients at kinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import special

import minigrad as mg
from minigrad import autograd
from minigrad.nn import functional as F
from minigrad.testing import gradcheck, strategies

Function = Callable[..., Any]


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


FORMULAS: dict[str, tuple[Function, Function]] = {
    "relu": (F.relu, lambda x: np.maximum(x, 0)),
    "relu6": (F.relu6, lambda x: np.clip(x, 0, 6)),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), lambda x: np.maximum(x, 0.2 * x)),
    "hardtanh": (lambda x: F.hardtanh(x, -0.5, 2.0), lambda x: np.clip(x, -0.5, 2)),
    "hardsigmoid": (F.hardsigmoid, lambda x: np.clip(x + 3, 0, 6) / 6),
    "hardswish": (F.hardswish, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "hardshrink": (F.hardshrink, lambda x: x * (np.abs(x) > 0.5)),
    "softshrink": (F.softshrink, lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)),
    "threshold": (lambda x: F.threshold(x, 0.3, 7.0), lambda x: np.where(x > 0.3, x, 7.0)),
    "elu": (lambda x: F.elu(x, 1.5), lambda x: np.where(x > 0, x, 1.5 * np.expm1(np.minimum(x, 0)))),
    "celu": (lambda x: F.celu(x, 1.5), lambda x: np.where(x > 0, x, 1.5 * np.expm1(np.minimum(x, 0) / 1.5))),
    "celu of negative alpha": (
        lambda x: F.celu(x, -20.0),
        lambda x: np.where(x > 0, x, -20 * np.expm1(np.minimum(x, 0) / -20)),
    ),
    "selu": (F.selu, lambda x: 1.05070098735 * np.where(x > 0, x, 1.67326324235 * np.expm1(np.minimum(x, 0)))),
    "gelu": (F.gelu, lambda x: x * special.ndtr(x)),
    "gelu by tanh": (
        lambda x: F.gelu(x, "tanh"),
        lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
    ),
    "silu": (F.silu, lambda x: x * special.expit(x)),
    "mish": (F.mish, lambda x: x * np.tanh(_softplus(x))),
    "softplus": (lambda x: F.softplus(x, beta=2.0), lambda x: _softplus(2 * x) / 2),
    "logsigmoid": (F.logsigmoid, special.log_expit),
    "sigmoid": (F.sigmoid, special.expit),
    "tanh": (F.tanh, np.tanh),
    "softsign": (F.softsign, lambda x: x / (1 + np.abs(x))),
    "tanhshrink": (F.tanhshrink, lambda x: x - np.tanh(x)),
}
KINKS = np.array([-3.0, -0.5, 0.0, 0.3, 0.5, 2.0, 3.0, 6.0])


@pytest.mark.parametrize("name", FORMULAS)
def test_an_activation_is_its_formula_also_far_out_and_keeps_its_dtype(name: str) -> None:
    function, formula = FORMULAS[name]
    x = np.concatenate([np.linspace(-8, 8, 33), KINKS, [-300.0, 300.0]])
    np.testing.assert_allclose(function(mg.asarray(x)).numpy(), formula(x), rtol=1e-9, atol=1e-12)
    narrow = function(mg.asarray(x.astype(np.float32)))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow.numpy(), formula(x), rtol=1e-5, atol=1e-6)
    assert isinstance(function([0.25, -1.0]), mg.Tensor)  # lists will do
    assert function(mg.ones((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("name", FORMULAS)
@given(data=st.data())
def test_an_activations_derivatives_agree_with_differences_to_second_order(name: str, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(max_dims=2), low=-7, high=7))
    x = np.where(np.abs(x[..., None] - [*KINKS, *-KINKS]).min(-1) < 1e-3, 0.1, x)
    assert gradcheck(FORMULAS[name][0], x, order=2)


SLOPES = {
    "relu": (0.0, 0),
    "relu6 at 0": (0.0, 0, F.relu6),
    "relu6": (6.0, 0),
    "leaky_relu": (0.0, 0.2),
    "hardtanh": (2.0, 0),
    "hardsigmoid": (-3.0, 0),
    "hardswish": (-3.0, 0),
    "hardswish at 3": (3.0, 1, F.hardswish),
    "hardshrink": (0.5, 0),
    "softshrink": (-0.5, 0),
    "threshold": (0.3, 0),
    "elu": (0.0, 1.5),
    "celu": (0.0, 1),
}


@pytest.mark.parametrize("name", SLOPES)
def test_the_slope_at_a_kink_is_pytorchs(name: str) -> None:
    at, slope, *other = SLOPES[name]
    x = mg.tensor(at, dtype=mg.float64, requires_grad=True)
    (other or FORMULAS[name])[0](x).backward()  # type: ignore[operator]
    assert x.grad is not None
    assert x.grad.item() == slope


@pytest.mark.parametrize("name", ["elu", "selu", "celu", "softplus", "silu", "gelu", "mish"])
def test_gradients_stay_finite_where_exponentials_overflow(name: str) -> None:
    x = mg.tensor([-1e4, 1e4], requires_grad=True)
    first = autograd.grad(FORMULAS[name][0](x).sum(), x, create_graph=True)[0]
    second = autograd.grad(first.sum(), x)[0]
    np.testing.assert_allclose(first.detach().numpy()[1], F.selu(1.0).item() if name == "selu" else 1, rtol=1e-6)
    assert np.isfinite(first.detach().numpy()).all() and np.isfinite(second.numpy()).all()


def test_prelu_has_a_slope_for_each_channel_or_one_for_all(rng: np.random.Generator) -> None:
    x, weight = rng.standard_normal((2, 3, 4)), rng.random(3)
    expected = np.where(x > 0, x, weight[:, None] * x)
    np.testing.assert_allclose(F.prelu(x, weight).numpy(), expected)
    for shape, slopes in (((), 1), ((0,), 1), ((0, 3, 2), 3), ((2, 0), 0), ((2, 3, 0), 3)):
        assert F.prelu(mg.ones(shape), mg.ones(slopes)).shape == shape
    assert gradcheck(F.prelu, (x, weight), order=2)
    assert gradcheck(F.prelu, (x, weight[:1]), order=2)
    with pytest.raises(ValueError, match="weight: expected 1 or 3 elements"):
        F.prelu(x, weight[:2])


def test_prelu_learns_nothing_from_infinity_above_zero() -> None:
    weight = mg.tensor([0.25]).requires_grad_()
    F.prelu(mg.tensor([mg.inf, 1.0, -2.0]), weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [-2]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_glu_gates_one_half_by_the_other(axis: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 2, 6))
    a, b = np.split(x, 2, axis)
    np.testing.assert_allclose(F.glu(x, axis).numpy(), a * special.expit(b))
    assert gradcheck(lambda x: F.glu(x, axis), x, order=2)
    with pytest.raises(ValueError, match="even size along axis 0"):
        F.glu(mg.ones((3, 2)), 0)


def test_softmax_in_all_its_forms_takes_an_axis_and_a_dtype(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4)).astype(np.float32)
    np.testing.assert_allclose(F.softmax(x, 0, np.float64).numpy(), special.softmax(x.astype(float), 0))
    np.testing.assert_allclose(F.softmin(x, 1).numpy(), special.softmax(-x, 1), rtol=1e-6)
    np.testing.assert_allclose(F.log_softmax(x, 1).numpy(), special.log_softmax(x, 1), rtol=1e-5)
    assert F.softmax(2.0, 0).item() == 1 and F.log_softmax(2.0).item() == 0  # of a number
    assert F.softmax(mg.ones((2, 0))).shape == (2, 0)


def test_gumbel_softmax_chooses_with_the_probabilities_of_its_logits() -> None:
    logits = mg.asarray(np.log(np.tile([0.1, 0.6, 0.3], (4000, 1)))).requires_grad_()
    choice = F.gumbel_softmax(logits, tau=0.5, hard=True, generator=mg.random.Generator(1))
    np.testing.assert_allclose(choice.detach().numpy().mean(0), [0.1, 0.6, 0.3], atol=0.02)
    np.testing.assert_allclose(np.sort(choice.detach().numpy(), axis=1)[:, :2], 0, atol=1e-12)
    (choice * mg.asarray([1.0, 2.0, 3.0])).sum().backward()
    assert logits.grad is not None and logits.grad.numpy().any()  # the soft choice's
    soft = F.gumbel_softmax(logits, generator=mg.random.Generator(1)).detach().numpy()
    np.testing.assert_allclose(soft.sum(1), 1)


def test_arguments_that_mean_nothing_are_refused() -> None:
    for call, message in {
        (lambda: F.gelu(1.0, "erf"), "approximate: expected 'none' or 'tanh'"),  # type: ignore[arg-type]
        (lambda: F.hardtanh(1.0, 2.0, 1.0), "min_val: expected at most max_val=1.0"),
        (lambda: F.softshrink(1.0, -1.0), "lambd: expected a number"),
        (lambda: F.celu(1.0, 0.0), "alpha: expected a number other than 0"),
    }:
        with pytest.raises(ValueError, match=message):
            call()
