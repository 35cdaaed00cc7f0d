"""Modules made of a function, and layers without arithmetic."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.function_module import FunctionModule
from minigrad.testing import gradcheck

KINDS = [kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, FunctionModule)]
RNG = np.random.default_rng(0)
INPUTS: dict[str, tuple[Any, ...]] = {  # those that are not two arrays of one shape
    "BCELoss": (RNG.uniform(0.1, 0.9, (4, 3)), RNG.uniform(0.1, 0.9, (4, 3))),
    "CosineEmbeddingLoss": (*RNG.standard_normal((2, 4, 3)), np.array([1, -1, 1, -1])),
    "CrossEntropyLoss": (RNG.standard_normal((4, 3)), np.array([0, 2, 1, 1])),
    "GaussianNLLLoss": (*RNG.standard_normal((2, 4, 3)), RNG.uniform(0.5, 1, (4, 3))),
    "HingeEmbeddingLoss": (RNG.uniform(0.1, 0.9, (4, 3)), RNG.choice([-1, 1], (4, 3))),
    "KLDivLoss": (RNG.standard_normal((4, 3)), RNG.uniform(0.1, 0.9, (4, 3))),
    "MarginRankingLoss": (*RNG.standard_normal((2, 4)), np.array([1, -1, 1, -1])),
    "NLLLoss": (RNG.standard_normal((4, 3)), np.array([0, 2, 1, 1])),
    "SoftMarginLoss": (RNG.standard_normal((4, 3)), RNG.choice([-1, 1], (4, 3))),
    "TripletMarginLoss": tuple(RNG.standard_normal((3, 4, 3))),
}


def _inputs(kind: type[FunctionModule]) -> tuple[Any, ...]:
    parameters = inspect.signature(kind.function).parameters.values()
    count = sum(parameter.default is parameter.empty for parameter in parameters)
    return INPUTS.get(kind.__name__) or tuple(RNG.standard_normal((count, 4, 6)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_is_its_function_with_derivatives(kind: type[FunctionModule]) -> None:
    inputs = _inputs(kind)
    np.testing.assert_array_equal(kind()(*inputs).data, kind.function(*inputs).data)
    assert gradcheck(kind(), list(inputs))


def test_there_is_a_module_of_every_loss() -> None:
    losses = [name for name in nn.functional.__dict__ if name.endswith(("_loss", "_div")) or "cross_entropy" in name]
    assert len(losses) == 16 and {kind.function.__name__ for kind in KINDS} >= set(losses)


def test_options_are_those_of_the_function_in_its_order() -> None:
    x, y = INPUTS["CrossEntropyLoss"]
    loss = nn.CrossEntropyLoss([1.0, 2.0, 3.0], ignore_index=1, reduction="sum")
    expected = nn.functional.cross_entropy(x, y, mg.tensor([1.0, 2.0, 3.0]), ignore_index=1, reduction="sum")
    assert loss(x, y).item() == expected.item()
    assert list(loss.state_dict()) == ["weight"]  # a buffer
    assert repr(loss) == "CrossEntropyLoss(ignore_index=1, reduction='sum', label_smoothing=0.0)"
    assert list(inspect.signature(nn.LeakyReLU).parameters) == ["negative_slope"]
    assert nn.LeakyReLU(0.5)(mg.tensor([-2.0])).item() == -1
    with pytest.raises(TypeError, match="'colour'"):
        nn.MSELoss(colour=1)


def test_identity_and_flatten() -> None:
    x = RNG.standard_normal((2, 3, 4))
    assert nn.Identity(54, unused=0)(x) is x
    np.testing.assert_array_equal(nn.Flatten()(x).data, x.reshape(2, 12))
    np.testing.assert_array_equal(nn.Flatten(0, 1)(x).data, x.reshape(6, 4))
    assert gradcheck(nn.Sequential(nn.Flatten(), nn.Identity()), [x])
