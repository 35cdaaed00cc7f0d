"""Whole models: the paper's formulas, implemented independently in NumPy; causality; gradients, dtypes."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F
from tests.transformer.conftest import ARCHITECTURES, model_in_float64, small
from transformer import CausalLM, Decoder, Encoder, MaskedLM, Transformer, record_attention

Array = np.ndarray[Any, Any]


class Paper:
    """ "Attention Is All You Need", sections 3.1 to 3.5, one sentence and one position at a time."""

    def __init__(self, model: Transformer) -> None:
        self.w = {name: value.numpy() for name, value in model.state_dict().items()}
        self.config = model.config

    def linear(self, name: str, x: Array) -> Array:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def norm(self, name: str, x: Array) -> Array:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-5) * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def attention(self, name: str, x: Array, memory: Array, causal: bool) -> Array:
        size = self.config.head_size
        q, k, v = (
            self.linear(f"{name}.query", x),
            self.linear(f"{name}.key", memory),
            self.linear(f"{name}.value", memory),
        )
        heads = []
        for h in range(self.config.num_heads):
            part = slice(h * size, (h + 1) * size)
            rows = []
            for i in range(len(x)):
                seen = slice(0, i + 1) if causal else slice(0, len(memory))
                scores = k[seen, part] @ q[i, part] / np.sqrt(size)
                weights = np.exp(scores) / np.exp(scores).sum()
                rows.append(weights @ v[seen, part])
            heads.append(np.array(rows))
        return self.linear(f"{name}.output", np.concatenate(heads, axis=1))

    def sublayer(self, name: str, x: Array, function: Any) -> Array:
        norm = f"{name}_residual.norm"
        if self.config.norm_first:
            return x + function(self.norm(norm, x))
        return self.norm(norm, x + function(x))

    def feed_forward(self, name: str, x: Array) -> Array:
        return self.linear(f"{name}.contract", np.maximum(0, self.linear(f"{name}.expand", x)))

    def embed(self, ids: Array) -> Array:
        d = self.config.d_model
        x = self.w["encoder.tokens.weight"][ids] * np.sqrt(d)
        for pos in range(len(ids)):
            for i in range(d // 2):
                x[pos, 2 * i] += np.sin(pos / 10000 ** (2 * i / d))
                x[pos, 2 * i + 1] += np.cos(pos / 10000 ** (2 * i / d))
        return x

    def logits(self, source: Array, target: Array) -> Array:
        x = self.embed(source)
        for n in range(self.config.encoder_layers):
            layer = f"encoder.layers.{n}"
            own = f"{layer}.self_attention"
            x = self.sublayer(own, x, lambda y, own=own: self.attention(own, y, y, causal=False))
            x = self.sublayer(f"{layer}.feed_forward", x, lambda y, n=layer: self.feed_forward(f"{n}.feed_forward", y))
        memory = self.norm("encoder.norm", x) if self.config.norm_first else x
        x = self.embed(target)
        for n in range(self.config.decoder_layers):
            layer = f"decoder.layers.{n}"
            own, cross = f"{layer}.self_attention", f"{layer}.cross_attention"
            x = self.sublayer(own, x, lambda y, own=own: self.attention(own, y, y, causal=True))
            x = self.sublayer(cross, x, lambda y, cross=cross: self.attention(cross, y, memory, causal=False))
            x = self.sublayer(f"{layer}.feed_forward", x, lambda y, n=layer: self.feed_forward(f"{n}.feed_forward", y))
        x = self.norm("decoder.norm", x) if self.config.norm_first else x
        return x @ self.w["encoder.tokens.weight"].T


def test_logits_are_the_papers_formulas(model: Transformer, source: Array, target: Array) -> None:
    found = model(source, target).detach().numpy()
    paper = Paper(model)
    for row in range(2):
        s, t = source[row][source[row] != 0], target[row][target[row] != 0]
        # atol: the model's table of positions is kept in float32
        np.testing.assert_allclose(found[row, : len(t)], paper.logits(s, t), atol=1e-6)


def test_no_position_attends_to_the_future(model: Transformer, source: Array, target: Array) -> None:
    before = model(source, target).detach().numpy()
    for position in range(1, target.shape[1]):
        changed = target.copy()
        changed[:, position] = 20
        after = model(source, changed).detach().numpy()
        np.testing.assert_array_equal(after[:, :position], before[:, :position])
        assert not np.allclose(after[:, position], before[:, position])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_causal_model_sees_no_later_token_and_a_masked_one_sees_all(architecture: str) -> None:
    ids, changed = np.array([[5, 6, 7, 8]]), np.array([[5, 6, 7, 9]])
    causal, masked = model_of(CausalLM, architecture), model_of(MaskedLM, architecture)
    np.testing.assert_array_equal(causal(ids).detach()[:, :3], causal(changed).detach()[:, :3])
    assert not np.allclose(masked(ids).detach()[:, 2], masked(changed).detach()[:, 2])


# Padding


@cache
def model_of(kind: Any, architecture: str) -> Any:
    return model_in_float64(kind, **{"vocab_size": 20, **ARCHITECTURES[architecture]})


def padded(rows: list[list[int]], side: str) -> Array:
    length = max(map(len, rows))
    zeros = [[0] * (length - len(row)) for row in rows]
    return np.array([z + row if side == "left" else row + z for z, row in zip(zeros, rows, strict=True)])


@pytest.mark.parametrize("kind", [Encoder, MaskedLM, CausalLM, Transformer])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@given(data=st.data(), side=st.sampled_from(["left", "right"]))
@settings(max_examples=5)
def test_a_row_gives_the_same_alone_as_in_a_batch_padded_on_either_side(
    kind: Any, architecture: str, data: st.DataObject, side: str
) -> None:
    rows = data.draw(st.lists(st.lists(st.integers(3, 19), min_size=1, max_size=7), min_size=1, max_size=4))
    model = model_of(kind, architecture)
    target = ([[1, 5, 6]],) if kind is Transformer else ()
    together = model(padded(rows, side), *(np.repeat(t, len(rows), 0) for t in target)).detach().numpy()
    for row, found in zip(rows, together, strict=True):
        alone = model([row], *target).detach().numpy()[0]
        if not target:
            found = found[-len(row) :] if side == "left" else found[: len(row)]
        np.testing.assert_allclose(found, alone, atol=1e-9)


@pytest.mark.parametrize("kind", [Encoder, MaskedLM, CausalLM, Transformer])
def test_a_mask_says_what_is_padding_whatever_the_tokens_are(kind: Any) -> None:
    model = model_of(kind, "paper")
    ids, mask = np.array([[5, 6, 7, 8], [9, 10, 0, 0]]), np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    target = (np.array([[1, 5], [1, 6]]),) if kind is Transformer else ()
    expected = model(ids, *target).detach().numpy()
    for given_mask in (mask, mask.astype(bool), mask.astype(np.int8)):
        np.testing.assert_array_equal(model(ids, *target, given_mask).detach(), expected)
    other = np.where(mask, ids, 7)
    real = slice(None) if target else mask.astype(bool)
    np.testing.assert_array_equal(model(other, *target, mask).detach().numpy()[real], expected[real])
    ones = np.ones_like(mask)
    assert not np.allclose(model(ids, *target, ones).detach()[1], expected[1])  # so the pad token is read


@pytest.mark.parametrize("kind", [Encoder, MaskedLM, CausalLM, Transformer])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_of_padding_alone_stay_finite_and_change_no_gradient(kind: Any, architecture: str) -> None:
    model = model_of(kind, architecture)
    ids, empty = np.array([[5, 6, 7]]), np.zeros((1, 3), np.int64)
    target = (np.array([[1, 5, 6]]),) if kind is Transformer else ()

    def gradients(ids: Array, *target: Array) -> dict[str, Array]:
        model.zero_grad()
        output = model(ids, *target)
        assert np.isfinite(output.detach().numpy()).all()
        output[:1].sum().backward()
        return {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}

    alone = gradients(ids, *target)
    together = gradients(np.concatenate([ids, empty]), *(np.concatenate([t, t]) for t in target))
    assert set(alone) == set(together)
    for name, gradient in together.items():
        np.testing.assert_allclose(gradient, alone[name], atol=1e-9, err_msg=name)


# Gradients and dtypes


@pytest.mark.parametrize("architecture", ["paper", "gpt", "bert", "llama", "t5", "alibi window"])
@pytest.mark.parametrize("kind", [Transformer, CausalLM, MaskedLM])
def test_the_whole_models_gradient_agrees_with_differences(
    kind: Any, architecture: str, source: Array, target: Array, rng: np.random.Generator
) -> None:
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "vocab_size": 24, "d_ff": 8}
    model = model_in_float64(kind, **{**sizes, **ARCHITECTURES[architecture]})
    arguments, labels = ((source, target), target) if kind is Transformer else ((source,), source)

    def loss() -> mg.Tensor:
        logits = model(*arguments).reshape(-1, 24)
        return F.cross_entropy(logits, labels.reshape(-1), ignore_index=0, label_smoothing=0.1)

    loss().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        direction = rng.standard_normal(parameter.shape)
        at, eps = parameter.data.copy(), 1e-6
        values = []
        for sign in (1, -1):
            parameter.data = at + sign * eps * direction
            values.append(loss().item())
        parameter.data = at
        quotient = (values[0] - values[1]) / (2 * eps)
        assert float((parameter.grad.data * direction).sum()) == pytest.approx(quotient, rel=1e-5, abs=1e-7), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_computes_in_the_dtype_of_its_weights(architecture: str, dtype: Any, source: Array) -> None:
    changes = {"attention_dropout": 0.1, "activation_dropout": 0.1, **ARCHITECTURES[architecture]}
    for kind in (Transformer, CausalLM, MaskedLM):
        model = kind(small(**changes)).astype(dtype)
        seen: set[Any] = set()
        for module in model.modules():
            module.register_forward_hook(lambda module, arguments, output, seen=seen: seen.add(output.dtype))
        model(*((source, source) if kind is Transformer else (source,))).sum().backward()
        assert seen == {np.dtype(dtype)}
        assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {np.dtype(dtype)}
        if kind is not MaskedLM:
            with mg.no_grad():
                going = model.begin(source)
                assert going.step(going.prompt).dtype == going.step(going.prompt[:, :1]).dtype == dtype


# What is inside


@pytest.mark.parametrize("architecture", ["paper", "pre-norm", "bert", "llama", "t5"])
@pytest.mark.parametrize("kind", [Transformer, CausalLM, MaskedLM])
def test_a_hook_on_each_named_module_sees_one_tensor_in_a_pass(
    kind: Any, architecture: str, source: Array, target: Array
) -> None:
    model = model_in_float64(kind, **ARCHITECTURES[architecture])
    calls: Counter[str] = Counter()
    for name, module in model.named_modules():

        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any, name: str = name) -> None:
            assert isinstance(output, mg.Tensor), name
            calls[name] += 1

        if not isinstance(module, nn.ModuleList):
            module.register_forward_hook(hook)
            calls[name] = 0
    model(*((source, target) if kind is Transformer else (source,)))
    shared = kind is Transformer and model.config.tie == "all"
    assert calls.pop("encoder.tokens", 2 if shared else 1) == (2 if shared else 1)  # the decoder's embedding too
    assert set(calls.values()) == {1}, calls


def test_attention_weights_are_reachable_from_every_layer_and_sum_to_one(
    model: Transformer, source: Array, target: Array
) -> None:
    with record_attention(model) as weights:
        model(source, target)
    assert set(weights) == {
        *(f"encoder.layers.{n}.self_attention" for n in range(2)),
        *(f"decoder.layers.{n}.{kind}_attention" for n in range(2) for kind in ("self", "cross")),
    }
    assert weights["decoder.layers.1.cross_attention"].shape == (2, 2, 4, 5)
    for weight in weights.values():
        np.testing.assert_allclose(weight.detach().numpy().sum(-1), 1)
    weights.clear()
    model(source, target)
    assert not weights  # nothing is collected after the block


def test_bad_inputs_name_the_argument_and_what_is_allowed(model: Transformer, source: Array, target: Array) -> None:
    with pytest.raises(
        ValueError, match=r"^input_ids: expected integer token ids of shape \(batch, length\), got int64"
    ):
        model(source[0], target)
    with pytest.raises(ValueError, match=r"^decoder_input_ids: expected integer token ids .*, got float64 \(2, 4\)"):
        model(source, target.astype(float))
    with pytest.raises(IndexError, match="expected 0 to 299, got"):
        model(source + 300, target)
    with pytest.raises(ValueError, match="Encoder: 65 positions are more than the model's max_length=64"):
        model(np.ones((1, 65), np.int64), target[:1])
    with pytest.raises(ValueError, match="Decoder: 65 positions are more than the model's max_length=64"):
        model(source[:1], np.ones((1, 65), np.int64))
    with pytest.raises(ValueError, match="decoder_input_ids: expected as many rows as input_ids has, 1, got 2"):
        model(source[:1], target)
    for mask in (np.ones((2, 4), bool), np.ones((2, 5))):
        with pytest.raises(ValueError, match=r"attention_mask: expected booleans, or 0 and 1, of shape \(2, 5\), got"):
            model(source, target, mask)


def test_inputs_that_a_model_does_not_use_are_refused() -> None:
    with pytest.raises(ValueError, match="token_type_ids: this model has no token types, expected None"):
        Encoder(small())([[5, 6]], None, [[0, 1]])
    with pytest.raises(ValueError, match="memory: this decoder has no attention to one, expected None"):
        Decoder(small(encoder_layers=0))([[5, 6]], mg.ones((1, 2, 16)))


@pytest.mark.parametrize("positions", ["rotary", "alibi", "relative", "none"])
def test_positions_that_are_computed_have_no_last_one(positions: str) -> None:
    assert CausalLM(small(positions=positions, max_length=4))([[5] * 9]).shape == (1, 9, 300)
