"""Low-rank adaptation: laws of the update, its gradients and its merging."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import nn
from transformer.model.lora import LoraConfig, LoraLinear, add_lora, merge_lora


class Two(nn.Module):
    """Two linear layers with the same input."""

    def __init__(self, inner: int, outer: int, bias: bool) -> None:
        self.first, self.second = nn.Linear(inner, outer, bias), nn.Linear(inner, 2 * outer, bias)
        for parameter in self.parameters():
            parameter.data = parameter.data.astype(np.float64)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return mg.concat([self.first(x), self.second(x)], axis=-1)


def adapted(inner: int, outer: int, bias: bool, config: LoraConfig) -> tuple[Two, mg.Tensor]:
    """A model with random adapters that share A, and an input."""
    mg.manual_seed(inner)
    model = Two(inner, outer, bias)
    add_lora(model, [["first", "second"]], config)
    rng = np.random.default_rng(outer)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = rng.standard_normal(parameter.shape)
    return model, mg.asarray(rng.standard_normal((2, 3, inner)))


SIZES: dict[str, Any] = {"inner": st.integers(1, 6), "outer": st.integers(1, 5), "bias": st.booleans()}
CONFIGS = st.builds(LoraConfig, r=st.integers(1, 4), lora_alpha=st.floats(0.5, 32), use_rslora=st.booleans())


@settings(deadline=None, max_examples=30)
@given(**SIZES, config=CONFIGS)
def test_gradients_are_those_of_the_merged_weight_by_the_chain_rule(
    inner: int, outer: int, bias: bool, config: LoraConfig
) -> None:
    model, x = adapted(inner, outer, bias, config)
    names = dict(model.named_parameters())
    trained = {name for name, value in names.items() if value.requires_grad}
    assert trained == {"first.lora_A", "first.lora_B", "second.lora_B"}  # A is one
    (model(x) ** 2).sum().backward()
    gradients = {name: names[name].grad.data for name in trained}  # type: ignore[union-attr]
    assert all(value.grad is None for name, value in names.items() if name not in trained)
    weights = {name: names[name].data.copy() for name in trained}
    expected, merged = model(x).detach().numpy(), model
    merge_lora(merged)
    assert {type(module) for module in merged.modules()} == {Two, nn.Linear}
    np.testing.assert_allclose(merged(x).detach().numpy(), expected, rtol=1e-9, atol=1e-9)
    (merged(x) ** 2).sum().backward()
    of = {name: layer.weight.grad.data for name, layer in (("first", merged.first), ("second", merged.second))}  # type: ignore[union-attr]
    s, a = config.scaling, weights["first.lora_A"]
    for name, gradient in of.items():
        np.testing.assert_allclose(gradients[f"{name}.lora_B"], s * gradient @ a.T, rtol=1e-7, atol=1e-7)
    total = sum(s * weights[f"{name}.lora_B"].T @ gradient for name, gradient in of.items())
    np.testing.assert_allclose(gradients["first.lora_A"], total, rtol=1e-7, atol=1e-7)


def test_a_fresh_adapter_changes_nothing_and_keeps_the_names_of_the_weights() -> None:
    mg.manual_seed(0)
    model, x = Two(4, 3, True), mg.asarray(np.ones((2, 4)))
    before, names = model(x).detach().numpy(), list(model.state_dict())
    model.eval()
    add_lora(model, [["first"], ["second"]], LoraConfig(r=2, lora_dropout=0.5))
    np.testing.assert_array_equal(model(x).detach().numpy(), before)
    assert [name for name in model.state_dict() if "lora" not in name] == names
    assert model.first.lora_A is not model.second.lora_A  # type: ignore[attr-defined]
    assert not model.first.training and np.abs(model.first.lora_A.data).max() <= 0.5  # type: ignore[attr-defined]


def test_dropout_is_of_the_updates_input_alone() -> None:
    mg.manual_seed(0)
    layer = nn.Linear(64, 2)
    adapted = LoraLinear(layer, nn.Parameter(np.ones((1, 64), np.float32)), LoraConfig(r=1, lora_dropout=0.5))
    adapted.lora_B.data[...] = 1
    update = (
        (adapted(mg.ones((1000, 64))) - layer(mg.ones((1000, 64)))).detach().numpy()
    )  # of all ones: 64 without dropout
    assert update.std() > 2 and abs(update.mean() / (8 * 64) - 1) < 0.02
    adapted.eval()
    np.testing.assert_allclose(
        (adapted(mg.ones((1, 64))) - layer(mg.ones((1, 64)))).detach().numpy(), 8 * 64, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r": 0}, "r: expected at least 1, got 0"),
        ({"r": 1.5}, "r: expected an integer, got 1.5"),
        ({"lora_alpha": 0}, "lora_alpha: expected a positive number, got 0"),
        ({"lora_dropout": 1.0}, r"lora_dropout: expected a probability in \[0, 1\), got 1.0"),
        ({"use_rslora": 1}, "use_rslora: expected"),
    ],
)
def test_bad_configurations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoraConfig(**changes)
