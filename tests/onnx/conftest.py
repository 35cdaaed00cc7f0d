"""Exported models run by onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.trees import flatten

Runner = Callable[..., list[np.ndarray]]


@pytest.fixture
def runner() -> Callable[..., Runner]:
    """Arrays to arrays, by way of a model that ``export`` wrote."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra onnx")

    def start(model: Any) -> Runner:
        session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        names = [given.name for given in session.get_inputs()]
        return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))

    return start


@pytest.fixture
def check(runner: Callable[..., Runner]) -> Callable[..., Any]:
    """Export with some examples, and compare with the engine on these and on other inputs; returns the model."""

    def compare(function: Any, *examples: np.ndarray, others: Any = (), tolerance: float = 1e-5, **options: Any) -> Any:
        model = mg.onnx.export(function, *examples, **options)
        run = runner(model)
        for inputs in (examples, *others):
            with mg.no_grad():
                expected, _ = flatten(function(*(mg.tensor(array) for array in inputs)))
            found = run(*inputs)
            assert len(found) == len(expected)
            for ours, theirs in zip(expected, found, strict=True):
                assert (theirs.shape, theirs.dtype) == (ours.shape, ours.dtype)
                np.testing.assert_allclose(theirs, ours.numpy(), rtol=tolerance, atol=tolerance)
        return model

    return compare
