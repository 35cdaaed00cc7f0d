"""Smoke tests of ten seconds, to run before each commit: one for each floor, from the tensor to the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import kernels, nn
from minigrad.nn import functional as F
from minigrad.optim import AdamW, clip_grad_norm_
from minigrad.testing import gradcheck
from transformer import CausalLM, MaskedLM, Transformer, TransformerConfig, from_pretrained

SIZES: dict[str, Any] = {"vocab_size": 11, "d_model": 16, "num_heads": 2, "d_ff": 32, "max_length": 16, "dropout": 0.0}


def test_a_tensor_remembers_how_it_was_computed() -> None:
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (x * x).sum()
    assert y.node is not None and y.node.name == "sum"
    y.backward()
    assert x.grad is not None and x.grad.tolist() == [2, 4, 6]


def test_derivatives_broadcast_and_can_be_differentiated(rng: np.random.Generator) -> None:
    def function(a: Any, b: Any) -> Any:
        return mg.softmax(a @ b + mg.tanh(b[0])) * mg.sqrt(mg.exp(b).sum())

    assert gradcheck(function, [rng.normal(size=(2, 3)), rng.normal(size=(3, 4))], order=2)


def test_transforms_nest(rng: np.random.Generator) -> None:
    def loss(w: Any, x: Any) -> Any:
        return (mg.tanh(x @ w) ** 2).sum()

    w, x = mg.tensor(rng.normal(size=3)), mg.tensor(rng.normal(size=(5, 3)))
    each = mg.func.vmap(mg.func.grad(loss), in_axes=(None, 0))(w, x)
    np.testing.assert_allclose(each.sum(axis=0).data, mg.func.grad(loss)(w, x).data, rtol=1e-12)
    bend = mg.func.hessian(lambda w: loss(w, x))(w)
    np.testing.assert_allclose(bend.data, mg.func.jacrev(mg.func.grad(lambda w: loss(w, x)))(w).data, rtol=1e-9)


def test_kernels_are_numpys_functions(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(7, 33)).astype(np.float32), rng.normal(size=(33, 5)).astype(np.float32)
    np.testing.assert_allclose(kernels.matmul(a, b), a @ b, rtol=1e-5, atol=1e-5)
    share = np.exp(a - a.max(-1, keepdims=True))
    np.testing.assert_allclose(kernels.softmax(a), share / share.sum(-1, keepdims=True), rtol=1e-5)


def test_attention_is_its_formula(rng: np.random.Generator) -> None:
    q, k, v = (mg.tensor(rng.normal(size=(2, 2, 5, 4))) for _ in range(3))
    mask = np.tril(np.ones((5, 5), np.bool_))
    scores = mg.where(mask, q @ k.mT / 2.0, -np.inf)
    ours = F.scaled_dot_product_attention(q, k, v, mask)
    np.testing.assert_allclose(ours.data, (mg.softmax(scores) @ v).data, rtol=1e-10)


def test_a_module_names_its_parameters() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_a_causal_model_learns_a_sequence_and_writes_it() -> None:
    model = CausalLM(TransformerConfig(decoder_layers=1, **SIZES))
    optimizer = AdamW(model.parameters(), lr=1e-2)
    ids = np.array([[3, 5, 9, 8, 4, 10, 6, 7]])
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(model(ids[:, :-1]).reshape(-1, 11), ids[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < losses[0]
    (best,) = model.generate(ids[:, :1], max_new_tokens=7)
    assert list(best.ids) == ids[0, 1:].tolist()


def test_a_causal_model_does_not_see_the_future() -> None:
    model = CausalLM(TransformerConfig(decoder_layers=2, **SIZES)).eval()
    ids, changed = np.array([[1, 2, 3, 4]]), np.array([[1, 2, 3, 9]])
    np.testing.assert_array_equal(model(ids).data[:, :3], model(changed).data[:, :3])


@pytest.mark.parametrize("kind", [Transformer, CausalLM, MaskedLM])
def test_every_model_of_the_family_is_saved_and_loaded(kind: type[Any], tmp_path: Path) -> None:
    layers = {Transformer: {"encoder_layers": 1, "decoder_layers": 1}, CausalLM: {"decoder_layers": 1}}
    model = kind(TransformerConfig(**layers.get(kind, {"encoder_layers": 1}), **SIZES)).eval()
    model.save_pretrained(tmp_path)
    ids = (np.array([[1, 2, 3]]),) * (2 if kind is Transformer else 1)
    np.testing.assert_array_equal(from_pretrained(tmp_path)(*ids).data, model(*ids).data)


def test_the_graph_is_drawn() -> None:
    model = MaskedLM(TransformerConfig(encoder_layers=1, **SIZES))
    assert "self_attention" in mg.viz.graph(model(np.array([[1, 2, 3]]))).to_dot()
