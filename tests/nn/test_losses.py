"""Losses: formulas, reductions, ignored elements, and derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import minigrad as mg
from minigrad import func
from minigrad.nn import functional as F
from minigrad.testing import gradcheck

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2, 4, 3))
P, Q = RNG.uniform(0.05, 0.95, (2, 4, 3))
SIGNS = RNG.choice([-1, 1], (4, 3))
LOG_P = special.log_softmax(X, 1)
COUNTS = RNG.integers(0, 5, (4, 3)).astype(float)


def _huber(d: np.ndarray, delta: float) -> np.ndarray:
    return np.where(np.abs(d) < delta, d * d / 2, delta * (np.abs(d) - delta / 2))


# Each loss, what it is applied to, and every element's loss
LOSSES: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...], np.ndarray]] = {
    "mse": (F.mse_loss, (X, Y), (X - Y) ** 2),
    "l1": (F.l1_loss, (X, Y), np.abs(X - Y)),
    "huber": (lambda x, y, reduction: F.huber_loss(x, y, reduction, 0.7), (X, Y), _huber(X - Y, 0.7)),
    "smooth l1": (lambda x, y, reduction: F.smooth_l1_loss(x, y, reduction, 0.7), (X, Y), _huber(X - Y, 0.7) / 0.7),
    "binary cross-entropy": (F.binary_cross_entropy, (P, Q), -Q * np.log(P) - (1 - Q) * np.log(1 - P)),
    "of logits": (
        F.binary_cross_entropy_with_logits,
        (X, Q),
        -Q * special.log_expit(X) - (1 - Q) * special.log_expit(-X),
    ),
    "of weighted logits": (
        lambda x, q, reduction: F.binary_cross_entropy_with_logits(x, q, P, reduction, pos_weight=[1.0, 2.0, 3.0]),
        (X, Q),
        P * (-Q * special.log_expit(X) * [1, 2, 3] - (1 - Q) * special.log_expit(-X)),
    ),
    "divergence": (F.kl_div, (LOG_P, Q), Q * (np.log(Q) - LOG_P)),
    "divergence of logarithms": (
        lambda x, y, reduction: F.kl_div(x, y, reduction, log_target=True),
        (LOG_P, np.log(Q)),
        Q * (np.log(Q) - LOG_P),
    ),
    "poisson": (
        lambda x, reduction: F.poisson_nll_loss(x, COUNTS, log_input=False, eps=0, reduction=reduction),
        (P,),
        -stats.poisson.logpmf(COUNTS, P) - special.gammaln(COUNTS + 1),
    ),
    "poisson of logarithms": (
        lambda x, reduction: F.poisson_nll_loss(x, COUNTS, reduction=reduction),
        (X,),
        -stats.poisson.logpmf(COUNTS, np.exp(X)) - special.gammaln(COUNTS + 1),
    ),
    "gaussian": (
        lambda x, y, v, reduction: F.gaussian_nll_loss(x, y, v, full=True, reduction=reduction),
        (X, Y, P),
        -stats.norm.logpdf(Y, X, np.sqrt(P)),
    ),
    "soft margin": (
        lambda x, reduction: F.soft_margin_loss(x, SIGNS, reduction),
        (X,),
        np.log1p(np.exp(-SIGNS * X)),
    ),
    "hinge": (
        lambda x, reduction: F.hinge_embedding_loss(x, SIGNS, 0.8, reduction),
        (X,),
        np.where(SIGNS == 1, X, np.maximum(0.8 - X, 0)),
    ),
    "ranking": (
        lambda x, y, reduction: F.margin_ranking_loss(x, y, SIGNS, 0.3, reduction),
        (X, Y),
        np.maximum(-SIGNS * (X - Y) + 0.3, 0),
    ),
    "cosine": (
        lambda x, y, reduction: F.cosine_embedding_loss(x, y, SIGNS[:, 0], -0.5, reduction),
        (X, Y),
        np.where(
            SIGNS[:, 0] == 1,
            1 - (cosine := (X * Y).sum(1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)),
            np.maximum(cosine + 0.5, 0),
        ),
    ),
    "triplet": (
        lambda a, p, n, reduction: F.triplet_margin_loss(a, p, n, eps=0, reduction=reduction),
        (X, Y, Q),
        np.maximum(1 + np.linalg.norm(X - Y, axis=1) - np.linalg.norm(X - Q, axis=1), 0),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_formula_under_every_reduction(name: str) -> None:
    loss, points, expected = LOSSES[name]
    np.testing.assert_allclose(loss(*points, reduction="none").numpy(), expected, rtol=1e-7, atol=1e-12)
    assert loss(*points, reduction="sum").item() == pytest.approx(expected.sum())
    assert loss(*points, reduction="mean").item() == pytest.approx(expected.mean())
    with pytest.raises(ValueError, match="reduction: expected 'none', 'mean' or 'sum', got 'average'"):
        loss(*points, reduction="average")


@pytest.mark.parametrize("name", LOSSES)
def test_a_losss_derivatives_agree_with_differences_to_second_order(name: str) -> None:
    loss, points, _ = LOSSES[name]
    assert gradcheck(lambda *values: loss(*values, reduction="none"), points, order=2)


# Classes


def wanted(
    shape: tuple[int, ...], classes: np.ndarray, weight: np.ndarray, ignored: int, smoothing: float
) -> np.ndarray:
    """The weighted distribution that each logit is compared with."""
    count = shape[1]
    hot = np.moveaxis(np.eye(count)[np.where(classes == ignored, 0, classes)], -1, 1)
    mixed = ((1 - smoothing) * hot + smoothing / count) * weight.reshape(-1, *(1,) * (len(shape) - 2))
    return mixed * np.expand_dims(classes != ignored, 1)


@pytest.mark.parametrize("shape", [(6, 5), (2, 5, 3), (2, 5, 2, 2)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_counts_classes_by_weight_and_spreads_some_of_the_target(
    shape: tuple[int, ...], weighted: bool, smoothing: float, rng: np.random.Generator
) -> None:
    x, classes = rng.standard_normal(shape), rng.integers(0, 5, (shape[0], *shape[2:]))
    classes.flat[1] = 7
    weight = rng.random(5) + 0.5 if weighted else np.ones(5)
    given = {"weight": weight if weighted else None, "ignore_index": 7, "label_smoothing": smoothing}
    losses = -(special.log_softmax(x, 1) * wanted(shape, classes, weight, 7, smoothing)).sum(1)
    np.testing.assert_allclose(F.cross_entropy(x, classes, reduction="none", **given).numpy(), losses)
    counts = np.where(classes == 7, 0, weight[np.where(classes == 7, 0, classes)]).sum()
    assert F.cross_entropy(x, classes, **given).item() == pytest.approx(losses.sum() / counts)
    assert gradcheck(lambda x: F.cross_entropy(x, classes, **given), x, order=2)
    if not smoothing:
        del given["label_smoothing"]
        log_p = special.log_softmax(x, 1)
        np.testing.assert_allclose(F.nll_loss(log_p, classes, reduction="none", **given).numpy(), losses)
        assert F.nll_loss(log_p, classes, **given).item() == pytest.approx(losses.sum() / counts)


@pytest.mark.parametrize("shape", [(5,), (6, 5), (2, 5, 3)])
def test_cross_entropy_takes_probabilities(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    axis = min(len(shape) - 1, 1)
    x, target, weight = rng.standard_normal(shape), special.softmax(rng.standard_normal(shape), axis), rng.random(5)
    mixed = 0.8 * target + 0.2 / 5
    losses = -(special.log_softmax(x, axis) * mixed * weight.reshape(-1, *(1,) * (len(shape) - axis - 1))).sum(axis)
    found = F.cross_entropy(x, target, weight, reduction="none", label_smoothing=0.2)
    np.testing.assert_allclose(found.numpy(), losses)
    assert F.cross_entropy(x, target, weight, label_smoothing=0.2).item() == pytest.approx(losses.mean())
    assert gradcheck(lambda x, t: F.cross_entropy(x, t, weight, label_smoothing=0.2), (x, target), order=2)


def test_one_example_needs_no_batch(rng: np.random.Generator) -> None:
    x = rng.standard_normal(4)
    assert F.cross_entropy(x, 2).item() == pytest.approx(-special.log_softmax(x)[2])
    assert F.nll_loss(x, 2, weight=[1.0, 2.0, 3.0, 4.0], reduction="sum").item() == pytest.approx(-3 * x[2])


def test_classes_under_vmap_are_each_examples_own(rng: np.random.Generator) -> None:
    x, classes = rng.standard_normal((3, 4, 5)), rng.integers(0, 5, (3, 4))
    for loss in (F.cross_entropy, F.nll_loss):
        together = func.vmap(loss)(mg.asarray(x), mg.asarray(classes)).numpy()
        np.testing.assert_allclose(together, [loss(x[i], classes[i]).item() for i in range(3)])


def test_certainty_costs_no_more_than_a_hundred_and_logits_never_overflow() -> None:
    p = mg.tensor([0.0, 1.0], requires_grad=True)
    losses = F.binary_cross_entropy(p, [1.0, 0.0], reduction="none")
    assert losses.tolist() == [100, 100]
    losses.sum().backward()
    assert p.grad is not None and np.isfinite(p.grad.numpy()).all()
    assert F.binary_cross_entropy_with_logits(mg.tensor([-1e4, 1e4]), [0.0, 1.0]).item() == 0
    assert F.kl_div(mg.tensor([-1.0]), [0.0]).item() == 0


def test_batchmean_divides_by_the_examples_only() -> None:
    expected = LOSSES["divergence"][2].sum() / len(X)
    assert F.kl_div(LOG_P, Q, reduction="batchmean").item() == pytest.approx(expected)


def test_a_variance_below_eps_counts_as_eps_but_keeps_its_gradient() -> None:
    var = mg.tensor([0.0], requires_grad=True)
    loss = F.gaussian_nll_loss(mg.tensor([1.0]), mg.tensor([1.0]), var, eps=0.5, reduction="sum")
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * np.log(0.5))
    assert var.grad is not None and var.grad.tolist() == [1.0]  # 1 / (2 eps)
    assert F.gaussian_nll_loss(mg.ones((2, 3)), mg.zeros((2, 3)), mg.ones(2), reduction="none").shape == (2, 3)


def test_swapped_triplets_use_the_nearer_of_both() -> None:
    anchor, positive, negative = [[0.0]], [[1.0]], [[1.5]]
    assert F.triplet_margin_loss(anchor, positive, negative, swap=False).item() == pytest.approx(0.5, abs=1e-5)
    assert F.triplet_margin_loss(anchor, positive, negative, swap=True).item() == pytest.approx(1.5, abs=1e-5)


def test_similarity_and_distance_are_their_formulas(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((3, 4, 2)), rng.standard_normal((4, 2))
    cosine = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=0)
    np.testing.assert_allclose(F.cosine_similarity(x, y).numpy(), cosine)
    assert gradcheck(F.cosine_similarity, (x, y), order=2)
    assert F.cosine_similarity(2.0, -3.0, 0).item() == -1
    distance = np.linalg.norm(x - y + 1e-6, 3, axis=-1)
    np.testing.assert_allclose(F.pairwise_distance(x, y, 3.0).numpy(), distance)
    assert F.pairwise_distance(x, y, keepdim=True).shape == (3, 4, 1)
    assert gradcheck(lambda x, y: F.pairwise_distance(x, y, 3.0), (x, y), order=2)


@pytest.mark.parametrize("loss", [F.huber_loss, F.smooth_l1_loss])
def test_an_infinite_difference_has_the_slope_of_a_large_one(loss: Callable[..., mg.Tensor]) -> None:
    x = mg.tensor([mg.inf, -mg.inf, 3.0, 0.25]).requires_grad_()
    loss(x, mg.zeros(4), "sum").backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, -1, 1, 0.25]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.l1_loss(mg.ones((3, 1)), mg.ones(3)), ValueError, r"target: expected the input's shape \(3, 1\)"),
        (lambda: F.cross_entropy(mg.ones((2, 3)), [0, 3]), ValueError, "expected classes 0 to 2 or -100"),
        (lambda: F.cross_entropy(mg.ones((2, 3, 4)), [0, 1]), ValueError, "target: expected .N,. for"),
        (lambda: F.cross_entropy(mg.ones((2, 3)), mg.ones(2)), TypeError, "integer classes"),
        (lambda: F.cross_entropy(mg.ones((2, 3)), [0, 1], label_smoothing=2), ValueError, "label_smoothing"),
        (lambda: F.nll_loss(mg.ones((2, 3)), [0, 1], weight=mg.ones(2)), ValueError, r"weight: expected shape \(3,\)"),
        (lambda: F.nll_loss(1.0, 0), ValueError, "input: expected .N, C, …"),
        (lambda: F.huber_loss(1.0, 1.0, delta=0), ValueError, "delta: expected a positive number"),
        (lambda: F.smooth_l1_loss(1.0, 1.0, beta=-1), ValueError, "beta: expected a number"),
        (lambda: F.gaussian_nll_loss([1.0], [1.0], [-1.0]), ValueError, "var: expected variances"),
        (lambda: F.gaussian_nll_loss(mg.ones(2), mg.ones(2), mg.ones((2, 2))), ValueError, "var: expected a shape"),
        (lambda: F.cosine_embedding_loss(mg.ones((2, 3)), mg.ones((2, 3)), 1), ValueError, "target: expected .N,."),
    ],
)
def test_invalid_arguments_are_named(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_derivatives_agree_with_differences_to_second_order(
    smoothing: float, reduction: str, rng: np.random.Generator
) -> None:
    logits = rng.standard_normal((5, 4))
    targets = np.array([0, 3, -100, 1, 1])
    assert gradcheck(
        lambda x: F.cross_entropy(x, targets, label_smoothing=smoothing, reduction=reduction),
        logits,
        order=2,
    )


def test_cross_entropy_is_its_definition(rng: np.random.Generator) -> None:
    logits = rng.standard_normal((6, 5))
    targets = rng.integers(0, 5, 6)
    targets[2] = -100
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    wanted = np.full((6, 5), 0.2 / 5)
    wanted[np.arange(6), np.maximum(targets, 0)] += 0.8
    expected = -(wanted * log_p).sum(1)[targets != -100].mean()
    found = F.cross_entropy(mg.asarray(logits), targets, label_smoothing=0.2)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_cross_entropy_refuses_classes_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="expected classes 0 to 2 or -100"):
        F.cross_entropy(mg.ones((2, 3)), np.array([0, 3]))
    with pytest.raises(ValueError, match=r"expected \(N,\)"):
        F.cross_entropy(mg.ones((2, 3)), np.array([0, 1, 2]))
    with pytest.raises(TypeError, match="integer classes"):
        F.cross_entropy(mg.ones((2, 3)), np.array([0.0, 1.0]))


def test_other_losses_agree_with_differences(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 6)), rng.random((2, 6))
    assert gradcheck(F.mse_loss, (x, y), order=2)
    assert gradcheck(lambda x: F.binary_cross_entropy_with_logits(x, y), x, order=2)
    targets = np.array([1, -100])
    assert gradcheck(lambda x: F.nll_loss(mg.log_softmax(x), targets), x, order=2)
    assert gradcheck(lambda x: F.silu(x), x, order=2)


def test_losses_refuse_targets_that_do_not_fit() -> None:
    for loss in (F.mse_loss, F.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match=r"target: expected the input's shape \(3, 1\), got \(3,\)"):
            loss(mg.ones((3, 1)), mg.ones(3))
    for targets in ([0, -1, 1], [0, 1]):
        with pytest.raises(ValueError, match="target: expected"):
            F.nll_loss(mg.ones((3, 2)), np.array(targets))
    ignored = F.nll_loss(mg.tensor([[-np.inf, 0.0], [0.0, -1.0]]), np.array([-100, 1]))
    assert ignored.item() == 1.0
