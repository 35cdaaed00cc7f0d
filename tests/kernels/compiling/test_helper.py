"""Processes that compile into one cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minigrad.kernels.compiling.helper import PROCESSES
from tests.kernels.compiling.test_compiler import READ_ONLY, run
from tests.kernels.compiling.test_warming import TRAINING_STEP

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no file locks, no helpers"),
]

TWO_CORES = "import os; os.sched_getaffinity = lambda process: {0, 1}\n"
PRODUCT = """
import numpy as np
from minigrad.kernels import matmul
matmul(np.ones((2, 2), "f4"), np.ones((2, 2), "f4"))
"""
ONE_KERNEL = "import minigrad.kernels.compiling.parallel"
HELPER = """
from minigrad.kernels.compiling.helper import compile_beside
helper = compile_beside("float32")
"""


def helped(code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code that may have a helper, however many cores there are."""
    return run(TWO_CORES + code, MINIGRAD_CACHE_DIR=str(folder), **{PROCESSES: "", **variables})


def test_two_processes_compile_a_kernel_once(tmp_path):
    environment = {**os.environ, "MINIGRAD_CACHE_DIR": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", ONE_KERNEL], env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in both]
    assert sorted(text.count("compiling kernels") for text in said) == [0, 1]
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".nbi", ".nbc"}


def test_the_helper_of_a_product_compiles_a_training_step(tmp_path):
    result = helped(PRODUCT + HELPER + "print(helper.wait())", tmp_path)
    assert result.stdout == "0\n" and len(result.stderr.splitlines()) == 1
    unneeded = ("mg.nn.RMSNorm(8)", "F.dropout(F.gelu(x) + F.silu(x) + F.relu(x), 0.1)")
    step = TRAINING_STEP.replace(unneeded[0], "mg.nn.Linear(8, 8)").replace(unneeded[1], "F.gelu(x)")
    assert run(step, MINIGRAD_CACHE_DIR=str(tmp_path)).stderr == ""


def test_a_helper_ends_with_its_process(tmp_path):
    result = helped(HELPER + "print(helper.pid)", tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int(result.stdout), 0)


def test_a_process_that_finds_its_products_compiled_has_no_helper(tmp_path):
    started = "import subprocess; subprocess.Popen = None\n"  # which would fail
    run(PRODUCT, MINIGRAD_CACHE_DIR=str(tmp_path), **{PROCESSES: "1"})
    assert helped(started + PRODUCT, tmp_path).stderr == ""


@pytest.mark.parametrize("how", ["told", "one core", "read-only"])
def test_without_leave_cores_or_room_there_is_no_helper(how, tmp_path):
    before = {
        "told": f"os.environ['{PROCESSES}'] = '1'",
        "one core": "os.sched_getaffinity = lambda process: {0}",
        "read-only": READ_ONLY,
    }[how]
    assert helped(before + HELPER + "print(helper)", tmp_path).stdout == "None\n"
