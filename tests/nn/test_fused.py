"""Fused operations against their decompositions, above all at singular points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import autograd
from minigrad.func import vmap
from minigrad.nn import functional as F
from minigrad.nn.functional import activations, classification, normalization
from minigrad.nn.functional.attention import fused_attention
from minigrad.nn.functional.linear import fused_linear

inf, nan = np.inf, np.nan
ROWS = {
    "plain": [0.0, 1.0, -2.0],
    "equal": [1.0, 1.0, 1.0],
    "zeros": [0.0, -0.0, 0.0],
    "minus infinity": [0.0, 1.0, -inf],
    "nothing but minus infinity": [-inf, -inf, -inf],
    "infinity": [inf, 1.0, 2.0],
    "several infinities": [inf, 1.0, inf],
    "NaN": [nan, 1.0, 2.0],
    "NaN beside infinity": [inf, nan, 0.0],
    "large": [1e7, 1e7, 1e7],
    "far apart": [1e20, 1.0, -1e20],
    "one": [5.0],
}
MASKS: dict[str, Any] = {
    "none": None,
    "half": [[True, False], [True, True]],
    "a row with nothing": [[False, False], [True, False]],
    "added": [[0.5, -inf], [1.0, 2.0]],
    "added, a row with nothing": [[-inf, -inf], [0.0, 0.0]],
    "added infinity": [[inf, 0.0], [inf, inf]],
}
QUERIES: dict[str, Any] = {
    "plain": ([[1.0, 2.0], [0.5, -1.0]], [[1.0, 1.0], [1.0, 2.0]]),
    "an infinite key": ([[1.0, 1.0], [2.0, 1.0]], [[inf, 1.0], [1.0, 2.0]]),
    "infinite keys": ([[1.0, 1.0], [2.0, 1.0]], [[inf, 1.0], [inf, 2.0]]),
    "a NaN": ([[nan, 1.0], [2.0, 1.0]], [[1.0, 1.0], [1.0, 2.0]]),
    "large": ([[1e4, 1.0], [1e4, 2.0]], [[1e3, 1.0], [1e3, 1.0]]),
}


def _results(function: Any, arrays: list[Any], params: dict[str, Any]) -> list[np.ndarray]:
    """A function's first result and the gradients of its sum with respect to all floating arguments."""
    tensors = [
        mg.tensor(array, requires_grad=True) if isinstance(array, np.ndarray) and array.dtype.kind == "f" else array
        for array in arrays
    ]
    out = function(*tensors, **params)
    out = out[0] if isinstance(out, (tuple, list)) else out
    leaves = [tensor for tensor in tensors if isinstance(tensor, mg.Tensor)]
    gradients = autograd.grad(out, leaves, mg.ones(out.shape, dtype=out.dtype), allow_unused=True)
    return [out.detach().numpy(), *(g.numpy() for g in gradients if g is not None)]


def assert_alike(operation: Any, *arrays: Any, **params: Any) -> None:
    with np.errstate(all="ignore"):
        fused, composed = (_results(f, list(arrays), params) for f in (operation, operation.decomposition))
    for one, other in zip(fused, composed, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy_is_its_decomposition(row: str, smoothing: float) -> None:
    logits = np.array([ROWS[row]] * 2, np.float32)
    for target in range(logits.shape[1]):
        params = {"ignore_index": -100, "label_smoothing": smoothing}
        assert_alike(classification.row_cross_entropy, logits, np.array([target, -100]), **params)
        assert_alike(classification.mean_cross_entropy, logits, np.array([target, -100]), **params)


@pytest.mark.parametrize("row", [name for name in ROWS if name != "large"])  # whose mean has lost what they differ by
def test_norms_are_their_decompositions(row: str) -> None:
    x = np.array([ROWS[row]], np.float32)
    n = x.shape[1]
    weight, bias = np.full(n, 2, np.float32), np.ones(n, np.float32)
    assert_alike(normalization.fused_layer_norm, x, weight, bias, eps=1e-5)
    assert_alike(normalization.fused_rms_norm, x, weight, eps=1e-5)
    assert_alike(normalization.fused_group_norm, np.stack([x, x], axis=1), *np.ones((2, 2), np.float32), 2, 1e-5)
    if n > 1:
        assert_alike(normalization.fused_batch_norm, x.T[:, :, None], None, None, eps=1e-5)


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_activations_are_their_decompositions(name: str) -> None:
    x = np.array([-inf, inf, 0.0, -0.0, nan, 1e20, -1e20, 1e7, 5.0, -5.0], np.float32)
    for params in [{"approximate": "none"}, {"approximate": "tanh"}] if name == "gelu" else [{}]:
        assert_alike(getattr(activations, f"fused_{name}"), x, **params)


@pytest.mark.parametrize("shapes", [((2, 3), (4, 3), (4,)), ((0, 3), (4, 3), (4,)), ((2, 0), (4, 0), (4,))])
def test_linear_is_its_decomposition(shapes: tuple[tuple[int, ...], ...]) -> None:
    arrays = [np.ones(shape, np.float32) for shape in shapes]
    assert_alike(fused_linear, *arrays)
    if arrays[0].size:
        arrays[0][0, 0], arrays[2][1] = inf, -inf
        assert_alike(fused_linear, *arrays)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("values", QUERIES)
def test_attention_is_its_decomposition(values: str, mask: str, causal: bool) -> None:
    """Wherever what is not finite may be attended: a product with a weight of 0 is no promise."""
    q, k = (np.array(array, np.float32) for array in QUERIES[values])
    hidden = MASKS[mask]
    hidden = hidden if hidden is None else np.array(hidden, np.bool_ if hidden[0][0] in (True, False) else np.float32)
    if values in ("an infinite key", "infinite keys", "a NaN") and (mask != "none" or causal):
        return
    v = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    params = {"scale": 1.0, "causal": causal, "dropout": 0.0, "seed": 0}
    operation = fused_attention
    with np.errstate(all="ignore"):
        fused, composed = (
            _results(lambda q, k, v, f=f: f(q, k, v, hidden, **params), [q, k, v], {})
            for f in (operation, operation.decomposition)
        )
    for one, other in zip(fused, composed, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:(Mean of empty|invalid value):RuntimeWarning")  # what a mean of nothing says
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_empty_rows_are_alike_too(shape: tuple[int, int]) -> None:
    x = np.ones(shape, np.float32)
    assert_alike(normalization.fused_layer_norm, x, None, None, eps=1e-5)
    assert_alike(normalization.fused_rms_norm, x, None, eps=1e-5)


def test_the_loss_of_a_hidden_class_under_vmap_is_that_without() -> None:
    logits = mg.tensor([[0.0, 1.0, -inf]])
    expected = F.cross_entropy(logits, [1])
    assert expected.item() == pytest.approx(0.3133, abs=1e-4)
    np.testing.assert_allclose(vmap(lambda t: F.cross_entropy(t[None], [1]))(logits).numpy(), [expected.item()])
    one_hot = mg.tensor([[0.0, 1.0, 0.0]], requires_grad=True)
    probabilities = F.cross_entropy(logits, one_hot)
    assert probabilities.item() == pytest.approx(expected.item())
    probabilities.backward()
    assert F.kl_div(mg.tensor([-inf, 0.0]), mg.tensor([0.0, 1.0]), "sum").item() == 0
