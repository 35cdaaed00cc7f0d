"""Settings for all tests: the same examples in every run, and the seed in the report of a failure."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import minigrad as mg

# Examples in docstrings that need an optional package
EXAMPLES_OF_EXTRAS = {"minigrad.onnx": "onnx"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name, package in EXAMPLES_OF_EXTRAS.items():
            if isinstance(item, pytest.DoctestItem) and item.name.startswith(name):
                item.add_marker(pytest.mark.peers)
                item.add_marker(pytest.mark.skipif(find_spec(package) is None, reason=f"{package} comes with an extra"))


settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=25,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    mg.manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
