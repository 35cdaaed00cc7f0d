"""Allocator settings: large temporaries stay in the process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

REPEATED_TEMPORARIES = """
import resource
import numpy as np
from minigrad import kernels

a = np.ones((3000, 3000), np.float32)
for _ in range(3):
    (a + 1).sum() + kernels.sum_rows(a - 1).sum()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    (a + 1).sum() + kernels.sum_rows(a - 1).sum()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


glibc = pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", ()), reason="it is glibc that is set up so"
)


def page_faults(**environment: str) -> int:
    pytest.importorskip("resource", reason="page faults are counted on Unix only")
    run = [sys.executable, "-c", REPEATED_TEMPORARIES]
    printed = subprocess.run(run, env=os.environ | environment, capture_output=True, text=True, check=True)
    return int(printed.stdout)


@glibc
def test_temporaries_of_a_loop_are_not_mapped_anew_each_time():
    pages = 5 * 2 * 36_000_000 // os.sysconf("SC_PAGE_SIZE")
    assert page_faults() < pages / 20


@glibc
def test_the_users_own_settings_win():
    assert page_faults(MALLOC_MMAP_THRESHOLD_="1000000") > 1000
