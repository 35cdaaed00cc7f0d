"""The parts of a layer against their formulas: norms, activations, feed-forward, residuals, embeddings, starts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.transformer.conftest import model_in_float64, small
from transformer import CausalLM, Encoder, Transformer
from transformer.model.layers import FeedForward, OutputProjection, Residual, TokenEmbedding, normalization

Array = np.ndarray[Any, Any]


def randomized(module: Any) -> Any:
    """The module in float64 and evaluation mode, every parameter random."""
    rng = np.random.default_rng(2)
    for parameter in module.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    return module.eval()


def layer_norm(x: Array, eps: float) -> Array:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)


def test_norms_are_the_two_formulas(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 16))
    layer = randomized(normalization(small(norm_eps=0.1)))
    expected = layer_norm(x, 0.1) * layer.weight.data + layer.bias.data
    np.testing.assert_allclose(layer(mg.asarray(x)).detach(), expected, atol=1e-12)
    rms = randomized(normalization(small(norm="rms", norm_eps=0.1)))
    expected = x / np.sqrt((x * x).mean(-1, keepdims=True) + 0.1) * rms.weight.data
    np.testing.assert_allclose(rms(mg.asarray(x)).detach(), expected, atol=1e-12)


ERF = np.vectorize(math.erf)


@pytest.mark.parametrize(
    ("activation", "function", "gated"),
    [
        ("relu", lambda x: np.maximum(x, 0), False),
        ("gelu", lambda x: x * (1 + ERF(x / math.sqrt(2))) / 2, False),
        ("gelu_tanh", lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2, False),
        ("silu", lambda x: x / (1 + np.exp(-x)), False),
        ("swiglu", lambda x: x / (1 + np.exp(-x)), True),
        ("geglu", lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2, True),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_the_feed_forward_network_is_its_formula(
    activation: str, function: Any, gated: bool, bias: bool, rng: np.random.Generator
) -> None:
    network = randomized(FeedForward(small(activation=activation, bias=bias)))
    w = {name: value.numpy() for name, value in network.state_dict().items()}
    assert ("gate.weight" in w) == gated
    assert any("bias" in name for name in w) == bias

    def linear(name: str, x: Array) -> Array:
        return x @ w[f"{name}.weight"].T + (w[f"{name}.bias"] if bias else 0.0)

    x = rng.standard_normal((2, 3, 16))
    inner = function(linear("gate", x)) * linear("expand", x) if gated else function(linear("expand", x))
    np.testing.assert_allclose(network(mg.asarray(x)).detach(), linear("contract", inner), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_residual_has_its_norm_inside_or_outside(norm_first: bool, rng: np.random.Generator) -> None:
    residual = randomized(Residual(small(norm_first=norm_first)))
    scale, shift = residual.norm.weight.data, residual.norm.bias.data
    x = rng.standard_normal((2, 3, 16))

    def norm(x: Array) -> Array:
        return layer_norm(x, 1e-5) * scale + shift

    found = residual(mg.asarray(x), lambda y: y * y)
    np.testing.assert_allclose(found.detach(), x + norm(x) ** 2 if norm_first else norm(x + x**2), atol=1e-12)


def test_embeddings_are_multiplied_and_outputs_divided_by_the_root_of_the_width(rng: np.random.Generator) -> None:
    ids = np.array([[3, 1], [0, 9]])
    for scaled, factor in ((True, 4.0), (False, 1.0)):
        tokens = TokenEmbedding(small(scale_embedding=scaled))
        np.testing.assert_allclose(tokens(ids).detach(), tokens.weight.data[ids] * factor, rtol=1e-6)
        output = OutputProjection(small(scale_output=scaled), tokens)
        x = rng.standard_normal((2, 2, 16), np.float32)
        np.testing.assert_allclose(output(mg.asarray(x)).detach(), x @ tokens.weight.data.T / factor, rtol=1e-4)


def test_outputs_may_have_a_bias() -> None:
    output = OutputProjection(small(output_bias=True), TokenEmbedding(small()))
    assert output.bias is not None
    output.bias.data[:] = np.arange(300)
    np.testing.assert_array_equal(output(mg.zeros((1, 1, 16))).detach().numpy()[0, 0], np.arange(300))


@pytest.mark.parametrize(
    ("tie", "translator", "writer"),
    [
        ("all", ["encoder.tokens.weight"], ["decoder.tokens.weight"]),
        ("output", ["encoder.tokens.weight", "decoder.tokens.weight"], ["decoder.tokens.weight"]),
        (
            "none",
            ["encoder.tokens.weight", "decoder.tokens.weight", "output.weight"],
            ["decoder.tokens.weight", "output.weight"],
        ),
    ],
)
def test_matrices_over_the_vocabulary_are_tied_as_asked(tie: str, translator: list[str], writer: list[str]) -> None:
    for kind, expected in ((Transformer, translator), (CausalLM, writer)):
        parameters = kind(small(tie=tie)).named_parameters()
        assert [name for name, value in parameters if value.shape == (300, 16)] == expected


def test_token_types_are_added_and_the_embeddings_normalized() -> None:
    changes: dict[str, Any] = {"token_types": 2, "positions": "none", "scale_embedding": False, "embedding_norm": True}
    encoder = model_in_float64(Encoder, **changes)
    w = {name: value.numpy() for name, value in encoder.state_dict().items()}
    ids, types = np.array([[5, 6, 7]]), np.array([[0, 0, 1]])
    expected = layer_norm(w["tokens.weight"][ids] + w["types.weight"][types], 1e-5)
    expected = expected * w["embedding_norm.weight"] + w["embedding_norm.bias"]
    found = encoder.embed(mg.asarray(ids), mg.arange(3), types)
    np.testing.assert_allclose(found.detach(), expected, atol=1e-12)
    first = encoder(ids, None, np.zeros_like(ids)).detach().numpy()
    np.testing.assert_array_equal(encoder(ids).detach(), first)  # the first type, where none is given
    assert not np.allclose(encoder(ids, None, types).detach(), first)


# Training


def calls_of_layers(model: Any, times: int) -> list[int]:
    counts = [0] * times
    for layer in model.layers:
        layer.register_forward_hook(lambda module, args, output: counts.__setitem__(at, counts[at] + 1))
    for at in range(times):  # noqa: B007 -- the hooks read it
        model([[5, 6]])
    return counts


def test_layer_drop_leaves_out_its_share_of_the_layers_in_training() -> None:
    encoder = Encoder(small(encoder_layers=10, layer_drop=0.4, dropout=0.0)).train()
    counts = calls_of_layers(encoder, 100)
    assert np.mean(counts) == pytest.approx(6, abs=0.5)  # three standard deviations: 3 √(10 · 0.4 · 0.6 / 100)
    assert len(set(counts)) > 3


def test_layer_drop_is_off_in_evaluation() -> None:
    assert calls_of_layers(Encoder(small(encoder_layers=10, layer_drop=0.9)).eval(), 3) == [10, 10, 10]


@pytest.mark.parametrize("name", ["dropout", "attention_dropout", "activation_dropout", "layer_drop"])
def test_each_kind_of_dropout_acts_in_training_alone_and_repeats_with_its_seed(name: str) -> None:
    model = CausalLM(small(**{"dropout": 0.0, name: 0.5}))
    plain = CausalLM(small(dropout=0.0)).eval()
    plain.load_state_dict(model.state_dict())
    ids = np.array([[5, 6, 7, 8, 9, 10]])

    def logits(seed: int) -> Array:
        mg.manual_seed(seed)
        return model(ids).detach().numpy()

    model.train()
    assert any(not np.allclose(logits(0), logits(seed)) for seed in range(1, 6))
    np.testing.assert_array_equal(logits(3), logits(3))
    model.eval()
    np.testing.assert_array_equal(logits(0), plain(ids).detach())


# First values


def test_normal_first_values_are_narrower_where_a_sublayer_ends() -> None:
    model = CausalLM(small(d_model=64, d_ff=256, init_std=0.02, decoder_layers=8, positions="learned"))
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            ends = name.endswith(("attention.output.weight", "contract.weight"))
            expected = 0.02 / math.sqrt(2 * 8) if ends else 0.02
            assert parameter.data.std() == pytest.approx(expected, rel=0.1), name


def test_other_first_values_are_xaviers() -> None:
    model = Encoder(small(d_model=64, d_ff=256))
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            bound = math.sqrt(6 / (module.in_features + module.out_features))
            largest = np.abs(module.weight.data).max()
            assert 0.95 * bound < largest <= bound, name
            assert module.bias is not None and not module.bias.data.any()
