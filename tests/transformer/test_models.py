"""The architecture against the paper's formulas, written a second time in NumPy; and what each position may see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import gradcheck
from tests.transformer.conftest import model_in_float64, small
from transformer import Transformer, TransformerConfig, record_attention
from transformer.attention import MultiHeadAttention, causal_mask
from transformer.positions import sinusoidal

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


def test_no_position_attends_to_padding(model: Transformer, source: Array, target: Array) -> None:
    with record_attention(model) as weights:
        padded = model(source, target).detach().numpy()[1]
    alone = model(source[1:, :3], target[1:]).detach().numpy()[0]
    np.testing.assert_allclose(padded, alone, atol=1e-12)
    for name, weight in weights.items():
        if "decoder.layers" not in name or "cross" in name:
            assert weight.detach().numpy()[1, :, :, 3:].max() == 0, name


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


def test_cached_decoding_gives_the_logits_of_uncached(model: Transformer, source: Array, target: Array) -> None:
    whole = model(source, target).detach().numpy()
    with mg.no_grad():
        going = model.begin(source)
        steps = [going.step(target[:, t : t + 1]) for t in range(4)]
    np.testing.assert_allclose(np.stack(steps, axis=1), whole, atol=1e-12)


def test_the_whole_models_gradient_agrees_with_differences(
    source: Array, target: Array, rng: np.random.Generator
) -> None:
    model = model_in_float64(encoder_layers=1, decoder_layers=1, vocab_size=24, d_ff=8)

    def loss() -> mg.Tensor:
        logits = model(source, target).reshape(-1, 24)
        return mg.nn.functional.cross_entropy(logits, target.reshape(-1), ignore_index=0, label_smoothing=0.1)

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
        assert float((parameter.grad.data * direction).sum()) == pytest.approx(quotient, rel=1e-5, abs=1e-8), name


def test_the_embedding_is_one_matrix_for_source_target_and_output() -> None:
    names = [name for name, value in Transformer(small()).named_parameters() if value.shape == (300, 16)]
    assert names == ["encoder.tokens.weight"]


def test_bad_inputs_name_the_argument_and_what_is_allowed(model: Transformer, source: Array, target: Array) -> None:
    with pytest.raises(ValueError, match=r"^input_ids: expected integer token ids of shape \(batch, length\)"):
        model(source[0], target)
    with pytest.raises(ValueError, match=r"decoder_input_ids: expected integer token ids"):
        model(source, target.astype(float))
    with pytest.raises(IndexError, match="expected 0 to 299, got"):
        model(source + 300, target)
    with pytest.raises(ValueError, match="65 positions are more than the model's max_length=64"):
        model(np.ones((1, 65), np.int64), target[:1])
    with pytest.raises(ValueError, match="3 heads cannot share d_model=16 evenly"):
        MultiHeadAttention(16, 3)
    with pytest.raises(ValueError, match="decoder_input_ids: expected as many rows as input_ids has, 1, got 2"):
        model(source[:1], target)
    x = mg.ones((1, 3, 16), dtype=mg.float64)
    with pytest.raises(TypeError, match="mask: expected booleans"):
        MultiHeadAttention(16, 2).astype(np.float64)(x, x, mg.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"query: expected shape \(batch, length, d_model\)"):
        MultiHeadAttention(16, 2)(x[0], x)
