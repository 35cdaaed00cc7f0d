"""Attention heads: what their measurement means, and that removing one leaves the others as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from transformer.examples import heads
from transformer.examples.__main__ import main
from transformer.model.attention import MultiHeadAttention


def test_the_effective_number_of_keys_counts_those_of_equal_weight() -> None:
    weights = np.array([[1, 0, 0, 0], [0.5, 0, 0.5, 0], [0.25, 0.25, 0.25, 0.25]])
    np.testing.assert_allclose(heads.effective_keys(weights), [1, 2, 4])


def test_the_output_is_the_sum_of_what_is_lost_with_each_head() -> None:
    attention = MultiHeadAttention(12, 3)
    x = mg.random.normal((2, 5, 12))
    with mg.no_grad():
        whole = attention(x, x).numpy()
        lost = np.zeros_like(whole)
        for head in range(3):
            with heads.removed(attention, slice(head, head + 1)):
                lost += whole - attention(x, x).numpy()
        with heads.removed(attention, slice(None)):
            only_bias = attention(x, x).numpy()
        np.testing.assert_array_equal(attention(x, x).numpy(), whole)
        bias = attention.output.bias.detach().numpy()
    np.testing.assert_array_equal(only_bias, np.broadcast_to(bias, whole.shape))
    np.testing.assert_allclose(lost, whole - bias, atol=1e-5)


def test_without_a_model_the_error_says_what_trains_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["heads"]) == 2
    assert "`transformer demo` trains the model first" in capsys.readouterr().err
    assert main(["heads", "--phrases", "0"]) == 2
    assert "phrases: expected at least 1, got 0" in capsys.readouterr().err
