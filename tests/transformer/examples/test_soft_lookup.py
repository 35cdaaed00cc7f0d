"""Soft lookup: the laws that its table shows."""

from __future__ import annotations

import numpy as np
import pytest

from transformer.examples import soft_lookup
from transformer.examples.__main__ import main
from transformer.model.attention import ScaledDotProductAttention


def test_a_huge_scale_looks_up_the_nearest_key() -> None:
    tables = soft_lookup.draw(50, np.random.default_rng(0))
    distances = ((tables.key - tables.query) ** 2).sum(axis=-1).numpy()  # (B, 1, ENTRIES)
    nearest = np.take_along_axis(tables.value.numpy()[..., 0], distances.argmin(-1)[..., None], -1)
    found = ScaledDotProductAttention(scale=soft_lookup.NEAREST)(*tables[:3]).numpy()
    np.testing.assert_allclose(found[..., 0], nearest, atol=1e-5)


def test_training_finds_the_angle_that_matters() -> None:
    comparison = soft_lookup.train(steps=300, seed=1).comparison()
    assert comparison.diagonal()[:2].min() > 3
    comparison[:2, :2] = 0
    assert np.abs(comparison).max() < 1


def test_no_steps_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["soft-lookup", "--steps", "0"]) == 2
    assert "steps: expected at least 1, got 0" in capsys.readouterr().err
