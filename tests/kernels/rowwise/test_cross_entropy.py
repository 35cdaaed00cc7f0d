"""Cross-entropy and its gradient against NumPy in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels import cross_entropy, cross_entropy_backward


def reference(logits, targets, ignore_index, smoothing):
    """Losses, logsumexp and the gradients of the losses, from the full target distribution."""
    x = logits.astype(np.float64)
    largest = x.max(axis=1, keepdims=True)
    logsumexp = largest + np.log(np.exp(x - largest).sum(axis=1, keepdims=True))
    kept = targets != ignore_index
    distribution = np.full(x.shape, smoothing / x.shape[1])
    distribution[np.arange(len(x)), np.where(kept, targets, 0)] += 1 - smoothing
    losses = np.where(kept, (distribution * (logsumexp - x)).sum(axis=1), 0)
    gradients = np.where(kept[:, None], np.exp(x - logsumexp) - distribution, 0)
    return losses, logsumexp[:, 0], gradients


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (5, 2), (9, 65), (30, 1000), (2001, 33), (3, 2500)])
def test_losses_and_gradients_are_right(dtype, rng, rows, classes, smoothing):
    logits = (4 * rng.standard_normal((rows, classes))).astype(dtype)
    targets = rng.integers(0, classes, rows)
    targets[::5] = -1
    g = rng.standard_normal(rows).astype(dtype)
    losses, normalizer = cross_entropy(logits, targets, -1, smoothing)
    gradients = cross_entropy_backward(g, logits, targets, normalizer, -1, smoothing)
    assert losses.dtype == normalizer.dtype == gradients.dtype == dtype
    tolerance = (classes + 50) * np.finfo(dtype).eps
    exact_losses, exact_logsumexp, exact_gradients = reference(logits, targets, -1, smoothing)
    np.testing.assert_allclose(losses, exact_losses, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(normalizer.sum(1), exact_logsumexp, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradients, g[:, None] * exact_gradients, rtol=0, atol=4 * tolerance)


def test_ignored_rows_have_no_loss_and_no_gradient_whatever_they_hold(dtype):
    logits = np.array([[1, 2, 3], [np.nan, np.inf, -np.inf]], dtype)
    targets = np.array([0, -100])
    losses, normalizer = cross_entropy(logits, targets)
    assert losses[1] == 0
    assert (cross_entropy_backward(np.ones(2, dtype), logits, targets, normalizer)[1] == 0).all()


def test_a_small_loss_beside_a_huge_logit_keeps_its_digits(dtype):
    logits = np.array([[1e4, 1e4 - 1]], dtype)
    losses, _ = cross_entropy(logits, np.array([0]))
    np.testing.assert_allclose(losses, np.log1p(np.exp(-1.0)), rtol=10 * np.finfo(dtype).eps)


def test_a_forbidden_class_has_probability_zero_and_no_gradient(dtype):
    logits = np.array([[0, -np.inf, 0]], dtype)
    losses, normalizer = cross_entropy(logits, np.array([2]))
    np.testing.assert_allclose(losses, np.log(2), rtol=1e-6)
    assert cross_entropy_backward(np.ones(1, dtype), logits, np.array([2]), normalizer).tolist() == [[0.5, 0, -0.5]]
    assert cross_entropy(logits, np.array([1]))[0].tolist() == [np.inf]


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_largest_logit_may_stand_in_any_block(dtype, rng, smoothing):
    """Before it there may be nothing but -inf, or the smallest of all numbers."""
    for place in (0, 1023, 1024, 2600, 3071):
        logits = rng.standard_normal((3, 3072)).astype(dtype)
        logits[0] -= 300
        logits[:, place] += 100
        logits[1, : place // 2] = np.finfo(dtype).min / 1e5
        losses, _ = cross_entropy(logits, np.array([1, 3000, place]), label_smoothing=smoothing)
        expected, *_ = reference(logits, np.array([1, 3000, place]), -1, smoothing)
        np.testing.assert_allclose(losses, expected, rtol=1e4 * np.finfo(dtype).eps)
    hidden = np.full((1, 3072), -np.inf, dtype)
    hidden[0, 2000:] = 5
    losses, normalizer = cross_entropy(hidden, np.array([3000]))
    np.testing.assert_allclose(losses, np.log(1072), rtol=1e-5)
    np.testing.assert_allclose(normalizer.sum(1), np.log(1072) + 5, rtol=1e-5)


def test_nan_or_infinity_makes_the_loss_of_its_row_nan(dtype):
    for value in (np.nan, -np.nan, np.inf):
        for place in (0, 2000):
            logits = np.zeros((2, 3000), dtype)
            logits[0, place] = value
            losses, _ = cross_entropy(logits, np.array([1, 1]))
            assert np.isnan(losses[0]) and np.isfinite(losses[1])


def test_any_strides_and_integer_types(dtype, rng):
    logits = rng.standard_normal((20, 12)).astype(dtype)
    targets = rng.integers(0, 20, 24)[::2]
    losses, normalizer = cross_entropy(logits.T, targets.astype(np.int16))
    expected, _ = cross_entropy(logits.T.copy(), targets.copy())
    assert np.array_equal(losses, expected)
    g = np.ones(24, dtype)[::2]
    assert np.array_equal(
        cross_entropy_backward(g, logits.T, targets, normalizer),
        cross_entropy_backward(g.copy(), logits.T.copy(), targets.copy(), normalizer),
    )


def test_no_rows(dtype):
    losses, normalizer = cross_entropy(np.empty((0, 5), dtype), np.empty(0, np.int64))
    assert losses.shape == (0,)
    assert normalizer.shape == (0, 2)


def test_invalid_arguments_are_named():
    logits, targets = np.ones((2, 3)), np.array([0, 1])
    with pytest.raises(IndexError, match=r"targets must be in \[0, 3\) or -100; got 3"):
        cross_entropy(logits, np.array([0, 3]))
    with pytest.raises(TypeError, match="targets must be integers; got float64"):
        cross_entropy(logits, np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"targets must have shape \(2,\); got \(3,\)"):
        cross_entropy(logits, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"logits must have shape \(N, V\); got \(3,\)"):
        cross_entropy(logits[0], targets)
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\]; got 2"):
        cross_entropy(logits, targets, label_smoothing=2)
    with pytest.raises(ValueError, match=r"g must have shape \(2,\); got \(1,\)"):
        cross_entropy_backward(np.ones(1), logits, targets, np.ones(2))


def test_large_logits_lose_no_digit_of_the_loss(dtype):
    """Nothing is as large as the logits but the largest itself, which is taken off first."""
    logits = np.full((2, 5), 1e7, dtype)
    losses, normalizer = cross_entropy(logits, np.array([0, 1]), label_smoothing=0.0)
    gradient = cross_entropy_backward(np.ones(2, dtype), logits, np.array([0, 1]), normalizer)
    np.testing.assert_allclose(losses, np.log(5), rtol=1e-6)
    np.testing.assert_allclose(gradient, 0.2 - np.eye(2, 5), rtol=1e-6)
    smoothed, _ = cross_entropy(logits, np.array([0, 1]), label_smoothing=0.5)
    np.testing.assert_allclose(smoothed, np.log(5), rtol=1e-6)
