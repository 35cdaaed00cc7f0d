"""Threads and processes around the kernels' one thread pool; each in a fresh process, which may abort."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from minigrad.kernels import softmax

PRODUCT = """
import os, threading
import numpy as np
from minigrad import kernels
a = np.random.default_rng(0).standard_normal((300, 300), np.float32)
expected = kernels.matmul(a, a)
def right():
    return np.array_equal(kernels.matmul(a, a), expected)
"""


TBB = any(Path(sys.prefix, "lib").glob("libtbb.so.*"))  # where its wheel puts it
LAYERS = [
    "default",
    "workqueue",
    pytest.param("tbb", marks=pytest.mark.skipif(not TBB, reason="TBB is not installed")),
]


def run(code: str, layer: str) -> str:
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer, "LD_LIBRARY_PATH": f"{sys.prefix}/lib"}  # pip's TBB
    result = subprocess.run([sys.executable, "-c", PRODUCT + code], env=environment, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else f"{result.returncode}: {result.stderr}"


@pytest.mark.parametrize("layer", LAYERS)
def test_two_python_threads_may_compute_at_once(layer):
    code = """
wrong = []
def work():
    wrong.extend(1 for _ in range(100) if not right())
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
print(len(wrong))
"""
    assert run(code, layer) == "0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("layer", LAYERS)
def test_a_forked_child_computes(layer):
    code = """
child = os.fork()
if child == 0:
    os._exit(0 if right() else 1)
print(os.waitpid(child, 0)[1], right())
"""
    assert run(code, layer) == "0 True"


def test_every_part_runs_once_whatever_the_number_of_threads(dtype, rng):
    x = rng.standard_normal((4001, 64)).astype(dtype)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        expected = softmax(x)
    finally:
        numba.set_num_threads(threads)
    assert np.array_equal(softmax(x), expected)
