"""Fixtures for the kernels' tests."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> type[np.floating]:
    return request.param


@pytest.fixture(params=[None, "bfloat16"], ids=["exact", "bfloat16"])
def precision(request: pytest.FixtureRequest) -> str | None:
    return request.param
