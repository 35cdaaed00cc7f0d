"""Threads and processes around the kernels' thread pool; some in a fresh process, which may abort or hang."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numba import cfunc, types

from minigrad.kernels import get_num_threads, set_num_threads, softmax
from minigrad.kernels.compiling.atomic import atomic_add
from minigrad.kernels.compiling.cores import MASK_BYTES, current_core, leave_core
from minigrad.kernels.compiling.thread_pool import ThreadPool, run_parts

PRODUCT = """
import atexit, os, threading
import numpy as np
from minigrad import kernels
a = np.random.default_rng(0).standard_normal((300, 300), np.float32)
expected = kernels.matmul(a, a)
def right():
    return np.array_equal(kernels.matmul(a, a), expected)
"""


def run(code: str, threads: int = 4) -> str:
    environment = {**os.environ, "NUMBA_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", PRODUCT + code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    return result.stdout.strip() if result.returncode == 0 else f"{result.returncode}: {result.stderr}"


def test_two_python_threads_may_compute_at_once():
    code = """
wrong = []
def work():
    wrong.extend(1 for _ in range(100) if not right())
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
print(len(wrong))
"""
    assert run(code) == "0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_computes():
    code = """
child = os.fork()
if child == 0:
    os._exit(0 if right() else 1)
print(os.waitpid(child, 0)[1], right())
"""
    assert run(code) == "0 True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_ends_like_any_other():
    assert run("child = os.fork()\nif child: print(os.waitpid(child, 0)[1], right())") == "0 True"


def test_kernels_run_until_the_interpreter_ends():
    assert run("atexit.register(lambda: print(right()))") == "True"


def test_kernels_run_after_their_threads_have_ended():
    code = """
from minigrad.kernels.compiling import parallel
parallel._pool._close()
print(right(), sum(thread.name.startswith("minigrad") for thread in threading.enumerate()))
"""
    assert run(code) == "True 0"


def test_threads_start_when_a_large_kernel_needs_them():
    code = """
from minigrad.kernels.compiling import parallel
names = [thread.name for thread in threading.enumerate() if thread.name.startswith("minigrad")]
print(names, kernels.get_num_threads())
"""
    assert run(code, threads=3) == "['minigrad-1', 'minigrad-2'] 3"
    assert run(code, threads=1) == "[] 1"


def test_every_part_runs_once_whatever_the_number_of_threads(dtype, rng):
    x = rng.standard_normal((4001, 64)).astype(dtype)
    threads = get_num_threads()
    try:
        set_num_threads(1)
        expected = softmax(x)
    finally:
        set_num_threads(threads)
    assert np.array_equal(softmax(x), expected)


@pytest.mark.parametrize("threads", [0, -1, 1 << 20])
def test_a_number_of_threads_that_there_are_not_is_refused(threads):
    with pytest.raises(ValueError, match=rf"threads must be from 1 to \d+; got {threads}"):
        set_num_threads(threads)


def test_a_number_of_threads_is_an_integer():
    with pytest.raises(TypeError, match="threads must be an integer; got float"):
        set_num_threads(1.5)  # type: ignore[arg-type]


@cfunc(types.void(types.int64, types.int64))
def count(data, part):
    """Task of a pool: count in an array of int64 how often each part is run."""
    atomic_add(data + 8 * part, 1)


@pytest.fixture(scope="module")
def crowd() -> Iterator[ThreadPool]:
    """More threads than there are cores."""
    pool = ThreadPool(8)
    assert pool.ready()
    yield pool
    pool._close()


@settings(max_examples=20, deadline=None)
@given(parts=st.lists(st.integers(1, 40), min_size=1, max_size=300))
def test_each_part_of_each_region_runs_once(crowd, parts):
    counts = np.zeros(40, np.int64)
    for number in parts:
        run_parts(crowd.address, count.address, counts.ctypes.data, number)
    assert counts.tolist() == [sum(number > part for number in parts) for part in range(40)]


def test_a_region_does_not_wait_for_threads_that_have_not_begun():
    counts = np.zeros(16, np.int64)
    pool = ThreadPool(8)  # whose workers never start
    run_parts(pool.address, count.address, counts.ctypes.data, 16)
    assert counts.tolist() == [1] * 16


def test_a_thread_leaves_a_core_and_may_return_to_it():
    if current_core() < 0 or len(allowed := os.sched_getaffinity(0)) < 2:
        pytest.skip("there is no other core, or the system does not tell")
    mask = np.zeros(MASK_BYTES // 8, np.int64)
    seen: list[object] = []

    def leave() -> None:
        for core in allowed:
            os.sched_setaffinity(0, {core})  # of this thread
            os.sched_setaffinity(0, allowed)
            leave_core(core, mask.ctypes.data)
            seen.append((current_core() != core, os.sched_getaffinity(0) == allowed))

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    assert seen == [(True, True)] * len(allowed)
