"""PyTorch as an oracle: values, first and second derivatives, singular points included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import autograd
from minigrad.nn import functional as F

torch = pytest.importorskip("torch", reason="PyTorch is an optional peer: pip install torch")
T = torch.nn.functional
pytestmark = pytest.mark.peers

rng = np.random.default_rng(0)
A, B = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
P = rng.uniform(0.1, 0.9, (2, 3))
TIES = np.array([[1.0, 1.0, -2.0], [0.0, 0.0, 0.0]])
ZEROS = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 5.0]])
SQUARE = rng.normal(size=(2, 3, 3))
DEFINITE = SQUARE @ SQUARE.swapaxes(-1, -2) + 0.5 * np.eye(3)
SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])
IMAGE = rng.normal(size=(2, 4, 6, 5))
INDEX = np.array([[0, 1, 1], [1, 0, 0]])

Case = tuple[Callable[..., Any], Callable[..., Any], tuple[np.ndarray, ...]]


def _unary(*names: str, at: np.ndarray = A) -> dict[str, Case]:
    return {f"{name} at {at.ravel()[:2].round(2)}": (getattr(mg, name), getattr(torch, name), (at,)) for name in names}


def _activations(*names: str) -> dict[str, Case]:
    at = np.concatenate([A.ravel(), [0.0]])
    return {name: (getattr(F, name), getattr(T, name), (at,)) for name in names}


def _losses(*names: str, target: np.ndarray = B, given: np.ndarray = A) -> dict[str, Case]:
    return {
        name: (
            lambda x, name=name: getattr(F, name)(x, target),
            lambda x, name=name: getattr(T, name)(x, _t(target)),
            (given,),
        )
        for name in names
    }


def _t(array: np.ndarray) -> Any:
    return torch.tensor(array)


CASES: dict[str, Case] = {
    # element by element
    **_unary("exp", "expm1", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "asinh", "sigmoid", "erf", "erfc"),
    **_unary("log", "log1p", "log2", "sqrt", "asin", "acos", "atanh", "lgamma", "digamma", "reciprocal", "logit", at=P),
    **_unary("abs", "sign", "floor", "ceil", "trunc", "relu", "sinc", "square", "exp2", at=TIES),
    "maximum with ties": (mg.maximum, torch.maximum, (TIES, np.ones((2, 3)))),
    "minimum with ties": (mg.minimum, torch.minimum, (TIES, np.ones((2, 3)))),
    "clip at its bounds": (lambda x: mg.clip(x, -2, 1), lambda x: torch.clamp(x, -2, 1), (TIES,)),
    "clip by tensors": (mg.clip, torch.clamp, (A, B - 1, B + 1)),
    "square as a power at 0": (lambda x: x**2, lambda x: x**2, (ZEROS,)),
    "power of one at 0": (lambda x: x**1, lambda x: x**1, (ZEROS,)),
    "power of zero at 0": (lambda x: x**0, lambda x: x**0, (ZEROS,)),
    "pow": (mg.pow, torch.pow, (P, A)),
    "pow at base 0": (mg.pow, torch.pow, (ZEROS, np.full((2, 3), 2.0))),
    "negative base": (lambda x: x**3, lambda x: x**3, (A,)),
    "remainder": (mg.remainder, torch.remainder, (A, B)),
    "atan2": (mg.atan2, torch.atan2, (A, B)),
    "hypot": (mg.hypot, torch.hypot, (A, B)),
    "logaddexp": (mg.logaddexp, torch.logaddexp, (A, B)),
    "copysign": (mg.copysign, torch.copysign, (A, B)),
    "where": (lambda a, b: mg.where(A > 0, a, b), lambda a, b: torch.where(_t(A > 0), a, b), (A, B)),
    "an unused branch": (
        lambda x: mg.where(TIES > 0, mg.sqrt(x), 0.0),
        lambda x: torch.where(_t(TIES > 0), torch.sqrt(x), 0.0),
        (np.abs(A),),
    ),
    "nan_to_num": (mg.nan_to_num, torch.nan_to_num, (np.array([1.0, np.inf, -np.inf, np.nan]),)),
    # reductions and scans
    "prod with zeros": (lambda x: mg.prod(x, axis=1), lambda x: torch.prod(x, 1), (ZEROS,)),
    "prod over all": (mg.prod, torch.prod, (A,)),
    "max with ties": (lambda x: mg.max(x, axis=1), lambda x: torch.amax(x, 1), (TIES,)),
    "min with ties": (lambda x: mg.min(x, axis=0), lambda x: torch.amin(x, 0), (TIES,)),
    "var": (lambda x: mg.var(x, axis=1, correction=1), lambda x: torch.var(x, 1), (A,)),
    "std": (lambda x: mg.std(x, correction=1), torch.std, (A,)),
    "logsumexp": (lambda x: mg.logsumexp(x, axis=1), lambda x: torch.logsumexp(x, 1), (A,)),
    "cumsum": (lambda x: mg.cumsum(x, axis=1), lambda x: torch.cumsum(x, 1), (A,)),
    "cumprod with zeros": (lambda x: mg.cumprod(x, axis=1), lambda x: torch.cumprod(x, 1), (ZEROS,)),
    "diff": (lambda x: mg.diff(x, axis=1), lambda x: torch.diff(x, dim=1), (A,)),
    "trapezoid": (lambda x: mg.trapezoid(x, axis=1), lambda x: torch.trapezoid(x, dim=1), (A,)),
    "sort": (lambda x: mg.sort(x, axis=1), lambda x: torch.sort(x, 1).values, (A,)),
    "topk": (lambda x: mg.topk(x, 2)[0], lambda x: torch.topk(x, 2).values, (A,)),
    # shapes and indices
    "roll": (lambda x: mg.roll(x, 1, axis=1), lambda x: torch.roll(x, 1, 1), (A,)),
    "repeat": (lambda x: mg.repeat(x, 2, axis=0), lambda x: torch.repeat_interleave(x, 2, 0), (A,)),
    "tile": (lambda x: mg.tile(x, (2, 1)), lambda x: torch.tile(x, (2, 1)), (A,)),
    "windows": (
        lambda x: mg.sliding_window_view(x, 2, axis=1),
        lambda x: x.unfold(1, 2, 1),
        (A,),
    ),
    "take_along_axis": (
        lambda x: mg.take_along_axis(x, INDEX, axis=0),
        lambda x: torch.take_along_dim(x, _t(INDEX), 0),
        (A,),
    ),
    "gather": (lambda x: mg.gather(x, 1, INDEX[:, :2]), lambda x: torch.gather(x, 1, _t(INDEX[:, :2])), (A,)),
    "scatter_add": (
        lambda x, y: mg.scatter_add(x, 1, INDEX, y),
        lambda x, y: torch.scatter_add(x, 1, _t(INDEX), y),
        (A, B),
    ),
    "index_add": (
        lambda x, y: mg.index_add(x, 0, np.array([1, 1]), y),
        lambda x, y: torch.index_add(x, 0, _t(np.array([1, 1])), y),
        (A, B),
    ),
    "repeated integer indices": (lambda x: x[[0, 1, 0], [2, 2, 2]], lambda x: x[[0, 1, 0], [2, 2, 2]], (A,)),
    # linear algebra
    "matmul of batches": (mg.matmul, torch.matmul, (SQUARE, rng.normal(size=(3, 4)))),
    "einsum": (lambda a, b: mg.einsum("ij,kj->ik", a, b), lambda a, b: torch.einsum("ij,kj->ik", a, b), (A, B)),
    "det": (mg.linalg.det, torch.linalg.det, (SQUARE,)),
    "det of a singular matrix": (mg.linalg.det, torch.linalg.det, (SINGULAR,)),
    "slogdet": (lambda x: mg.linalg.slogdet(x)[1], lambda x: torch.linalg.slogdet(x)[1], (SQUARE,)),
    "inv": (mg.linalg.inv, torch.linalg.inv, (DEFINITE,)),
    "solve": (mg.linalg.solve, torch.linalg.solve, (DEFINITE, SQUARE)),
    "cholesky": (lambda x: mg.linalg.cholesky(x + x.mT), lambda x: torch.linalg.cholesky(x + x.mT), (DEFINITE,)),
    "eigvalsh": (lambda x: mg.linalg.eigvalsh(x + x.mT), lambda x: torch.linalg.eigvalsh(x + x.mT), (SQUARE,)),
    "svdvals": (mg.linalg.svdvals, torch.linalg.svdvals, (SQUARE[..., :2],)),
    "qr": (lambda x: mg.linalg.qr(x)[1], lambda x: torch.linalg.qr(x)[1], (DEFINITE,)),
    "pinv": (mg.linalg.pinv, torch.linalg.pinv, (SQUARE[..., :2],)),
    "nuclear norm": (
        lambda x: mg.linalg.matrix_norm(x, ord="nuc"),
        lambda x: torch.linalg.matrix_norm(x, "nuc"),
        (SQUARE,),
    ),
    **{
        f"vector norm {order} at 0": (
            lambda x, order=order: mg.linalg.vector_norm(x, axis=1, ord=order),
            lambda x, order=order: torch.linalg.vector_norm(x, order, dim=1),
            (TIES,),
        )
        for order in (1, 2, 3, np.inf, -np.inf)
    },
    # layers
    **_activations("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardtanh"),
    **_activations("hardswish", "hardshrink", "softshrink", "tanhshrink", "softplus", "logsigmoid"),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), lambda x: T.gelu(x, approximate="tanh"), (A,)),
    "softmax": (lambda x: F.softmax(x, axis=0), lambda x: T.softmax(x, 0), (A,)),
    "log_softmax": (lambda x: F.log_softmax(x, axis=1), lambda x: T.log_softmax(x, 1), (A,)),
    "layer_norm": (lambda x, w: F.layer_norm(x, (3,), w), lambda x, w: T.layer_norm(x, (3,), w), (A, P[0])),
    "rms_norm": (lambda x, w: F.rms_norm(x, (3,), w), lambda x, w: T.rms_norm(x, (3,), w), (A, P[0])),
    "group_norm": (lambda x: F.group_norm(x, 2), lambda x: T.group_norm(x, 2), (IMAGE,)),
    "batch_norm": (
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: T.batch_norm(x, None, None, training=True),
        (IMAGE,),
    ),
    "conv1d": (
        lambda x, w: F.conv1d(x, w, stride=2, padding=1),
        lambda x, w: T.conv1d(x, w, stride=2, padding=1),
        (IMAGE[0, :2], rng.normal(size=(3, 6, 3))),
    ),
    "conv2d with groups": (
        lambda x, w, b: F.conv2d(x, w, b, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
        lambda x, w, b: T.conv2d(x, w, b, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
        (IMAGE, rng.normal(size=(6, 2, 3, 2)), rng.normal(size=6)),
    ),
    "conv_transpose2d": (
        lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1),
        lambda x, w: T.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1),
        (IMAGE, rng.normal(size=(4, 3, 3, 3))),
    ),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1), lambda x: T.max_pool2d(x, 3, 2, 1), (IMAGE,)),
    "max_pool2d rounded up": (
        lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True),
        lambda x: T.max_pool2d(x, 2, 2, ceil_mode=True),
        (IMAGE,),
    ),
    "avg_pool2d": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        lambda x: T.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        (IMAGE,),
    ),
    "attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        lambda q, k, v: T.scaled_dot_product_attention(q, k, v, is_causal=True),
        tuple(rng.normal(size=(3, 2, 4, 5))),
    ),
    # losses
    **_losses("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss", "hinge_embedding_loss"),
    **_losses("binary_cross_entropy_with_logits", "kl_div", target=P),
    **_losses("binary_cross_entropy", target=P[::-1].copy(), given=P),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, np.array([2, -100]), label_smoothing=0.1),
        lambda x: T.cross_entropy(x, _t(np.array([2, -100])), label_smoothing=0.1),
        (A,),
    ),
    "weighted cross_entropy": (
        lambda x: F.cross_entropy(x, np.array([2, 0]), weight=P[0]),
        lambda x: T.cross_entropy(x, _t(np.array([2, 0])), weight=_t(P[0])),
        (A,),
    ),
    "cross_entropy with probabilities": (
        lambda x: F.cross_entropy(x, P),
        lambda x: T.cross_entropy(x, _t(P)),
        (A,),
    ),
}


def _derivatives(function: Any, leaves: list[Any], grad: Any, sin: Any, ones: Any) -> list[Any]:
    """The value, the gradients of Σ sin(value), and the gradients of Σ sin of those."""
    value = function(*leaves)
    first = grad(sin(value).sum(), leaves, create_graph=True, allow_unused=True)
    total = sum((sin(g * ones).sum() for g in first if g is not None and g.requires_grad), start=0.0 * value.sum())
    second = grad(total, leaves, allow_unused=True)
    return [value, *first, *second]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:Using a target size|reduction. 'mean' divides:UserWarning")
def test_values_and_two_derivatives_are_pytorchs(name: str) -> None:
    function, reference, points = CASES[name]
    ours = _derivatives(function, [mg.tensor(p, requires_grad=True) for p in points], autograd.grad, mg.sin, 1.0)
    theirs = _derivatives(
        reference, [torch.tensor(p, requires_grad=True) for p in points], torch.autograd.grad, torch.sin, 1.0
    )
    for position, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        shape = points[(position - 1) % len(points)].shape
        expected = np.zeros(shape) if their is None else their.detach().numpy()
        found = np.zeros(shape) if our is None else our.detach().numpy()
        known = ~np.isnan(expected)  # a NaN says nothing about the derivative
        np.testing.assert_allclose(found[known], expected[known], rtol=1e-7, atol=1e-9, err_msg=f"result {position}")
