"""Attention scale: the laws that its table shows."""

from __future__ import annotations

import pytest

from transformer.examples import attention_scale
from transformer.examples.__main__ import main


def test_scores_deviate_as_the_scaled_width_says() -> None:
    for width in (16, 256):
        assert attention_scale.measure(width, 1.0, 400, seed=0).deviation == pytest.approx(width**0.5, rel=0.05)
        assert attention_scale.measure(width, width**-0.5, 400, seed=0).deviation == pytest.approx(1, rel=0.05)


def test_without_a_scale_to_speak_of_all_keys_weigh_the_same() -> None:
    found = attention_scale.measure(4, 1e-9, 50, seed=0)
    assert found.largest == pytest.approx(1 / attention_scale.KEYS)
    assert found.gradients.max() < 1e-8


def test_no_queries_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attention-scale", "--queries", "0"]) == 2
    assert "queries: expected at least 1, got 0" in capsys.readouterr().err
