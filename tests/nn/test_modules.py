"""Modules, layers and functional layers."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F
from minigrad.testing import gradcheck


class Tiny(nn.Module):
    def __init__(self) -> None:
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 2, bias=False)])
        self.scale = mg.ones(1)  # a buffer
        self.again = self.layers[0]

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x * self.scale


def test_parameters_are_named_by_attributes_and_shared_ones_counted_once() -> None:
    names = [name for name, _ in Tiny().named_parameters()]
    assert names == ["layers.0.weight", "layers.0.bias", "layers.1.weight"]
    assert set(Tiny().state_dict()) == {*names, "scale"}


def test_state_dict_loads_back_and_misfits_are_listed() -> None:
    first, second = Tiny(), Tiny()
    second.load_state_dict(first.state_dict())
    x = mg.ones((1, 3))
    np.testing.assert_array_equal(first(x).detach().numpy(), second(x).detach().numpy())
    state = {**first.state_dict(), "layers.1.weight": mg.ones((5, 5)), "extra": mg.ones(1)}
    del state["scale"]
    before = second.state_dict()["layers.0.weight"].numpy().copy()
    with pytest.raises(ValueError, match=r"missing scale \(1,\); unexpected extra \(1,\); layers.1.weight: expected"):
        second.load_state_dict(state)
    np.testing.assert_array_equal(second.state_dict()["layers.0.weight"].numpy(), before)


def test_train_and_eval_reach_every_module_and_switch_dropout() -> None:
    model = nn.Sequential(nn.Linear(2, 50), nn.Dropout(0.5))
    x = mg.ones((4, 2))
    assert not np.array_equal(model(x).detach().numpy(), model(x).detach().numpy())
    model.eval()
    assert not any(module.training for module in model.modules())
    np.testing.assert_array_equal(model(x).detach().numpy(), model(x).detach().numpy())


def test_dropout_keeps_the_mean_and_its_gradient_has_the_same_mask() -> None:
    x = mg.ones(100_000).requires_grad_()
    y = F.dropout(x, 0.3)
    kept = y.detach().numpy() != 0
    assert kept.mean() == pytest.approx(0.7, abs=0.01)
    np.testing.assert_allclose(y.detach().numpy()[kept], 1 / 0.7, rtol=1e-6)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert F.dropout(x, 1.0).detach().numpy().any() == np.False_
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)


def test_dropouts_derivatives_agree_with_differences_to_second_order(rng: np.random.Generator) -> None:
    def dropped(x: mg.Tensor) -> mg.Tensor:
        return F.dropout(x * x, 0.4, generator=mg.random.Generator(5))

    assert gradcheck(dropped, rng.standard_normal((3, 4)), order=2)


def test_linear_is_its_formula_and_refuses_the_wrong_width(rng: np.random.Generator) -> None:
    layer = nn.Linear(4, 3).astype(np.float64)
    x = rng.standard_normal((2, 5, 4))
    assert layer.bias is not None
    expected = x @ layer.weight.data.T + layer.bias.data
    np.testing.assert_allclose(layer(mg.asarray(x)).detach().numpy(), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="expected 4 features"):
        layer(mg.ones((2, 3)))


def test_embedding_and_layer_norm_train() -> None:
    embedding, norm = nn.Embedding(10, 4), nn.LayerNorm(4)
    norm(embedding(np.array([[1, 2, 2]]))).sum().backward()
    assert all(p.grad is not None for p in [*embedding.parameters(), *norm.parameters()])


def test_forward_hooks_see_every_call_until_removed() -> None:
    layer = nn.Linear(2, 2)
    seen: list[tuple[int, ...]] = []
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    layer(mg.ones((3, 2)))
    handle.remove()
    layer(mg.ones((4, 2)))
    assert seen == [(3, 2)]


def test_nodes_remember_the_modules_they_were_recorded_in() -> None:
    node = Tiny()(mg.ones((1, 3))).node
    assert node is not None
    product = node.inputs[0][0]
    while product.op.name != "linear":
        product = product.inputs[0][0]
    scope = product.scope
    assert (scope.label, scope.kind, scope.parent.kind) == ("layers.1", "Linear", "Tiny")


def test_a_module_without_forward_and_a_list_show_themselves() -> None:
    with pytest.raises(TypeError, match="defines no forward"):
        nn.Module()()
    assert "(1): Linear(in_features=3, out_features=2, bias=False)" in repr(Tiny())


def test_initial_values_have_the_spread_of_their_papers(rng: np.random.Generator) -> None:
    weight = nn.Parameter(np.empty((300, 200), np.float32))
    for xavier in (nn.init.xavier_uniform_, nn.init.xavier_normal_):
        assert xavier(weight).data.var() == pytest.approx(2 / 500, rel=0.05)
    for kaiming in (nn.init.kaiming_uniform_, nn.init.kaiming_normal_):
        assert kaiming(weight).data.var() == pytest.approx(2 / 200, rel=0.05)
    assert nn.init.ones_(weight).data.min() == 1 and not nn.init.zeros_(weight).data.any()
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        nn.init.xavier_uniform_(nn.Parameter(np.ones(3, np.float32)))


def test_a_dictionary_of_modules_is_walked_by_its_keys() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            self.heads = nn.ModuleDict({"words": nn.Linear(2, 5)})
            self.heads["tags"] = nn.Linear(2, 3)

        def forward(self, x: mg.Tensor, name: str) -> mg.Tensor:
            return self.heads[name](x)

    model = Heads()
    assert list(model.state_dict()) == [
        f"heads.{key}.{part}" for key in ("words", "tags") for part in ("weight", "bias")
    ]
    assert [module.label for module in model.modules()] == ["", "heads", "heads.words", "heads.tags"]
    assert list(model.heads) == list(model.heads.keys()) == ["words", "tags"] and len(model.heads) == 2
    assert [name for name, _ in model.heads.items()] == ["words", "tags"] and "tags" in model.heads
    assert model(mg.ones((1, 2)), "tags").shape == (1, 3) and next(iter(model.heads.values())).out_features == 5
    assert not model.eval().heads["words"].training and "(tags): Linear" in repr(model)
    for name in ("", "words.weight", 3):
        with pytest.raises(ValueError, match="name: expected a text without a dot, got"):
            model.heads[name] = nn.Linear(2, 2)
    del model.heads["words"]
    assert list(model.state_dict()) == ["heads.tags.weight", "heads.tags.bias"]


def test_buffers_are_registered_saved_and_not_trained() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("mean", mg.zeros(2))
    model.register_buffer("none", None)
    assert [name for name, _ in model.named_buffers()] == ["mean"] and len(list(model.buffers())) == 1
    assert set(model.state_dict()) == {"weight", "bias", "mean"} and len(list(model.parameters())) == 2
    with pytest.raises(ValueError, match="persistent"):
        model.register_buffer("cache", mg.zeros(2), persistent=False)


def test_parameters_are_frozen_and_gradients_zeroed_or_forgotten() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    model(mg.ones((1, 2))).sum().backward()
    gradient = model.weight.grad
    model.zero_grad(set_to_none=False)
    assert model.weight.grad.tolist() == [[0, 0], [0, 0]] and model.bias.grad is None
    assert gradient.tolist() == [[1, 1], [1, 1]]  # whoever holds it keeps it
    model.zero_grad()
    assert model.weight.grad is None
    assert not any(p.requires_grad for p in model.requires_grad_(False).parameters())
    assert all(p.requires_grad for p in model.requires_grad_().parameters())


def test_a_list_is_extended_by_modules_named_by_position() -> None:
    layers = nn.ModuleList([nn.Linear(2, 2)])
    layers.extend([nn.Linear(2, 2)])
    assert [name for name, _ in layers.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_skipped_initialization_takes_no_memory_and_assigned_arrays_are_used_themselves() -> None:
    with nn.init.skip_init():
        layer = nn.Linear(3, 2)
        assert layer.weight.data.strides == (0, 0)
    state = {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
    layer.load_state_dict(state, assign=True)
    assert layer.weight.data is state["weight"] and layer.bias is not None and layer.bias.data is state["bias"]
    assert nn.Linear(3, 2).weight.data.flags.writeable  # after the block all is as before
    layer.load_state_dict({"weight": 2 * np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)})
    np.testing.assert_array_equal(state["weight"], 2.0)
