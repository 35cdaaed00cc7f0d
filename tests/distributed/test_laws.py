"""Groups, sums of gradients and sharded optimizers in real processes; and in one, without MPI."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.distributed.laws import LAWS
from tests.mpi import ROOT, needs_mpi, run, run_well

ALL = ("-m", "tests.distributed.laws", *LAWS)
COUNT = sum(map(len, LAWS.values()))


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_the_laws_hold_in_several_processes(ranks: int) -> None:
    assert run_well(ranks, *ALL).count("\n") == COUNT


@needs_mpi
def test_sums_are_the_same_bits_in_every_run() -> None:
    first, second = (run_well(3, "-m", "tests.distributed.laws", "group", "gradients") for _ in range(2))
    assert first == second


def test_a_group_of_one_needs_no_mpi() -> None:
    blocked = "import sys, runpy; sys.modules['mpi4py'] = None; sys.argv = ['laws', 'group', 'gradients', 'optimizer']"
    program = f"{blocked}; runpy.run_module('tests.distributed.laws', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == COUNT


@needs_mpi
def test_an_error_that_one_rank_does_not_handle_ends_all_and_names_it() -> None:
    program = "import minigrad as mg; group = mg.distributed.world(); group.rank == 1 and 1 / 0; group.barrier()"
    done = run(3, "-c", program, timeout=60)
    assert done.status != 0
    assert "rank 1 of 3 has failed: ZeroDivisionError" in done.err and "rank 0 of 3" not in done.err


@needs_mpi
def test_a_launcher_of_another_mpi_library_is_an_error() -> None:
    program = "import minigrad as mg; mg.distributed.world()"
    others = {**os.environ, "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env=others)
    assert "mpi: 2 processes were started, but MPI sees 1: the launcher belongs to another MPI library" in done.stderr
